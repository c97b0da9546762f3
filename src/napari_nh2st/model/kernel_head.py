"""Genes from the description of a place, by a smooth function fitted in closed form.

A study's few hundred spots are too few to train much by gradient: a kernel machine on frozen descriptions of a place
and its neighbours predicts better than a convolutional network from scratch (docs/results.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class KernelHead(nn.Module):
    """Hidden vectors from descriptions of places: a kernel machine, fitted without gradients.

    The function is ``k(z, L) A + z C``: z is the standardised description, L are landmarks among the training spots, k
    is the mean of one Gaussian kernel for each group of columns. A and C, one column a gene, are a product of low rank:
    this module has the first factor, the decoder the second.

    Parameters
    ----------
    groups : sequence of int
        Columns of each group, such as stain statistics and embeddings. Groups count equally, whatever their size.
    landmarks, rank : int
    """

    mean: Tensor
    std: Tensor
    landmarks: Tensor
    gamma: Tensor
    project: Tensor

    def __init__(self, groups: Sequence[int], landmarks: int, rank: int) -> None:
        super().__init__()
        self.groups = tuple(groups)
        dim = sum(self.groups)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.register_buffer("landmarks", torch.zeros(landmarks, dim))
        self.register_buffer("gamma", torch.zeros(len(self.groups)))
        self.register_buffer("project", torch.zeros(dim + landmarks, rank))

    def standardise(self, raw: Tensor) -> Tensor:
        """(B, dim) -> the same in units of the training spots, clipped to limit artefacts."""
        return ((raw - self.mean) / self.std).clamp(-5, 5)

    def kernel(self, z: Tensor, others: Tensor) -> Tensor:
        """(B, dim), (K, dim) standardised -> (B, K) similarity, 1 if equal."""
        out, start = None, 0
        for size, gamma in zip(self.groups, self.gamma.tolist(), strict=True):
            a, b = z[:, start : start + size], others[:, start : start + size]
            # -gamma |a - b|^2 by one matrix product: the added columns carry the squared lengths.
            left = torch.cat([a, a.square().sum(1, keepdim=True), torch.ones_like(a[:, :1])], dim=1)
            right = torch.cat([2 * gamma * b, torch.full_like(b[:, :1], -gamma), -gamma * b.square().sum(1, True)], 1)
            likeness = (left @ right.T).clamp_(max=0).exp_()
            out = likeness if out is None else out.add_(likeness)
            start += size
        assert out is not None
        return out.div_(len(self.groups))

    def features(self, z: Tensor) -> Tensor:
        """(B, dim) standardised -> (B, dim + landmarks): itself, and its similarity to the landmarks."""
        return torch.cat([z, self.kernel(z, self.landmarks)], dim=-1)

    def forward(self, raw: Tensor) -> Tensor:
        """(B, dim) -> (B, rank)."""
        with torch.autocast(raw.device.type, enabled=False):
            z = self.standardise(raw.float())
            columns = z.shape[1]
            linear = z @ self.project[:columns]
            return torch.addmm(linear, self.kernel(z, self.landmarks), self.project[columns:])
