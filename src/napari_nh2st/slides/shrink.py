"""A picture at half its size: each pixel the mean of the area it covers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

Rgb = npt.NDArray[np.uint8]
REACH = 4  # pixels beyond a block that the filter may look at

_PIXEL = np.dtype("V6")  # three sums of 16 bits, moved as one


def halve(pixels: Rgb) -> Rgb:
    """Average 2 x 2 pixels, (2 h, 2 w, 3) -> (h, w, 3), halves rounded up, as Pillow's `Image.reduce(2)` does.

    It lets other threads work, and takes a quarter of the time that a JPEG of as many pixels takes to decode.
    """
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    rows = np.add(pixels[0::2], pixels[1::2], dtype=np.uint16).reshape(height, -1)  # (h, 6 w): two rows together
    pairs = np.empty_like(rows)
    np.add(rows[:, :-3], rows[:, 3:], out=pairs[:, :-3])  # with the pixel to the right; every second one is meant
    sums = np.ascontiguousarray(pairs.view(_PIXEL)[:, 0::2]).view(np.uint16)  # (h, 3 w)
    sums += 2
    sums >>= 2
    return sums.astype(np.uint8).reshape(height, width, 3)


def window_under(
    corner: tuple[int, int], size: tuple[int, int], step: tuple[float, float], shape: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return the part (top, left, bottom, right) of the finer level that `shrink` needs for a block.

    Parameters
    ----------
    corner, size : (int, int)
        Of the block, y first, in pixels of the coarser level.
    step : (float, float)
        Finer pixels per coarser one.
    shape : (height, width)
        Of the finer level.
    """
    reach = 0 if step == (2.0, 2.0) else REACH
    first = [max(math.floor(corner[k] * step[k]) - reach, 0) for k in (0, 1)]
    last = [min(math.ceil((corner[k] + size[k]) * step[k]) + reach, shape[k]) for k in (0, 1)]
    return first[0], first[1], last[0], last[1]


def shrink(
    part: Rgb,
    window: tuple[int, int, int, int],
    corner: tuple[int, int],
    size: tuple[int, int],
    step: tuple[float, float],
) -> Rgb:
    """Shrink the part of the finer level in `window` to a block; the arguments are those of `window_under`.

    Not with Pillow's BOX: it takes whole pixels only, and would shift the pixels under an odd side by up to half of
    one.
    """
    if step == (2.0, 2.0):
        return halve(part)
    start = [corner[k] * step[k] - window[k] for k in (0, 1)]
    stop = [(corner[k] + size[k]) * step[k] - window[k] for k in (0, 1)]
    left, top, right, bottom = (min(v[k], part.shape[k]) for v in (start, stop) for k in (1, 0))
    shrunk = Image.fromarray(part).resize((size[1], size[0]), Image.Resampling.HAMMING, box=(left, top, right, bottom))
    return np.asarray(shrunk)
