"""How strongly, how unevenly and how finely tissue is stained, and what follows from that by itself.

Fifteen moments of optical density of a place and of its neighbours, read by a smooth function fitted in closed form,
predict better than a convolutional network from scratch does on the few hundred spots that a study has; the two err
differently, so `context` adds them up (docs/results.md has the figures).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
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


class StainHead(nn.Module):
    """Hidden vectors from stain statistics: a kernel machine whose weights are set in closed form, never by gradient.

    The function is ``k(z, L) A + z C``, z the standardised statistics, L landmarks among the training spots and k a
    Gaussian kernel; A and C, one column a gene, are kept as a product of low rank whose first factor stands here and
    whose second one stands in the decoder.

    Parameters
    ----------
    dim : int
        Statistics of a place: those of the target and, with neighbours, their mean.
    landmarks, rank : int
    """

    mean: Tensor
    std: Tensor
    landmarks: Tensor
    gamma: Tensor
    project: Tensor

    def __init__(self, dim: int, landmarks: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.register_buffer("landmarks", torch.zeros(landmarks, dim))
        self.register_buffer("gamma", torch.zeros(()))
        self.register_buffer("project", torch.zeros(dim + landmarks, rank))

    def standardise(self, raw: Tensor) -> Tensor:
        """(B, dim) statistics -> the same in units of the training spots, clipped: an artefact shall not run away."""
        return ((raw - self.mean) / self.std).clamp(-5, 5)

    def features(self, z: Tensor) -> Tensor:
        """(B, dim) standardised statistics -> (B, dim + landmarks): themselves, and their likeness to the landmarks."""
        distance = torch.cdist(z, self.landmarks, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.cat([z, torch.exp(-self.gamma * distance**2)], dim=-1)

    def forward(self, raw: Tensor) -> Tensor:
        """(B, dim) -> (B, rank)."""
        with torch.autocast(raw.device.type, enabled=False):
            out: Tensor = self.features(self.standardise(raw.float())) @ self.project
        return out
