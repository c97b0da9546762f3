"""Tell tissue from glass on a coarse view of a slide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_nh2st.slides.resample import Rgb
from napari_nh2st.slides.tissue import Mask, TissueMask

MASK_UM = 8.0
MASK_SIDE = 1536
# The mask of a slide above 24 mm is coarser, so that finding tissue takes no more memory than predicting does.
MAX_SIDE = 3000
# Lines processed at once.
STRIP = 512
# Lines around a strip that its smoothing looks at
HALO = 8
# The glass is measured on about this many pixels.
MANY = 500_000
# In mask pixels of 8 um: half the width of a gap that is closed, the largest hole filled, the largest speck dropped
CLOSING, HOLE, SPECK = 8, 4000, 150
# A speck is also no more than this part of a picture: in a small one, a small piece counts.
SPECK_SHARE = 0.02
# A gap at the border stays open if the part that is further than the first from tissue is larger than the second.
OPEN_HALF, OPEN_AREA = 4, 100
# Of 255: darker pixels whose channels differ by less than the second are black borders, gaps between strips, dust
DARK, BLACK_RANGE = 40, 10
# In the measure of `_Stain`: glass is paler than the first; a range below the second is all glass or all tissue
PALEST_TISSUE, FLAT = 0.13, 0.01
# Glass varies less than this over five pixels, and by the second in all
EVEN, GLASS_RANGE = 0.004, 0.03
# Tinted glass and pale tissue may have one density: the denser it is, the more of the view must be even to be glass.
TINTS, GLASS_SHARES = (0.08, 0.09), (0.1, 0.5)
# Shadows, dust and a coverslip's edge are grey: their colour is a smaller part of the stain than this
GREY = 0.25
# Green and blue ink: more density in red than in green by this much (H&E: less than 0.12), and this much stain
INK, INK_STAIN = 0.15, 0.2


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
    step = mask_step(shape, mpp)
    height, width = (int(np.ceil(side / step)) for side in shape)
    coarse = coarseness(step, mpp)
    view = read(0, 0, width, height, step)
    _clear_of_outside(view)
    mask, ink = _tissue_and_ink(view, coarse)
    said = f"green or blue ink on {ink.mean():.1%} of the slide is not counted as tissue" if ink.any() else ""
    return TissueMask(mask, (step, step), said)


def mask_step(shape: tuple[int, int], mpp: float | None) -> float:
    """Return the level-0 pixels per pixel of a mask, for a slide of a (height, width) and micrometres per pixel."""
    step = max(shape) / MASK_SIDE if mpp is None else MASK_UM / mpp
    return max(step, max(shape) / MAX_SIDE, 1.0)


def coarseness(step: float, mpp: float | None) -> float:
    """Return how many times coarser than usual the pixels of a mask are, at least 1; `step` is that of `mask_step`."""
    return 1.0 if mpp is None else max(1.0, step * mpp / MASK_UM)


def _clear_of_outside(view: Rgb) -> None:
    """Overwrite the border of a view, into which the white outside a slide is mixed, with what lies next to it."""
    height, width = view.shape[:2]
    if min(height, width) > 4:
        view[0], view[-2:] = view[1], view[-3]
        view[:, 0], view[:, -2:] = view[:, 1], view[:, -3:-2]


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
    return _tissue_and_ink(pixels, coarse)[0]


def _tissue_and_ink(pixels: Rgb, coarse: float) -> tuple[Mask, Mask]:
    if is_fluorescence(pixels):
        return _bright_in(pixels, coarse), np.zeros(pixels.shape[:2], bool)
    stain = _Stain(pixels)
    stained = stain.stained()
    ink = without_specks(stain.ink, SPECK / coarse**2)
    if ink.sum() * 2 > stained.sum():  # most of it: the stain itself is blue or green
        return _tidied(stained, coarse), np.zeros_like(ink)
    clear = ~ndimage.binary_dilation(ink, iterations=3)
    return _tidied(stained & clear, coarse) & clear, ink


def is_fluorescence(pixels: Rgb) -> bool:
    """Return True for bright tissue on a dark background, False also where black padding surrounds a stained slide."""
    dimmest, brightest = _extremes(pixels)
    if np.median(brightest) >= DARK:
        return False
    lit = brightest >= DARK
    if not lit.any() or np.median(brightest[lit]) < 120 or np.median(dimmest[lit]) < DARK:
        return True
    coloured = brightest[lit].astype(int) - dimmest[lit]
    white = np.median(dimmest[lit]) > 200
    return bool(np.percentile(coloured, 99) < BLACK_RANGE and not white)


class _Stain:
    """The stain in a view, measured strip by strip.

    Attributes
    ----------
    density : (h, w) float32
        Optical density minus half of its grey part, smoothed; 0 where nothing was scanned.
    coloured, ink, black, padding, even : (h, w) bool
        True where stain has a colour; on green and blue ink; where nothing was scanned; on one white or grey, as around
        scanned parts (it may be glass); where the density hardly varies over five pixels.
    threshold : float
        Tissue has a higher `density`; infinite if there is none.
    """

    def __init__(self, pixels: Rgb) -> None:
        self.density = np.empty(pixels.shape[:2], np.float32)
        kinds = (np.empty(pixels.shape[:2], bool) for _ in range(5))
        self.coloured, self.ink, self.black, self.padding, self.even = kinds
        for top in range(0, len(pixels), STRIP):
            self._measure(pixels, top)
        self.threshold = self._threshold(~self.black)

    def _measure(self, pixels: Rgb, top: int) -> None:
        first, stop = max(top - HALO, 0), min(top + STRIP, len(pixels))
        part = pixels[first : stop + HALO]
        density = -np.log10((part.astype(np.float32) + 1) / 256)
        dimmest, brightest = _extremes(part)
        black = (brightest < DARK) & (brightest - dimmest < BLACK_RANGE)
        density[black] = 0
        lowest, highest = _extremes(density)
        ink = (density[:, :, 0] - density[:, :, 1] > INK) & (highest - 0.5 * lowest > INK_STAIN)
        stain = ndimage.gaussian_filter(highest - 0.5 * lowest, 1.0)
        coloured = ndimage.gaussian_filter(highest - lowest, 1.0) >= GREY * stain
        inner, out = slice(top - first, stop - first), slice(top, stop)
        self.density[out], self.coloured[out], self.ink[out] = stain[inner], coloured[inner], ink[inner]
        self.black[out], self.padding[out] = black[inner], _uniform_grey(part)[inner]
        mean = ndimage.uniform_filter(stain.astype(np.float64), 5)
        self.even[out] = (ndimage.uniform_filter(stain.astype(np.float64) ** 2, 5) - mean**2 < EVEN**2)[inner]

    def _threshold(self, scanned: Mask) -> float:
        inside = scanned & ~self.padding
        if self._glass(inside) is not None:
            scanned = inside  # else what looks like padding may be all the glass there is
        values = self.density[scanned]
        if not values.size:
            return np.inf
        if np.ptp(values) < FLAT:
            return -np.inf if values.mean() > PALEST_TISSUE else np.inf
        otsu = float(threshold_otsu(values))  # type: ignore[no-untyped-call]
        glass = self._glass(scanned) or 0.0
        return float(np.clip(otsu, glass + 0.06, glass + 0.095))

    def _glass(self, scanned: Mask) -> float | None:
        """Return the density of the glass, None if too little is in view to know it."""
        pale = self.density[scanned & self.even & (self.density < PALEST_TISSUE)]
        if not pale.size:
            return None
        every = 1 + len(pale) // MANY
        pale = np.sort(pale[::every])
        palest = pale[: np.searchsorted(pale, pale[len(pale) // 50] + GLASS_RANGE)]
        glass = float(np.median(palest))
        enough = np.interp(glass, TINTS, GLASS_SHARES)
        return glass if every * len(palest) >= enough * np.count_nonzero(scanned) else None

    def stained(self) -> Mask:
        """Return True where there is more stain than on glass, and not only a shadow."""
        blurred = ndimage.binary_dilation(self.padding, iterations=2)
        mask = (self.density > self.threshold) & ~blurred
        coloured = mask & self.coloured
        return np.asarray(coloured if coloured.sum() * 2 > mask.sum() else mask, dtype=bool)


def _extremes(pixels: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the smallest and the largest of three channels: several times faster than along the last axis."""
    red, green, blue = (pixels[:, :, i] for i in range(3))
    return np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)


