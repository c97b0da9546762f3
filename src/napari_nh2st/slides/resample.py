"""Read a level at another scale, so that a pixel never depends on the block it is read in."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

Rgb = npt.NDArray[np.uint8]
# (y0, x0, y1, x1) in level pixels, inside the level -> uint8 (y1 - y0, x1 - x0, 3)
Fetch = Callable[[int, int, int, int], Rgb]

# Model pixels are computed in cells of this size on a grid anchored at the slide's origin. Pillow takes its box in
# single precision and derives every weight from it: only a cell that never changes always gives the same pixels.
CELL = 128
EXACT = 1e-3


def read_scaled(
    fetch: Fetch, shape: tuple[int, int], corner: tuple[int, int], size: tuple[int, int], step: tuple[float, float]
) -> Rgb:
    """Resample a part of a level with an antialiased triangle filter; white outside the level.

    Parameters
    ----------
    fetch : callable
        Reads a part of the level, (y0, x0, y1, x1) in whole level pixels.
    shape : (height, width)
        Of the level, in level pixels.
    corner : (y, x)
        First output pixel; output pixel (i, j) covers [i, i + 1) x [j, j + 1) times `step` level pixels.
    size : (height, width)
        In output pixels.
    step : (float, float)
        Level pixels per output pixel in y and x.

    Returns
    -------
    uint8 (height, width, 3)
        Bit for bit the same for a given output pixel, whatever `corner` and `size` are.
    """
    if step == (1.0, 1.0):
        y, x = corner
        return fetch_padded(fetch, shape, (y, x, y + size[0], x + size[1]))
    rows, columns = (_Axis(corner[k], size[k], step[k]) for k in (0, 1))
    source = fetch_padded(fetch, shape, (rows.source0, columns.source0, rows.source1, columns.source1))
    out = np.full((rows.cells * CELL, columns.cells * CELL, 3), 255, np.uint8)
    for i in range(rows.cells):
        top, bottom, *ys = rows.cell(i)
        for j in range(columns.cells):
            left, right, *xs = columns.cell(j)
            if rows.outside(i, shape[0]) or columns.outside(j, shape[1]):
                continue
            part = Image.fromarray(_crop(source, top, bottom, left, right))
            cell = part.resize((CELL, CELL), Image.Resampling.BILINEAR, box=(xs[0], ys[0], xs[1], ys[1]))
            out[i * CELL : (i + 1) * CELL, j * CELL : (j + 1) * CELL] = np.asarray(cell)
    y, x = rows.first, columns.first
    return np.ascontiguousarray(out[y : y + size[0], x : x + size[1]])


class _Axis:
    """The cells that one axis of a read needs, and the level pixels under it."""

    def __init__(self, start: int, count: int, step: float) -> None:
        self.step = step
        self.reach = math.ceil(max(step, 1.0)) + 1  # the triangle's support, and one for rounding
        self.cell0 = start // CELL
        self.cells = -(-(start + count) // CELL) - self.cell0
        self.first = start - self.cell0 * CELL
        # only the source of the requested pixels is read; the rest of a cell stays white and is cut off again
        self.source0 = math.floor(start * step) - self.reach
        self.source1 = math.ceil((start + count) * step) + self.reach

    def cell(self, index: int) -> tuple[int, int, float, float]:
        """Return a cell's source (start, stop) relative to `source0`, and its box relative to that start."""
        begin, end = ((self.cell0 + index + k) * CELL * self.step for k in (0, 1))
        start, stop = math.floor(begin) - self.reach, math.ceil(end) + self.reach
        return start - self.source0, stop - self.source0, begin - start, end - start

    def outside(self, index: int, side: int) -> bool:
        """Return True if a cell lies outside the level and is white."""
        start, stop, *_ = self.cell(index)
        return stop + self.source0 <= 0 or start + self.source0 >= side


def _crop(source: Rgb, top: int, bottom: int, left: int, right: int) -> Rgb:
    height, width = source.shape[:2]
    if top >= 0 and left >= 0 and bottom <= height and right <= width:
        return np.ascontiguousarray(source[top:bottom, left:right])
    out = np.full((bottom - top, right - left, 3), 255, np.uint8)
    y0, y1, x0, x1 = max(top, 0), min(bottom, height), max(left, 0), min(right, width)
    out[y0 - top : y1 - top, x0 - left : x1 - left] = source[y0:y1, x0:x1]
    return out


def fetch_padded(fetch: Fetch, shape: tuple[int, int], window: tuple[int, int, int, int]) -> Rgb:
    """Read a window (y0, x0, y1, x1) in level pixels that may reach outside the level, where it is white."""
    y0, x0, y1, x1 = window
    inside = (max(y0, 0), max(x0, 0), min(y1, shape[0]), min(x1, shape[1]))
    if inside == window:
        return fetch(*window)
    out = np.full((y1 - y0, x1 - x0, 3), 255, np.uint8)
    if inside[0] < inside[2] and inside[1] < inside[3]:
        part = fetch(*inside)
        out[inside[0] - y0 : inside[2] - y0, inside[1] - x0 : inside[3] - x0] = part
    return out


def snap(step: float, extent: int) -> float:
    """Return exactly 1 if the step is so near 1 that it shifts no pixel by a thousandth over `extent` pixels."""
    return 1.0 if abs(step - 1.0) * max(extent, 1) < EXACT else step
