"""Tell tissue from glass on a coarse view of a slide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import remove_small_holes, remove_small_objects

from napari_nh2st.slides.resample import Rgb
from napari_nh2st.slides.tissue import Mask, TissueMask

MASK_UM = 8.0
MASK_SIDE = 1536
# The mask of a slide above 24 mm is coarser, so that finding tissue takes no more memory than predicting does.
MAX_SIDE = 3000
# Lines processed at once.
STRIP = 512
# In mask pixels of 8 um: half the width of a gap that is closed, the largest hole filled, the largest speck dropped
CLOSING, HOLE, SPECK = 8, 4000, 150
DARK = 40  # of 255
# In the measure of `tissue_in`: glass is paler than the first; a range below the second is all glass or all tissue
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
        About 8 um per pixel if `mpp` is known.
    """
    step = max(shape) / MASK_SIDE if mpp is None else MASK_UM / mpp
    step = max(step, max(shape) / MAX_SIDE, 1.0)
    height, width = (int(np.ceil(side / step)) for side in shape)
    coarse = 1.0 if mpp is None else max(1.0, step * mpp / MASK_UM)
    return TissueMask(tissue_in(read(0, 0, width, height, step), coarse), (step, step))


def tissue_in(pixels: Rgb, coarse: float = 1.0) -> Mask:
    """Tell tissue from glass in a view of about 8 um per pixel, (h, w, 3) uint8 -> (h, w) bool.

    Parameters
    ----------
    pixels : (h, w, 3) uint8
    coarse : float
        How many times larger than 8 um its pixels are.

    Notes
    -----
    Stain absorbs colours unequally. The measure is optical density minus half of its grey part, so shadows and dust
    count little. Otsu's threshold stays near the glass, so that a slide that is all glass or all tissue is not split.
    """
    if np.median(pixels.max(axis=2)) < DARK:
        return _bright_in(pixels, coarse)
    stain = np.concatenate([_stain(pixels[i : i + STRIP]) for i in range(0, len(pixels), STRIP)])
    stain = ndimage.gaussian_filter(stain, 1.0)
    if np.ptp(stain) < FLAT:
        return np.full(stain.shape, bool(stain.mean() > PALEST_TISSUE))
    threshold = float(threshold_otsu(stain))  # type: ignore[no-untyped-call]
    glass = float(np.median(stain[stain <= threshold]))
    glass = glass if glass < PALEST_TISSUE else 0.0  # the paler half is tissue too: no glass in view
    return _tidied(stain > np.clip(threshold, glass + 0.06, glass + 0.095), coarse)


def _stain(pixels: Rgb) -> npt.NDArray[np.float32]:
    density = -np.log10((pixels.astype(np.float32) + 1) / 256)
    stain: npt.NDArray[np.float32] = density.max(axis=2) - 0.5 * density.min(axis=2)
    stain[pixels.max(axis=2) < DARK] = 0  # black borders, pen, gaps between scanned strips
    return stain


def _bright_in(pixels: Rgb, coarse: float) -> Mask:
    """Find bright tissue on a dark background, as in fluorescence."""
    light = ndimage.gaussian_filter(pixels.max(axis=2).astype(np.float32), 1.0)
    if np.ptp(light) < DARK / 4:
        return np.zeros(light.shape, bool)
    return _tidied(light > threshold_otsu(light), coarse)  # type: ignore[no-untyped-call]


def _tidied(mask: Mask, coarse: float) -> Mask:
    """Join parts as close as the walls of fat cells, fill small holes and drop specks."""
    reach = min(round(CLOSING / coarse), min(mask.shape) // 4)
    if reach:
        wide = np.pad(mask, reach, mode="edge")
        closed = np.concatenate([_closed(wide, i, reach) for i in range(0, len(mask), STRIP)])
        mask = mask | closed
    mask = remove_small_holes(mask, max_size=round(HOLE / coarse**2))
    return np.asarray(remove_small_objects(mask, max_size=round(SPECK / coarse**2)), dtype=bool)


def _closed(wide: Mask, top: int, reach: int) -> Mask:
    """Close gaps of a mask with a rim of `reach`, in one strip of it: dilation and erosion by a disc."""
    lines = min(STRIP, len(wide) - 2 * reach - top)
    first = max(0, top - reach)  # closing looks twice as far as it reaches; the rim is part of that
    part = wide[first : top + lines + 3 * reach]
    near = ndimage.distance_transform_edt(~part) <= reach if part.any() else part
    closed = ndimage.distance_transform_edt(near) > reach if not near.all() else near
    start = top + reach - first
    return np.asarray(closed[start : start + lines, reach:-reach], dtype=bool)
