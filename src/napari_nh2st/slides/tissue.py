"""A coarse map of tissue, and the share of tissue at a place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Ground(Protocol):
    """A source of the amount of tissue at a place: a `TissueMask`, or another."""

    def fraction_at(self, centres: npt.ArrayLike, side: float) -> FloatArray:
        """See `TissueMask.fraction_at`."""
        ...


@dataclass(frozen=True, eq=False)
class TissueMask:
    """A coarse map of tissue.

    Attributes
    ----------
    mask : (h, w) bool
        True on tissue. Mask pixel (i, j) covers level-0 rows [i, i + 1) * steps[0] and columns [j, j + 1) * steps[1].
    steps : (float, float)
        Level-0 pixels per mask pixel in y and x.
    remark : str
        A sentence on what was not counted as tissue, or "".
    """

    mask: Mask
    steps: tuple[float, float]
    remark: str = ""
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
        """Level-0 pixels per mask pixel, the mean of both `steps`."""
        return (self.steps[0] + self.steps[1]) / 2

    @property
    def fraction(self) -> float:
        """Part of the slide that is tissue, 0 to 1."""
        return float(self.mask.mean())

    def fraction_at(self, centres: npt.ArrayLike, side: float) -> FloatArray:
        """Return the share of tissue in a square around each place.

        Parameters
        ----------
        centres : (n, 2) array
            (x, y) in level-0 pixels.
        side : float
            Of the squares, level-0 pixels.

        Returns
        -------
        (n,) float64
            0 to 1; outside the slide there is no tissue.
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
