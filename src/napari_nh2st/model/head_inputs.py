"""Columns that a learnt head sees of an embedding: the encoder's main directions and the stain, in units of their own.

A few hundred spots cannot teach a network which of hundreds of correlated channels to leave alone, and channels differ
in size. The map is linear: `FoldedHead` makes one product of it and of the first layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HeadInputs(nn.Module):
    """x -> P x + s, fitted to the training spots, not learnt.

    Parameters
    ----------
    width : int
        C + S, of an embedding.
    columns : int
        Of the result.
    """

    project: Tensor
    shift: Tensor

    def __init__(self, width: int, columns: int) -> None:
        super().__init__()
        self.register_buffer("project", torch.zeros(columns, width))
        self.register_buffer("shift", torch.zeros(columns))

    def forward(self, embeddings: Tensor) -> Tensor:
        """(..., C + S) -> (..., columns), float32."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return F.linear(embeddings.float(), self.project, self.shift)

    @torch.no_grad()
    def fit(self, embeddings: Tensor, stain: int) -> None:
        """Fit the map, in place.

        Every column is standardised. Of the encoder's, the main directions are kept, in one unit in which the first
        has a standard deviation of 2; the stain's follow as they are. A column that never varies is left out.

        Parameters
        ----------
        embeddings : (n, C + S)
            Of the training spots.
        stain : int
            S.
        """
        values = embeddings.double()
        mean, std = values.mean(0), values.std(0, unbiased=False)
        scale = torch.where(std > 1e-6, 1 / std.clamp(min=1e-6), 0)
        z = ((values - mean) * scale).clamp(-5, 5)
        channels, kept = values.shape[1] - stain, len(self.shift) - stain
        _, size, directions = torch.linalg.svd(z[:, :channels], full_matrices=False)
        first = size[0] / len(z) ** 0.5
        project = torch.zeros(self.project.shape, dtype=torch.float64)
        found = min(kept, len(directions))
        project[:found, :channels] = directions[:found] * (2 / first if first > 0 else 0.0)
        project[kept:, channels:] = torch.eye(stain, dtype=torch.float64)
        project *= scale
        self.project.copy_(project)
        self.shift.copy_(-project @ mean)
