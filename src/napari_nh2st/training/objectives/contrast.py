"""Contrast between images and genes: the usual loss, and the one that was published with NH2ST."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.05


def _cosine_logits(image: Tensor, gene: Tensor) -> Tensor:
    return F.normalize(image.float(), dim=-1) @ F.normalize(gene.float(), dim=-1).T / TEMPERATURE


def info_nce(image: Tensor, gene: Tensor) -> Tensor:
    """Symmetric InfoNCE between (B, d) image and (B, d) gene embeddings, in nats.

    With every embedding equal it is ln B, so collapse is never rewarded. Oord et al. 2018, arXiv 1807.03748.
    """
    logits = _cosine_logits(image, gene)
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def paper_contrast(image: Tensor, gene: Tensor) -> Tensor:
    """Contrastive loss as published with NH2ST: image to gene only, off-diagonal logits multiplied by 0.1.

    Kept for parity. With every embedding equal it is close to 0 (about 1e-7 for a batch of 8): it rewards collapse.
    """
    logits = _cosine_logits(image, gene)
    own = torch.eye(len(logits), device=logits.device, dtype=torch.bool)
    target = torch.arange(len(logits), device=logits.device)
    return F.cross_entropy(torch.where(own, logits, logits * 0.1), target)
