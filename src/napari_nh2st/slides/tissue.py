"""Where the tissue is, found on a coarse view of the slide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import remove_small_holes, remove_small_objects

from napari_nh2st.slides.resample import Rgb

MASK_UM = 8.0
MASK_SIDE = 1536
MAX_SIDE = 6000
# Mask pixels, 8 um each: the reach of a gap that is closed, the largest hole filled, the largest speck dropped
CLOSING, HOLE, SPECK = 8, 4000, 150
DARK = 40  # of 255
# Of the measure in `tissue_in`: glass is paler than the first; a range below the second is one thing alone
PALEST_TISSUE, FLAT = 0.13, 0.01

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TissueMask:
    """A coarse map of tissue.

    Attributes
    ----------
    mask : (h, w) bool
        True on tissue. Mask pixel (i, j) covers level-0 rows [i, i + 1) * steps[0] and columns [j, j + 1) * steps[1].
    steps : (float, float)
        Level-0 pixels per mask pixel in y and x.
    """

    mask: Mask
    steps: tuple[float, float]
    _sums: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        sums = np.zeros((self.mask.shape[0] + 1, self.mask.shape[1] + 1))
        np.cumsum(self.mask, axis=0, out=sums[1:, 1:])
        np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
        object.__setattr__(self, "_sums", sums)

    @classmethod
    def from_array(cls, array: npt.ArrayLike, shape: tuple[int, int]) -> TissueMask:
        """Take an edited mask.

        Parameters
        ----------
        array : (h, w) bool or int
            Non-zero on tissue; covers the whole slide at any resolution.
        shape : (height, width)
            Of the slide, in level-0 pixels.

        Raises
        ------
        ValueError
            If the array is not two-dimensional or is empty.
        """
        mask = np.asarray(array) != 0
        if mask.ndim != 2 or mask.size == 0:
            raise ValueError(f"a tissue mask is a (height, width) array, got shape {mask.shape}")
        return cls(mask, (shape[0] / mask.shape[0], shape[1] / mask.shape[1]))

    @property
    def step(self) -> float:
        """Level-0 pixels per mask pixel: the mean of both axes, which `steps` tells apart."""
        return (self.steps[0] + self.steps[1]) / 2

    @property
    def fraction(self) -> float:
        """Part of the slide that is tissue, 0 to 1."""
        return float(self.mask.mean())

    def fraction_at(self, centres: npt.ArrayLike, side: float) -> FloatArray:
        """Return how much of a square round each place is tissue.

        Parameters
        ----------
        centres : (n, 2) array
            (x, y) in level-0 pixels.
        side : float
            Of the squares, level-0 pixels.

        Returns
        -------
        (n,) float64
            0 to 1; what lies outside the slide is not tissue.
        """
        places = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
        half = side / 2
        left, right = ((places[:, 0] + d) / self.steps[1] for d in (-half, half))
        top, bottom = ((places[:, 1] + d) / self.steps[0] for d in (-half, half))
        inside = self._sum(bottom, right) - self._sum(top, right) - self._sum(bottom, left) + self._sum(top, left)
        area = (side / self.steps[0]) * (side / self.steps[1])
        return np.clip(inside / area, 0.0, 1.0)

    def _sum(self, y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the tissue area above and left of places in mask pixels, bilinear between its whole values."""
        height, width = self.mask.shape
        y, x = np.clip(y, 0, height), np.clip(x, 0, width)
        i, j = np.minimum(y.astype(np.int64), height - 1), np.minimum(x.astype(np.int64), width - 1)
        v, u = y - i, x - j
        s = self._sums
        upper = s[i, j] * (1 - u) + s[i, j + 1] * u
        lower = s[i + 1, j] * (1 - u) + s[i + 1, j + 1] * u
        return np.asarray(upper * (1 - v) + lower * v)


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
