"""Stain statistics of a place: fifteen numbers for strength, unevenness and texture; nothing is learnt."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = (1, 2, 4)
"""Sides of the squares, model pixels, at which texture is measured."""

STAIN_FEATURES = 3 * (2 + len(SCALES))
"""Per channel: mean and standard deviation of optical density, and its local contrast at every scale."""


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