def _uniform_grey(pixels: Rgb) -> Mask:
    """Return True where a view is one white or grey like the padding around scanned parts."""
    green = pixels[:, :, 1]
    dimmest, brightest = _extremes(pixels)
    grey = (brightest - dimmest < 4) & ((green >= 254) | (green < 200))
    even = ndimage.maximum_filter(green, 3) - ndimage.minimum_filter(green, 3) <= 1
    return np.asarray(grey & even, dtype=bool)


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
        mask = mask | (closed & ~_open_gaps(closed & ~mask, coarse))
    mask = mask | _holes(mask, HOLE / coarse**2)
    speck = min(SPECK / coarse**2, SPECK_SHARE * mask.size)
    return without_specks(mask, speck)


def without_specks(mask: Mask, largest: float) -> Mask:
    """Drop pieces of no more than so many pixels, which touch each other by their sides."""
    pieces, count = ndimage.label(mask)
    kept = np.bincount(pieces.ravel(), minlength=count + 1) > round(largest)
    kept[0] = False
    return np.asarray(kept[pieces], dtype=bool)


def _open_gaps(filled: Mask, coarse: float) -> Mask:
    """Return the closed gaps that run to the border and are wider and longer than fat cells."""
    half, long = OPEN_HALF / coarse, OPEN_AREA / coarse**2
    gaps, count = ndimage.label(filled)
    touches, out = _at_border(gaps, count), np.zeros(filled.shape, bool)
    for i, place in enumerate(ndimage.find_objects(gaps), start=1):
        if not touches[i]:
            continue
        gap = gaps[place] == i
        if gap.sum() < long:
            continue
        edges = [(int(at.start > 0), int(at.stop < side)) for at, side in zip(place, filled.shape, strict=True)]
        wide = ndimage.distance_transform_edt(np.pad(gap, edges)) > half
        wide = wide[edges[0][0] : len(wide) - edges[0][1], edges[1][0] : wide.shape[1] - edges[1][1]]
        parts, parts_count = ndimage.label(wide)
        open_ = np.bincount(parts.ravel(), minlength=parts_count + 1) >= long
        open_[0] = False
        if open_.any():
            out[place] |= gap & (ndimage.distance_transform_edt(~open_[parts]) <= half + 1)
    return out


