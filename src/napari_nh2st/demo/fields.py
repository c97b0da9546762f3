"""Smooth random fields on a coarse grid, and exact sums of grid maps over squares.

Everything here is in micrometres, x right, y down, the origin at the section's top-left corner. Grid cell
(row r, column c) covers [c, c + 1) x [r, r + 1) times `STEP` um.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

STEP = 8.0
"""Side of a cell of the coarse grid, um."""


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], sigma_um: float) -> Float32:
    """Draw a Gaussian random field of zero mean and unit variance.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (rows, columns)
        Cells of the coarse grid.
    sigma_um : float
        Smoothing length in um; the field keeps its sign over about three times that.
    """
    field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma_um / STEP, mode="wrap")
    normal: Float32 = ((field - field.mean()) / field.std()).astype(np.float32)
    return normal


def enlarge(field: Float32, shape: tuple[int, int]) -> Float32:
    """Resample a coarse field bicubically to `shape` (rows, columns), cell centres on cell centres."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.array(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), dtype=np.float32)


def sample(field: Float32, places: Float64) -> Float64:
    """Read a coarse field at (n, 2) places (x, y) in um, bilinearly, the border value beyond the grid."""
    rows_columns = places[:, ::-1].T / STEP - 0.5
    values: Float64 = ndimage.map_coordinates(field.astype(np.float64), rows_columns, order=1, mode="nearest")
    return values


def count_map(places: Float64, shape: tuple[int, int]) -> Float64:
    """Count (n, 2) places (x, y), um, into the cells of a coarse grid of `shape` (rows, columns)."""
    counts, _, _ = np.histogram2d(
        places[:, 1],
        places[:, 0],
        bins=shape,
        range=((0, shape[0] * STEP), (0, shape[1] * STEP)),
    )
    return counts.astype(np.float64)


@dataclass(frozen=True, eq=False)
class Summed:
    """A summed-area table of a coarse map, for sums over squares anywhere.

    Attributes
    ----------
    table : (rows + 1, columns + 1) float64
        Sum of all cells above and to the left of each grid corner.
    """

    table: Float64

    @classmethod
    def of(cls, cells: npt.ArrayLike) -> Summed:
        """Sum up a map of per-cell totals."""
        table = np.cumsum(np.cumsum(np.asarray(cells, dtype=np.float64), axis=0), axis=1)
        return cls(np.pad(table, ((1, 0), (1, 0))))

    def _corner(self, x: Float64, y: Float64) -> Float64:
        # Bilinear reading of the table is exact for a density that is constant within each cell.
        values: Float64 = ndimage.map_coordinates(self.table, [y / STEP, x / STEP], order=1, mode="nearest")
        return values

    def square(self, centres: Float64, side: float) -> Float64:
        """Total over the squares of `side` um around (n, 2) centres (x, y) in um; off the grid there is nothing."""
        x, y, half = centres[:, 0], centres[:, 1], side / 2
        x0, x1, y0, y1 = x - half, x + half, y - half, y + half
        return self._corner(x1, y1) - self._corner(x0, y1) - self._corner(x1, y0) + self._corner(x0, y0)
