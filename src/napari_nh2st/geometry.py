"""Places on a slide: boxes, tiles and their neighbours.

Every coordinate here is in *slide coordinates*: continuous level-0 pixels, x to the right, y down,
pixel i covering [i, i + 1). Lengths called ``pitch`` or ``patch`` are in *model pixels*; ``scale`` is
the number of level-0 pixels per model pixel (model mpp / slide mpp). Arrays of places are (n, 2), (x, y).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# The 3 x 3 neighbourhood as (column, row) steps, row by row; index SELF is the place itself.
NEIGHBOUR_STEPS: IntArray = np.array([(dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1)], dtype=np.int64)
SELF = 4


@dataclass(frozen=True)
class Box:
    """A half-open rectangle [x0, x1) x [y0, y1) in level-0 pixels.

    Raises
    ------
    ValueError
        If a side is negative or a corner is not finite.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        corners = np.array([self.x0, self.y0, self.x1, self.y1], dtype=float)
        if not np.isfinite(corners).all() or self.x1 < self.x0 or self.y1 < self.y0:
            raise ValueError(f"not a box: x {self.x0} to {self.x1}, y {self.y0} to {self.y1}")

    @classmethod
    def from_xywh(cls, x: float, y: float, width: float, height: float) -> Box:
        """Build a box from its top-left corner and its size, all in level-0 pixels."""
        return cls(x, y, x + width, y + height)

    @classmethod
    def of(cls, region: Box | Sequence[float]) -> Box:
        """Take a box as it is, or (x, y, width, height) as people write one, level-0 pixels.

        Raises
        ------
        ValueError
            If it is neither.
        """
        if isinstance(region, Box):
            return region
        try:
            x, y, width, height = (float(v) for v in region)
        except (TypeError, ValueError):
            raise ValueError(f"a region is (x, y, width, height) in level-0 pixels, or a Box, not {region!r}") from None
        return cls.from_xywh(x, y, width, height)

    @property
    def width(self) -> float:
        """Extent in x, level-0 pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Extent in y, level-0 pixels."""
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        """Area in level-0 pixels squared."""
        return self.width * self.height

    def intersect(self, other: Box) -> Box:
        """Return the common part; an empty box (area 0) if there is none."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        return Box(x0, y0, max(x0, min(self.x1, other.x1)), max(y0, min(self.y1, other.y1)))

    def contains(self, places: FloatArray) -> npt.NDArray[np.bool_]:
        """Return a mask (n,) of the (n, 2) places in the box."""
        x, y = places[:, 0], places[:, 1]
        return (x >= self.x0) & (x < self.x1) & (y >= self.y0) & (y < self.y1)


@dataclass(frozen=True, eq=False, repr=False)
class TileSet:
    """Places to predict: tile or spot centres on one slide.

    Attributes
    ----------
    centres : (n, 2) float64
        Centres (x, y) in level-0 pixels.
    scale : float
        Level-0 pixels per model pixel.
    pitch : int
        Distance between lattice neighbours, model pixels. For given places, the size at which they are drawn.
    grid : (n, 2) int64 or None
        Lattice index (row, column) of each place, None for given places.
    """

    centres: FloatArray
    scale: float
    pitch: int
    grid: IntArray | None = None

    def __post_init__(self) -> None:
        centres = np.asarray(self.centres, dtype=np.float64).reshape(-1, 2)
        object.__setattr__(self, "centres", centres)
        if not np.isfinite(centres).all():
            raise ValueError("a tile centre is not a finite number")
        if not (np.isfinite(self.scale) and self.scale > 0 and self.pitch > 0):
            raise ValueError(f"scale and pitch must be positive, got {self.scale} and {self.pitch}")
        if self.grid is not None and self.grid.shape != centres.shape:
            raise ValueError(f"{len(centres)} centres but grid indices of shape {self.grid.shape}")

    def __len__(self) -> int:
        return len(self.centres)

    def __repr__(self) -> str:
        where = "given" if self.grid is None else "on the lattice"
        return f"TileSet({len(self):,} places {where}, pitch {self.pitch} model px, scale {self.scale:.4g})"

    def holding(self, points: npt.ArrayLike) -> IntArray:
        """Find the tile that holds each point.

        A tile is the square of side pitch x scale around a place's centre, half-open on the lattice. Squares of given
        places may overlap: the nearest centre has the point.

        Parameters
        ----------
        points : (m, 2) array
            (x, y) in level-0 pixels.

        Returns
        -------
        (m,) int64
            Index of the place, -1 where there is none.
        """
        at = np.asarray(points, dtype=np.float64)
        if at.ndim != 2 or at.shape[1] != 2:
            raise ValueError(f"points are an array (m, 2) of x and y in level-0 pixels, not of shape {at.shape}")
        found = np.full(len(at), -1, dtype=np.int64)
        finite = np.flatnonzero(np.isfinite(at).all(axis=1))
        if len(self):
            near = self._nearest if self.grid is None else self._cells
            found[finite] = near(at[finite])
        return found

    def _cells(self, points: FloatArray) -> IntArray:
        """Find points (m, 2) on the lattice."""
        assert self.grid is not None
        side, first = self.pitch * self.scale, self.grid.min(axis=0)
        corner = self.centres[0] - (self.grid[0] - first)[::-1] * side - side / 2
        index = np.full(tuple(self.grid.max(axis=0) - first + 1), -1, dtype=np.int64)
        index[tuple((self.grid - first).T)] = np.arange(len(self))
        cells = np.floor((points - corner) / side)[:, ::-1]
        there = ((cells >= 0) & (cells < index.shape)).all(axis=1)
        found = np.full(len(points), -1, dtype=np.int64)
        found[there] = index[tuple(cells[there].astype(np.int64).T)]
        return found

    def _nearest(self, points: FloatArray) -> IntArray:
        """Find the nearest of given places, if its square holds the point."""
        found = np.full(len(points), -1, dtype=np.int64)
        for start in range(0, len(points), 256):
            away = np.abs(points[start : start + 256, None] - self.centres[None]).max(axis=2)
            nearest = away.argmin(axis=1)
            holds = away[np.arange(len(away)), nearest] <= self.pitch * self.scale / 2
            found[start : start + 256] = np.where(holds, nearest, -1)
        return found

    @classmethod
    def at(cls, centres: npt.ArrayLike, *, scale: float, pitch: int) -> TileSet:
        """Take given places, such as the centres of measured spots.

        Parameters
        ----------
        centres : (n, 2) array
            Centres (x, y) in level-0 pixels.
        scale : float
            Level-0 pixels per model pixel.
        pitch : int
            Distance between spots in model pixels.
        """
        return cls(np.asarray(centres, dtype=np.float64), float(scale), int(pitch))

    @classmethod
    def lattice(cls, box: Box, *, scale: float, pitch: int, patch: int) -> TileSet:
        """Lay the slide's lattice over a box and keep every tile whose centre lies in it.

        The lattice is anchored at the slide's origin: tile (row, column) has its patch's top-left corner at
        ``(column, row) * pitch`` model pixels, wherever the box is. Panning, whole-slide runs and a second session
        therefore use the same places.

        Parameters
        ----------
        box : Box
            Level-0 pixels.
        scale : float
            Level-0 pixels per model pixel.
        pitch, patch : int
            Distance between tiles and side of a patch, model pixels.
        """
        half = patch / 2
        first = [int(np.ceil((v / scale - half) / pitch)) for v in (box.x0, box.y0)]
        last = [int(np.ceil((v / scale - half) / pitch)) for v in (box.x1, box.y1)]
        columns, rows = (np.arange(max(a, 0), max(b, a, 0), dtype=np.int64) for a, b in zip(first, last, strict=True))
        row, column = (a.ravel() for a in np.meshgrid(rows, columns, indexing="ij"))
        centres: FloatArray = (np.stack([column, row], axis=1).astype(np.float64) * float(pitch) + half) * scale
        return cls(centres, float(scale), int(pitch), np.stack([row, column], axis=1))

    def select(self, keep: npt.NDArray[np.bool_] | IntArray) -> TileSet:
        """Return the places picked by a mask or by indices, in that order."""
        grid = None if self.grid is None else self.grid[keep]
        return TileSet(self.centres[keep], self.scale, self.pitch, grid)

    def neighbours(self, pitch: int) -> FloatArray:
        """Return the 3 x 3 neighbourhood of every place.

        Neighbours are places in the image, at the pitch the model was trained with, not the spots that happen to be
        measured.

        Parameters
        ----------
        pitch : int
            Neighbour distance in model pixels, from the model's card.

        Returns
        -------
        (n, 9, 2) float64
            Level-0 pixels, row by row from the top left; index ``SELF`` (4) is the place itself.
        """
        steps = NEIGHBOUR_STEPS.astype(np.float64) * (float(pitch) * self.scale)
        out: FloatArray = self.centres[:, None, :] + steps[None]
        return out


def far_apart(points: FloatArray, count: int) -> list[int]:
    """Choose points (n, m) that are far from the middle and from one another, fewer where points are equal.

    The first is the one farthest from the mean; each further one is farthest from those that are chosen. The order of
    the points changes nothing.
    """
    x = points - points.mean(axis=0)
    # On a lattice many distances are equal: a slant decides, or rounding would.
    slant = 1 + 1e-3 * np.tanh(x @ np.sqrt(np.arange(2, x.shape[1] + 2)) / (np.abs(x).sum() / len(x) + 1e-12))
    chosen = [int((np.square(x).sum(axis=1) * slant).argmax())]
    nearest = np.square(x - x[chosen[0]]).sum(axis=1)
    while len(chosen) < count and nearest.max() > 0:
        chosen.append(int((nearest * slant).argmax()))
        nearest = np.minimum(nearest, np.square(x - x[chosen[-1]]).sum(axis=1))
    return chosen