def _at_border(labels: npt.NDArray[np.int32], count: int) -> Mask:
    """Return for each label, 0 to `count`, whether it touches the border; False for 0."""
    touches = np.zeros(count + 1, bool)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        touches[side] = True
    touches[0] = False
    return touches


def _holes(mask: Mask, largest: float) -> Mask:
    """Return the gaps that tissue surrounds; glass that touches the border of the picture is none of them."""
    gaps, count = ndimage.label(~mask)
    sizes = np.bincount(gaps.ravel(), minlength=count + 1)
    hole = (sizes <= largest) & ~_at_border(gaps, count)
    hole[0] = False
    return np.asarray(hole[gaps], dtype=bool)


def _closed(wide: Mask, top: int, reach: int) -> Mask:
    """Close gaps of a mask with a rim of `reach`, in one strip of it: dilation and erosion by a disc."""
    lines = min(STRIP, len(wide) - 2 * reach - top)
    first = max(0, top - reach)  # closing looks twice as far as it reaches; the rim is part of that
    part = wide[first : top + lines + 3 * reach]
    near = ndimage.distance_transform_edt(~part) <= reach if part.any() else part
    closed = ndimage.distance_transform_edt(near) > reach if not near.all() else near
    start = top + reach - first
    return np.asarray(closed[start : start + lines, reach:-reach], dtype=bool)
