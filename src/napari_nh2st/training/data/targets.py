"""Spots to be predicted, with the encoder's output at their nine places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch.nn import functional as F

from napari_nh2st.model.heads.seen import Seen, SlideSample
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
    centres : (m, 2) or None
        (x, y) on the slide, µm; None for targets of windows.
    sample : SlideSample or None
        Of the sections that they are of, for a head that needs it.
    slide : (m,) int64 or None
        Which of these a target is of.
    """

    embeddings: torch.Tensor
    present: torch.Tensor
    known: torch.Tensor
    labels: torch.Tensor
    spots: torch.Tensor
    sections: torch.Tensor
    centres: torch.Tensor | None = None
    sample: SlideSample | None = None
    slide: torch.Tensor | None = None

    @property
    def seen(self) -> Seen:
        """Their tissue, as a network sees it."""
        return Seen(self.embeddings, self.present, self.sample, self.slide, self.centres)

    @classmethod
    def of(cls, window: Window, embeddings: torch.Tensor, inside: torch.Tensor, keep: torch.Tensor) -> Targets:
        """Keep some targets of a window; places outside it count as absent."""
        present = (window.present & inside)[keep]
        return cls(
            embeddings, present, window.known[keep], window.labels[keep], window.spots[keep], window.sections[keep]
        )

    @classmethod
    def join(cls, parts: Sequence[Targets]) -> Targets:
        """Put targets together; those with a sample are of one section each part."""
        plain = [f.name for f in fields(cls) if f.name not in ("centres", "sample", "slide")]
        out = cls(**{name: torch.cat([getattr(p, name) for p in parts]) for name in plain})  # type: ignore[arg-type]
        centres = [p.centres for p in parts if p.centres is not None]
        samples = [p.sample for p in parts if p.sample is not None]
        out = replace(out, centres=torch.cat(centres)) if centres else out
        if not samples:
            return out
        which = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor([len(p.spots) for p in parts]))
        return replace(out, sample=SlideSample.join(samples), slide=which)

    def to(self, device: torch.device) -> Targets:
        """Move them."""
        there = {f.name: part for f in fields(self) if (part := getattr(self, f.name)) is not None}
        return replace(self, **{name: part.to(device) for name, part in there.items()})


def sample_cells(maps: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Sample maps bilinearly: (B, C, h, w) at fractional cells (B, m, 2) as (x, y) -> (B, m, C)."""
    height, width = maps.shape[-2:]
    size = torch.tensor([max(width - 1, 1), max(height - 1, 1)], device=maps.device, dtype=torch.float32)
    grid = cells / size * 2 - 1
    out = F.grid_sample(maps.float(), grid[:, :, None], mode="bilinear", padding_mode="border", align_corners=True)
    return out[..., 0].transpose(1, 2)
