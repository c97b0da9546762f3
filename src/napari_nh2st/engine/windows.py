"""Covering entries of a slide's embeddings with windows that are encoded at once. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import IntArray

BlockIndex = tuple[int, int]
"""Row and column of a block."""

Bools = npt.NDArray[np.bool_]

# Entries a side of an empty square that is worth a look for cuts that free it.
HOLE = 8
# Windows whose order counts for how soon threads side by side are done.
LAST = 8


@dataclass(frozen=True)
class Window:
    """A rectangle of entries: rows [top, bottom), columns [left, right)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Entries down and across."""
        return self.bottom - self.top, self.right - self.left

    @property
    def centre(self) -> npt.NDArray[np.float64]:
        """Its middle (row, column)."""
        return np.array([self.top + self.bottom, self.left + self.right]) / 2

    def blocks(self, side: int) -> list[BlockIndex]:
        """Every block of so many entries a side that it touches, row by row."""
        rows, columns = (
            range(first // side, -(-end // side)) for first, end in ((self.top, self.bottom), (self.left, self.right))
        )
        return [(r, c) for r in rows for c in columns]

    def within(self, block: BlockIndex, side: int) -> Window:
        """Return the part of it that lies in a block."""
        top, left = (n * side for n in block)
        return Window(
            max(self.top, top), max(self.left, left), min(self.bottom, top + side), min(self.right, left + side)
        )  # fmt: skip

    def seen_from(self, top: int, left: int) -> tuple[slice, slice]:
        """Rows and columns of it in an array that begins at this entry."""
        return slice(self.top - top, self.bottom - top), slice(self.left - left, self.right - left)

    def halves(self, block: int = 1) -> tuple[Window, Window]:
        """Cut across the longer side, between blocks of so many entries a side where that is possible."""
        rows, columns = self.shape
        if rows >= columns:
            middle = _middle(self.top, self.bottom, block)
            return Window(self.top, self.left, middle, self.right), Window(middle, self.left, self.bottom, self.right)
        middle = _middle(self.left, self.right, block)
        return Window(self.top, self.left, self.bottom, middle), Window(self.top, middle, self.bottom, self.right)


def _middle(first: int, end: int, block: int) -> int:
    between = round((first + end) / 2 / block) * block
    return between if block > 1 and first < between < end else (first + end) // 2


@dataclass(frozen=True)
class Rules:
    """Rules by which entries are covered.

    Attributes
    ----------
    largest : int
        Entries a side of a window.
    rim : float
        Entries that a window costs more in height and in width: of its halo, and of the cells that its last ones pool.
    each : float
        Entries that could be encoded in the time that a window takes beside its encoding.
    block : int
        Entries a side of a block: too large windows are cut between blocks where that is possible.
    """

    largest: int
    rim: float
    each: float = 0.0
    block: int = 1

    def cost(self, window: Window) -> float:
        """Entries that could be encoded in the time of a window."""
        height, width = window.shape
        return (height + self.rim) * (width + self.rim) + self.each


def cover(wanted: IntArray, rules: Rules) -> list[Window]:
    """Cover entries with windows, each entry by one: cut where that saves work, or where a side is longer than allowed.

    Parameters
    ----------
    wanted : (n, 2) int64
        Rows and columns.
    rules : Rules

    Returns
    -------
    list of Window
        From the top down. They do not overlap.
    """
    if not len(wanted):
        return []
    mask, origin = _mask_of(wanted)
    out = _cut(mask, origin, rules)
    return sorted(out, key=lambda w: (w.top, w.left))


def evened(windows: Sequence[Window], rules: Rules, threads: int) -> list[Window]:
    """Halve a window that is more than a thread's share of the work, and put the larger of the last ones first.

    Otherwise a small section is one large window and some small ones, and one thread has nothing left to do.
    """
    out = list(windows)
    while out:
        largest = max(out, key=rules.cost)
        if threads * rules.cost(largest) <= sum(map(rules.cost, out)) or max(largest.shape) <= 2 * rules.block:
            break
        at = out.index(largest)
        out[at : at + 1] = largest.halves(rules.block)
    return out[:-LAST] + sorted(out[-LAST:], key=rules.cost, reverse=True)


def touched(windows: Sequence[Window], wanted: IntArray) -> list[Window]:
    """Return the windows that hold any of the entries (n, 2)."""
    if not len(wanted):
        return []
    mask, (top, left) = _mask_of(wanted)
    whole = Window(top, left, top + mask.shape[0], left + mask.shape[1])
    return [window for window in windows if mask[_common(window, whole).seen_from(top, left)].any()]


def _common(window: Window, other: Window) -> Window:
    top, left = max(window.top, other.top), max(window.left, other.left)
    return Window(top, left, max(top, min(window.bottom, other.bottom)), max(left, min(window.right, other.right)))


def _mask_of(wanted: IntArray) -> tuple[Bools, tuple[int, int]]:
    """Draw entries (n, 2), at least one: True where one is, in the rectangle round them all; and its first entry."""
    origin = wanted.min(axis=0)
    mask = np.zeros(tuple(wanted.max(axis=0) - origin + 1), dtype=bool)
    mask[tuple((wanted - origin).T)] = True
    return mask, (int(origin[0]), int(origin[1]))


def _cut(wanted: Bools, origin: tuple[int, int], rules: Rules) -> list[Window]:
    rows, columns = (np.flatnonzero(wanted.any(axis=axis)) for axis in (1, 0))
    wanted = wanted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top, left = origin[0] + int(rows[0]), origin[1] + int(columns[0])
    height, width = wanted.shape
    whole = Window(top, left, top + height, left + width)
    fits = max(height, width) <= rules.largest
    best = rules.cost(whole) if fits else np.inf
    where: tuple[int, int] | None = None
    for axis, (picture, first) in enumerate(((wanted, top), (wanted.T, left))):
        at, costs = _cuts(picture, rules)
        if not fits:
            chosen = np.isin(at, _equal_parts(len(picture), first, rules))
            at, costs = at[chosen], costs[chosen]
        if len(at) and costs.min() < best:
            best, where = float(costs.min()), (axis, int(at[costs.argmin()]))
    if where is None and not (max(height, width) > 2 * rules.rim and _has_hole(wanted)):
        return [whole]
    # No single cut frees a hole, but the next ones may.
    axis, cut = where or ((0, height // 2) if height >= width else (1, width // 2))
    one, other = np.split(wanted, [cut], axis=axis)
    step = (top + cut, left) if axis == 0 else (top, left + cut)
    parts = [*_cut(one, (top, left), rules), *_cut(other, step, rules)]
    return parts if where is not None or sum(rules.cost(part) for part in parts) < best else [whole]


def _has_hole(wanted: Bools) -> bool:
    """Tell whether a square of `HOLE` entries a side, of those side by side, is empty."""
    rows, columns = (-(-n // HOLE) for n in wanted.shape)
    squares = np.zeros((rows * HOLE, columns * HOLE), dtype=bool)
    squares[: wanted.shape[0], : wanted.shape[1]] = wanted
    return not squares.reshape(rows, HOLE, columns, HOLE).any(axis=(1, 3)).all()


def _cuts(picture: Bools, rules: Rules) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """Return every line before which a picture can be cut, and what both parts then cost."""
    height, width = picture.shape
    lines = picture.any(axis=1)
    first = np.where(lines, picture.argmax(axis=1), width)
    end = np.where(lines, width - picture[:, ::-1].argmax(axis=1), 0)
    number = np.arange(height)
    # Of the lines above a cut: where they begin, where they end, and the last one that holds anything; then below it.
    above = np.minimum.accumulate(first), np.maximum.accumulate(end), np.maximum.accumulate(number * lines)
    below = (
        np.minimum.accumulate(first[::-1])[::-1],
        np.maximum.accumulate(end[::-1])[::-1],
        np.minimum.accumulate(np.where(lines, number, height)[::-1])[::-1],
    )
    upper = (above[2] + 1 + rules.rim) * (above[1] - above[0] + rules.rim) + rules.each
    lower = (height - below[2] + rules.rim) * (below[1] - below[0] + rules.rim) + rules.each
    return number[1:], upper[:-1] + lower[1:]


def _equal_parts(size: int, first: int, rules: Rules) -> list[int]:
    """Return where a side that is too long may be cut: into equal parts, between blocks if they then fit, too."""
    parts = -(-size // rules.largest)
    out = []
    for k in range(1, parts):
        even = round(size * k / parts)
        between = round((first + even) / rules.block) * rules.block - first
        fit = 0 < between <= k * rules.largest and 0 < size - between <= (parts - k) * rules.largest
        out.append(between if fit else even)
    return out
