"""Telling tissue from glass on a coarse view of a slide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import remove_small_holes, remove_small_objects

from napari_nh2st.slides.resample import Rgb
from napari_nh2st.slides.tissue import Mask, TissueMask

MASK_UM = 8.0
MASK_SIDE = 1536
MAX_SIDE = 6000
# Mask pixels, 8 um each: the reach of a gap that is closed, the largest hole filled, the largest speck dropped
CLOSING, HOLE, SPECK = 8, 4000, 150
DARK = 40  # of 255
# Of the measure in `tissue_in`: glass is paler than the first; a range below the second is one thing alone
PALEST_TISSUE, FLAT = 0.13, 0.01


def find_tissue(
    read: Callable[[int, int, int, int, float], Rgb], shape: tuple[int, int], mpp: float | None
) -> TissueMask:
    """Find the tissue of a slide.

    Parameters
    ----------
    read : callable
        `Slide.read`.
    shape : (height, width)
        Level-0 pixels.
    mpp : float or None
        Micrometres per level-0 pixel.

    Returns
    -------
    TissueMask
        Of about 8 um per pixel where `mpp` is known.
    """
    step = max(shape) / MASK_SIDE if mpp is None else MASK_UM / mpp
    step = max(step, max(shape) / MAX_SIDE, 1.0)
    height, width = (int(np.ceil(side / step)) for side in shape)
    return TissueMask(tissue_in(read(0, 0, width, height, step)), (step, step))


def tissue_in(pixels: Rgb) -> Mask:
    """Tell tissue from glass in a view of about 8 um per pixel, (h, w, 3) uint8 -> (h, w) bool.

    What is stained absorbs, and absorbs unequally: the measure is optical density less half of its grey part, so that
    shadows and dust count little. Otsu's threshold is held near the glass, lest a slide that is all glass or all
    tissue be split in two.
    """
    if np.median(pixels.max(axis=2)) < DARK:
        return _bright_in(pixels)
    density = -np.log10((pixels.astype(np.float32) + 1) / 256)
    stain = density.max(axis=2) - 0.5 * density.min(axis=2)
    stain[pixels.max(axis=2) < DARK] = 0  # black borders, pen, gaps between scanned strips
    stain = ndimage.gaussian_filter(stain, 1.0)
    if np.ptp(stain) < FLAT:
        return np.full(stain.shape, bool(stain.mean() > PALEST_TISSUE))
    threshold = float(threshold_otsu(stain))  # type: ignore[no-untyped-call]
    glass = float(np.median(stain[stain <= threshold]))
    glass = glass if glass < PALEST_TISSUE else 0.0  # the paler half is tissue too: no glass in view
    return _tidied(stain > np.clip(threshold, glass + 0.06, glass + 0.095))


def _bright_in(pixels: Rgb) -> Mask:
    """Find what is lit on a dark ground, as in fluorescence."""
    light = ndimage.gaussian_filter(pixels.max(axis=2).astype(np.float32), 1.0)
    if np.ptp(light) < DARK / 4:
        return np.zeros(light.shape, bool)
    return _tidied(light > threshold_otsu(light))  # type: ignore[no-untyped-call]


def _tidied(mask: Mask) -> Mask:
    """Join what is as near as the walls of fat cells, fill small holes and drop specks."""
    reach = min(CLOSING, min(mask.shape) // 4)
    if reach:
        wide = np.pad(mask, reach, mode="edge")
        near = ndimage.distance_transform_edt(~wide) <= reach if wide.any() else wide
        closed = ndimage.distance_transform_edt(near) > reach if not near.all() else near
        mask = mask | closed[reach:-reach, reach:-reach]
    mask = remove_small_holes(mask, max_size=HOLE)
    return np.asarray(remove_small_objects(mask, max_size=SPECK), dtype=bool)
