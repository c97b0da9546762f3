"""Covering missing blocks of tissue with windows that are encoded at once. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BlockIndex = tuple[int, int]
"""Row and column of a block."""


@dataclass(frozen=True)
class Window:
    """A rectangle of blocks: rows [top, bottom), columns [left, right)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Blocks down and across."""
        return self.bottom - self.top, self.right - self.left

    @property
    def centre(self) -> npt.NDArray[np.float64]:
        """Its middle (row, column), in blocks."""
        return np.array([self.top + self.bottom, self.left + self.right]) / 2

    @property
    def blocks(self) -> list[BlockIndex]:
        """Every block in it, row by row."""
        return [(r, c) for r in range(self.top, self.bottom) for c in range(self.left, self.right)]

    def halves(self) -> tuple[Window, Window]:
        """Cut across the longer side."""
        rows, columns = self.shape
        if rows >= columns:
            middle = self.top + rows // 2
            return Window(self.top, self.left, middle, self.right), Window(middle, self.left, self.bottom, self.right)
        middle = self.left + columns // 2
        return Window(self.top, self.left, self.bottom, middle), Window(self.top, middle, self.bottom, self.right)


def cover(missing: list[BlockIndex], largest: int, rim: float) -> list[Window]:
    """Cover blocks with few, large windows: each brings a rim with it that is computed and thrown away.

    A window is cut where that saves work, or where a side is longer than allowed.

    Parameters
    ----------
    missing : list of (row, column)
    largest : int
        Blocks a side.
    rim : float
        Cells of the halo on both sides together, in blocks.

    Returns
    -------
    list of Window
        From the top down.
    """
    if not missing:
        return []
    grid = np.array(missing)
    origin = grid.min(axis=0)
    wanted = np.zeros(tuple(grid.max(axis=0) - origin + 1), dtype=bool)
    wanted[tuple((grid - origin).T)] = True
    out = _cut(wanted, int(origin[0]), int(origin[1]), largest, rim)
    return sorted(out, key=lambda w: (w.top, w.left))


def _cut(wanted: npt.NDArray[np.bool_], top: int, left: int, largest: int, rim: float) -> list[Window]:
    rows, columns = (np.flatnonzero(wanted.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return []
    wanted = wanted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top, left = top + int(rows[0]), left + int(columns[0])
    height, width = wanted.shape
    fits = max(height, width) <= largest
    if fits and wanted.all():
        return [Window(top, left, top + height, left + width)]
    whole = (height + rim) * (width + rim)
    best, where = (whole if fits else np.inf), None
    for axis, size in enumerate(wanted.shape):
        for at in _cuts(size, largest):
            cost = sum(_cost(part, rim) for part in np.split(wanted, [at], axis=axis))
            if cost < best:
                best, where = cost, (axis, at)
    if where is None:
        return [Window(top, left, top + height, left + width)]
    axis, at = where
    first, second = np.split(wanted, [at], axis=axis)
    step = (top + at, left) if axis == 0 else (top, left + at)
    return [*_cut(first, top, left, largest, rim), *_cut(second, *step, largest, rim)]


def _cuts(size: int, largest: int) -> range | list[int]:
    """Return where a side may be cut: anywhere if it fits, else into equal parts that each fit."""
    if size <= 1:
        return []
    parts = -(-size // largest)
    return range(1, size) if parts == 1 else [round(size * k / parts) for k in range(1, parts)]


def _cost(wanted: npt.NDArray[np.bool_], rim: float) -> float:
    """Work to encode the smallest window round the wanted blocks, in blocks."""
    rows, columns = (np.flatnonzero(wanted.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return 0.0
    return float((rows[-1] - rows[0] + 1 + rim) * (columns[-1] - columns[0] + 1 + rim))
