"""Stain statistics of a place: fifteen numbers for strength, unevenness and texture; nothing is learnt."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = (1, 2, 4)
"""Sides of the squares, model pixels, at which texture is measured."""

STAIN_FEATURES = 3 * (2 + len(SCALES))
"""Per channel: mean and standard deviation of optical density, and its local contrast at every scale."""

STAIN_MARGIN = max(SCALES)
"""Pixels beyond the cells at which contrast looks."""

# Cells down and across that `stain_inside` describes at once: their lines lie in the processor's cache.
_AT_ONCE = (2, 96)

F32 = npt.NDArray[np.float32]

# Pixels of a channel per batch on a processor, so that they fit into its cache.
BAND = 2**18


def stain_maps(pixels: Tensor, stride: int) -> Tensor:
    """Describe the 7 x 7 cells around every place of a feature map.

    Optical density is ``-ln((I + 1) / 256)`` per channel (Beer and Lambert; the 1 keeps black finite). Local contrast
    at scale k is the mean distance of a k x k mean from the mean of its 3 x 3 such neighbours.

    Parameters
    ----------
    pixels : (B, 3, H, W) tensor
        RGB, 0 to 255. H and W are multiples of `stride`.
    stride : int
        Pixels per cell.

    Returns
    -------
    (B, STAIN_FEATURES, H / stride - 6, W / stride - 6) tensor
        Entry (i, j) describes the square of 7 cells around ``(j + 3, i + 3) * stride``, like the encoder's entries.
    """
    rows, columns = pixels.shape[2] // stride, pixels.shape[3] // stride
    band = max(1, BAND // (stride * pixels.shape[3])) if pixels.device.type == "cpu" else rows
    bands = [_cells(pixels, stride, top, min(rows, top + band)) for top in range(0, rows, band)]
    mean, square, *rest = [
        F.avg_pool2d(torch.cat(p, dim=2)[..., :columns], 7, stride=1) for p in zip(*bands, strict=True)
    ]
    spread = (square - mean * mean).clamp(min=1e-6).sqrt()
    return torch.cat([-mean, spread, *rest], dim=1)


def _cells(pixels: Tensor, stride: int, top: int, bottom: int) -> list[Tensor]:
    """Log of light, its square and its contrasts, each a mean per cell of the rows [top, bottom)."""
    # Cells are centred on multiples of the stride, like the encoder's: half a cell lies beyond the border, and contrast
    # looks a little further.
    half, height = stride // 2, pixels.shape[2]
    first, last = top * stride - 2 * half, bottom * stride + half
    part = pixels[:, :, max(first, 0) : min(last, height)]
    # Planes of their own: pooling three interleaved channels is several times slower on a processor.
    light = part.to(torch.float32, copy=True, memory_format=torch.contiguous_format).clamp_(0, 255)
    light = light.add_(1).div_(256).log_()
    above = half if top == 0 else 0
    light = F.pad(light, (half, half, above, half if last > height else 0), mode="replicate")
    start = 0 if top == 0 else half  # the line at which the first cell begins
    rows = bottom - top

    def cells(x: Tensor, k: int) -> Tensor:
        x = x[:, :, start // k : start // k + rows * stride // k]
        return F.avg_pool2d(x, stride // k)

    out = [cells(light, 1), cells(light * light, 1)]
    for k in SCALES:
        small = F.avg_pool2d(light, k) if k > 1 else light
        out.append(cells((small - _surroundings(small)).abs_(), k))
    return out


def _surroundings(x: Tensor) -> Tensor:
    """Mean of the 3 x 3 values around each one, of fewer at a border: (B, 3, H, W) -> the same."""
    for axis in (2, 3):
        total = x.clone()
        size = x.shape[axis]
        total.narrow(axis, 1, size - 1).add_(x.narrow(axis, 0, size - 1))
        total.narrow(axis, 0, size - 1).add_(x.narrow(axis, 1, size - 1))
        count = torch.full((size,), 3.0, device=x.device)
        count[0] -= 1
        count[-1] -= 1
        x = total.div_(count.view(-1, 1) if axis == 2 else count)
    return x


def stain_inside(pixels: npt.NDArray[np.uint8], stride: int) -> F32:
    """Describe tissue as `stain_maps` does, on one thread of a processor and several times faster: no border is seen.

    Lines stay as they are read, three channels side by side. Squares are added up down and across once for all scales.

    Parameters
    ----------
    pixels : (H, W, 3) uint8
        Cells of `stride` pixels, with `STAIN_MARGIN` pixels round them all.
    stride : int

    Returns
    -------
    (rows - 6, columns - 6, STAIN_FEATURES) float32
        Of so many rows and columns of cells.
    """
    rows, columns = ((n - 2 * STAIN_MARGIN) // stride for n in pixels.shape[:2])
    cells = np.empty((rows, columns, STAIN_FEATURES), dtype=np.float32)
    down, across = _AT_ONCE
    for top in range(0, rows, down):
        for left in range(0, columns, across):
            bottom, right = min(rows, top + down), min(columns, left + across)
            y, x = (slice(a * stride, b * stride + 2 * STAIN_MARGIN) for a, b in ((top, bottom), (left, right)))
            part = pixels[y, x]
            light = np.multiply(part.reshape(len(part), -1), np.float32(1 / 256), dtype=np.float32)
            light += np.float32(1 / 256)
            cells[top:bottom, left:right] = _describe(np.log(light, out=light), stride)
    mean, square, contrast = np.split(_seven(_seven(cells, 0), 1), [3, 6], axis=2)
    spread = np.sqrt(np.maximum(square - mean * mean, np.float32(1e-6)))
    return np.concatenate([-mean, spread, contrast], axis=2)


def _describe(light: F32, stride: int) -> F32:
    """Log of light (lines, 3 x pixels), its square and its contrasts, each a mean per cell (rows, columns, 15)."""
    lines, width = light.shape
    rows, columns = (lines - 2 * STAIN_MARGIN) // stride, (width // 3 - 2 * STAIN_MARGIN) // stride

    def cells(values: F32, square: int, step: int) -> F32:
        """Means per cell of sums over squares; pixels across go in steps."""
        side = stride // square
        total = np.add.reduce(values.reshape(rows, side, -1), axis=1).reshape(rows, columns, -1)
        mean: F32 = total @ _every(stride // step, square // step) * np.float32((side * square) ** -2)
        return mean

    def contrast(sums: F32, square: int, step: int) -> F32:
        """Mean distance of squares from the mean of nine; `sums` has a line of squares more above and below."""
        three = sums[:-2] + sums[1:-1]
        three += sums[2:]
        first, count, beside = 3 * STAIN_MARGIN // step, 3 * stride * columns // step, 3 * square // step
        inner = slice(first, first + count)
        nine = three[:, first - beside : first - beside + count] + three[:, inner]
        nine += three[:, first + beside : first + beside + count]
        nine *= np.float32(1 / 9)
        nine -= sums[1:-1, inner]
        return cells(np.abs(nine, out=nine), square, step)

    pairs = light[0::2] + light[1::2]
    twos = pairs.copy()
    twos[:, :-3] += pairs[:, 3:]  # at every pixel across, of which every other one is used
    halves = (twos[0::2] + twos[1::2]).reshape(lines // 4, width // 12, 4, 3)
    fours = (halves[:, :, 0] + halves[:, :, 2]).reshape(lines // 4, width // 4)
    inner = light[STAIN_MARGIN:-STAIN_MARGIN, 3 * STAIN_MARGIN : -3 * STAIN_MARGIN]
    parts = [cells(fours[1:-1, 3:-3], 4, 4), cells(inner * inner, 1, 1)]
    parts += [contrast(light[3:-3], 1, 1), contrast(twos[1:-1], 2, 1), contrast(fours, 4, 4)]
    return np.concatenate(parts, axis=2)


@cache
def _every(pixels: int, step: int) -> F32:
    """Matrix (3 x pixels, 3) that adds up every `step`-th of some pixels, channel by channel."""
    chosen = np.zeros((pixels, 3, 3), dtype=np.float32)
    chosen[::step] = np.eye(3)
    return chosen.reshape(3 * pixels, 3)


def _seven(values: F32, axis: int) -> F32:
    """Means of seven neighbours along an axis."""
    count = values.shape[axis] - 6
    total = values.take(range(count), axis=axis)
    for i in range(1, 7):
        total += values.take(range(i, i + count), axis=axis)
    return total * np.float32(1 / 7)
