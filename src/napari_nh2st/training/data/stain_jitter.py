"""Colour augmentation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def stain_jitter(pixels: Tensor, spread: float, rng: np.random.Generator | None = None) -> Tensor:
    """Scale and shift the optical density of each channel, each window for itself.

    Parameters
    ----------
    pixels : (B, S, S, 3) uint8
    spread : float
        Half-width of the uniform factor; the shift is a quarter of it.
    rng : Generator, optional
        Otherwise torch's own random state.

    Returns
    -------
    (B, S, S, 3) float32 in 0..255
    """
    shape = (2, len(pixels), 1, 1, 3)
    drawn = torch.rand(shape) if rng is None else torch.from_numpy(rng.random(shape, dtype=np.float32))
    factor, shift = ((drawn * 2 - 1) * spread).to(pixels.device)
    negative = pixels.to(torch.float32, copy=True).add_(1).div_(256).log_()  # minus the density
    return negative.mul_(1 + factor).sub_(shift / 4).exp_().mul_(256).sub_(1).clamp_(0, 255)
