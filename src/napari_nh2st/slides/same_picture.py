"""Comparison of two images of a file at a few places, to see if the smaller one shows the same as the larger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

Rgb = npt.NDArray[np.uint8]
Spot = tuple[float, float]  # centre, as parts of height and width

SIDE = 32  # of a compared square, pixels of the smaller image; less if that is no more than two squares wide
SMALLEST = 8
CELLS = 8  # squares are averaged to this many cells a side: levels differ in their filters, not in what they show
WHOLE_PIXELS = 4_000_000  # an image up to this size is looked at whole, to choose places that tell something
FEW_PIXELS, FEW_SPOTS = 300_000, 6  # the same, and how many places, for a page that the file calls a level
FLAT = 3.0  # standard deviation of a square in which there is nothing to compare
ALIKE = 0.7  # correlation
FAR, FAR_CELL = 20.0, 70.0  # difference of mean colour, of 255: of a square, and of one of its cells
FAINT = 20.0  # cells that differ by no more may have lost their content to compression
ENOUGH = 2  # squares with content that must agree


class Readable(Protocol):
    """An image in chunks, as `chunks.ChunkReader`."""

    shape: tuple[int, int]
    chunk: tuple[int, int]

    def read_chunk(self, row: int, column: int) -> Rgb | None:
        """Return a chunk, None if it cannot be read."""


def same_picture(fine: Readable, coarse: Readable, spots: Sequence[Spot]) -> bool:
    """Tell whether `coarse` shows the same as `fine`.

    Parameters
    ----------
    fine, coarse
        Two images of the same proportions.
    spots : sequence of (y, x)
        Where to look, from `telling_spots`.

    Returns
    -------
    bool
        True if at least two places with content agree and no place differs. Flat glass at all places agrees to nothing.
    """
    agreed = 0
    for spot in spots:
        answer = _agrees(fine, coarse, spot)
        if answer is False:
            return False
        agreed += answer is True
    return agreed >= ENOUGH


def telling_spots(image: Readable, whole: int = WHOLE_PIXELS) -> list[Spot]:
    """Choose where to compare: spread over the image, where it has most content, and where colours are strongest.

    Drawings and masks have strong colours or black; a mere grid would miss a thin line. An image of more than `whole`
    pixels gets a grid all the same.
    """
    height, width = image.shape
    if height * width > whole:
        return [((i + 0.5) / 6, (j + 0.5) / 6) for i in range(6) for j in range(6)]
    pixels = _part(image, 0, 0, height, width)
    side = _side(image.shape)
    if pixels is None or side < SMALLEST:
        return []
    rows, columns = height // side, width // side
    blocks = pixels[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
    content = blocks.mean(axis=4).std(axis=(1, 3))
    colour = (blocks.max(axis=4) - blocks.min(axis=4)).max(axis=(1, 3)).astype(float)
    dark = -blocks.mean(axis=4).min(axis=(1, 3))
    chosen = [*_best_of_cells(content), *_best(colour, 3), *_best(dark, 2)]
    return [((i + 0.5) * side / height, (j + 0.5) * side / width) for i, j in dict.fromkeys(chosen)]


def other_picture(fine: Readable, coarse: Readable) -> bool:
    """Tell whether `coarse` shows something other than `fine`: more places differ than agree, and at least two.

    This is not the contrary of `same_picture`: an empty image shows nothing else, and a level on which somebody has
    drawn, or that was sharpened, differs at some places. Few places are looked at: such a page is hardly ever met, and
    slides are to open at once.
    """
    spots = telling_spots(coarse, FEW_PIXELS)
    answers = [_agrees(fine, coarse, spot) for spot in spots[:: max(len(spots) // FEW_SPOTS, 1)]]
    return answers.count(False) >= max(answers.count(True) + 1, ENOUGH)


def is_tiny(shape: tuple[int, int]) -> bool:
    """Return True for an image that is too small to show a section."""
    return min(shape) < 2 * SIDE


def _side(shape: tuple[int, int]) -> int:
    """Return the side of a compared square; two fit into the image each way, as two must agree."""
    return min(SIDE, min(shape) // 2)


def _best_of_cells(content: npt.NDArray[np.float64], cells: int = 4) -> list[tuple[int, int]]:
    """Return the fullest block in each of up to 4 x 4 parts of the image."""
    chosen = []
    for rows in np.array_split(np.arange(content.shape[0]), min(cells, content.shape[0])):
        for columns in np.array_split(np.arange(content.shape[1]), min(cells, content.shape[1])):
            i, j = np.unravel_index(int(content[np.ix_(rows, columns)].argmax()), (len(rows), len(columns)))
            chosen.append((int(rows[i]), int(columns[j])))
    return chosen


def _best(values: npt.NDArray[np.float64], count: int) -> list[tuple[int, int]]:
    order = np.argsort(values, axis=None)[::-1][:count]
    return [(int(k) // values.shape[1], int(k) % values.shape[1]) for k in order]


def _agrees(fine: Readable, coarse: Readable, spot: Spot) -> bool | None:
    """Compare one square; None if there is nothing to compare."""
    height, width = coarse.shape
    side = _side(coarse.shape)
    if side < SMALLEST:
        return None
    top, left = (min(max(round(p * n - side / 2), 0), n - side) for p, n in zip(spot, coarse.shape, strict=True))
    steps = (fine.shape[0] / height, fine.shape[1] / width)
    small = _part(coarse, top, left, top + side, left + side)
    bounds = (top * steps[0], left * steps[1], (top + side) * steps[0], (left + side) * steps[1])
    y0, x0, y1, x1 = (int(bounds[0]), int(bounds[1]), int(np.ceil(bounds[2])), int(np.ceil(bounds[3])))
    large = _part(fine, y0, x0, min(y1, fine.shape[0]), min(x1, fine.shape[1]))
    if small is None or large is None:
        return None
    box = (bounds[1] - x0, bounds[0] - y0, bounds[3] - x0, bounds[2] - y0)
    alike = _alike(_cells(small, (0, 0, side, side), CELLS), _cells(large, box, CELLS))
    if alike is None:  # no content at this size: fine structure may agree, but where it does not it is noise on glass
        return _alike(_cells(small, (0, 0, side, side), side), _cells(large, box, side)) or None
    return alike


def _cells(pixels: Rgb, box: tuple[float, float, float, float], cells: int) -> npt.NDArray[np.float64]:
    """Average the box (left, top, right, bottom) of an image to cells x cells."""
    box = (box[0], box[1], min(box[2], pixels.shape[1]), min(box[3], pixels.shape[0]))
    image = Image.fromarray(pixels).resize((cells, cells), Image.Resampling.BOX, box=box)
    return np.asarray(image, dtype=np.float64)


def _alike(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> bool | None:
    """Compare (n, n, 3) means of two squares; None if both are flat."""
    if np.abs(a - b).max() > FAR_CELL or np.abs(a.mean(axis=(0, 1)) - b.mean(axis=(0, 1))).max() > FAR:
        return False
    spread = [v.std(axis=(0, 1)) for v in (a, b)]
    content = np.maximum(*spread) >= 2 * FLAT
    if not content.any():
        return None
    if (np.minimum(*spread)[content] >= FLAT / 2).all() and all(
        np.corrcoef(a[:, :, k].ravel(), b[:, :, k].ravel())[0, 1] >= ALIKE for k in np.flatnonzero(content)
    ):
        return True
    return None if np.abs(a - b).max() <= FAINT else False


def _part(image: Readable, top: int, left: int, bottom: int, right: int) -> Rgb | None:
    """Read a rectangle chunk by chunk; None if any of it cannot be read."""
    height, width = image.chunk
    out = np.empty((bottom - top, right - left, 3), np.uint8)
    for row in range(top // height, -(-bottom // height)):
        for column in range(left // width, -(-right // width)):
            chunk = image.read_chunk(row, column)
            if chunk is None:
                return None
            y, x = row * height, column * width
            y0, x0, y1, x1 = max(y, top), max(x, left), min(y + height, bottom), min(x + width, right)
            out[y0 - top : y1 - top, x0 - left : x1 - left] = chunk[y0 - y : y1 - y, x0 - x : x1 - x]
    return out
