"""How strongly, how unevenly and how finely tissue is stained at a place: fifteen numbers, nothing learnt."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = (1, 2, 4)
"""Sides of the squares, model pixels, at which texture is measured."""

STAIN_FEATURES = 3 * (2 + len(SCALES))
"""Per channel: mean and standard deviation of optical density, and its local contrast at every scale."""


def stain_maps(pixels: Tensor, stride: int) -> Tensor:
    """Describe the 7 x 7 cells round every place of a feature map.

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
        Entry (i, j) describes the square of 7 cells round ``(j + 3, i + 3) * stride``, as the encoder's entries do.
    """
    density = -torch.log((pixels.float().clamp(0, 255) + 1) / 256)
    # Cells are centred on whole multiples of the stride, where the encoder's are: half a cell lies beyond the border.
    half = stride // 2
    density = F.pad(density, (half, half, half, half), mode="replicate")
    parts = [density, density * density]
    texture = [_contrast(density, k) for k in SCALES]
    cells = [F.avg_pool2d(p, stride) for p in parts] + [
        F.avg_pool2d(t, stride // k) for t, k in zip(texture, SCALES, strict=True)
    ]
    rows, columns = pixels.shape[2] // stride, pixels.shape[3] // stride
    pooled = [F.avg_pool2d(c[..., :rows, :columns], 7, stride=1) for c in cells]
    mean, square, *rest = pooled
    spread = (square - mean * mean).clamp(min=1e-6).sqrt()
    return torch.cat([mean, spread, *rest], dim=1)


def _contrast(density: Tensor, k: int) -> Tensor:
    """Distance of every k x k mean from that of its surroundings: (B, 3, H, W) -> (B, 3, H / k, W / k)."""
    small = F.avg_pool2d(density, k) if k > 1 else density
    return (small - F.avg_pool2d(small, 3, 1, 1, count_include_pad=False)).abs()
