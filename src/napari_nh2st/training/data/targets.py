"""Spots to be predicted, with the encoder's output at their nine places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch.nn import functional as F

from napari_nh2st.training.data.windows import Window


@dataclass
class Targets:
    """Spots to be predicted, with the encoder's output at their nine places.

    Attributes
    ----------
    embeddings : (m, 9, C) or, for a patch encoder, (m, 9, C, 7, 7)
    present, known : (m, 9) bool
    labels : (m, 9, G)
    spots, sections : (m,) int64
    """

    embeddings: torch.Tensor
    present: torch.Tensor
    known: torch.Tensor
    labels: torch.Tensor
    spots: torch.Tensor
    sections: torch.Tensor

    @classmethod
    def of(cls, window: Window, embeddings: torch.Tensor, inside: torch.Tensor, keep: torch.Tensor) -> Targets:
        """Keep some targets of a window; places outside it count as absent."""
        present = (window.present & inside)[keep]
        return cls(
            embeddings, present, window.known[keep], window.labels[keep], window.spots[keep], window.sections[keep]
        )

    @classmethod
    def join(cls, parts: Sequence[Targets]) -> Targets:
        """Put the targets of several windows together."""
        return cls(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def sample_cells(maps: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Sample maps bilinearly: (B, C, h, w) at fractional cells (B, m, 2) as (x, y) -> (B, m, C)."""
    height, width = maps.shape[-2:]
    size = torch.tensor([max(width - 1, 1), max(height - 1, 1)], device=maps.device, dtype=torch.float32)
    grid = cells / size * 2 - 1
    out = F.grid_sample(maps.float(), grid[:, :, None], mode="bilinear", padding_mode="border", align_corners=True)
    return out[..., 0].transpose(1, 2)
