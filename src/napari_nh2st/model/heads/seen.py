"""Places as a head sees them, and the tokens that it gives to objectives.

B places, N = 9 of a neighbourhood (index 4 is the place itself), S slides, K places of a slide's sample, C encoder
channels, d the length of a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SlideSample:
    """The same few places of each slide, whatever is predicted on it; see `engine.slide_sample`.

    Attributes
    ----------
    embeddings : (S, K, C)
    present : (S, K) bool
        False where a slide has fewer places than K. It may have none.
    centres : (S, K, 2)
        (x, y) on the slide, µm.
    """

    embeddings: Tensor
    present: Tensor
    centres: Tensor

    def of(self, slide: int) -> SlideSample:
        """Keep that of one slide, by its row."""
        rows = slice(slide, slide + 1)
        return SlideSample(self.embeddings[rows], self.present[rows], self.centres[rows])

    def to(self, device: torch.device | str) -> SlideSample:
        """Move it."""
        return SlideSample(self.embeddings.to(device), self.present.to(device), self.centres.to(device))

    def narrow(self, channels: int) -> SlideSample:
        """Keep the first columns of the embeddings."""
        return SlideSample(self.embeddings[..., :channels], self.present, self.centres)

    @classmethod
    def join(cls, parts: list[SlideSample]) -> SlideSample:
        """Put the samples of several slides together."""
        each = ((p.embeddings, p.present, p.centres) for p in parts)
        return cls(*(torch.cat(of) for of in zip(*each, strict=True)))

    @classmethod
    def none(cls, places: int, channels: int) -> SlideSample:
        """Make the sample of a slide of which nothing is known."""
        present = torch.zeros((1, places), dtype=torch.bool)
        return cls(torch.zeros((1, places, channels)), present, torch.zeros((1, places, 2)))


@dataclass(frozen=True, eq=False)
class Seen:
    """Some places as a head sees them.

    Attributes
    ----------
    nine : (B, 9, C)
        Embeddings of each place's neighbourhood; any number where a place is absent. (B, 9, C, 7, 7) feature maps where
        a patch encoder is trained, (B, 1, d) or (B, 9, d) its kept embeddings in prediction.
    present : (B, 9) bool
        The place itself always is.
    sample : SlideSample or None
        Of the S slides that the places are of; None for a head that does not need it.
    slide : (B,) int64 or None
        Which of the S a place is of.
    centres : (B, 2) or None
        (x, y) on the slide, µm, for a head that needs places.
    digest : object
        What the head has made of the sample, once for all places of a slide; see `HeadNetwork.digest`.
    """

    nine: Tensor
    present: Tensor
    sample: SlideSample | None = None
    slide: Tensor | None = None
    centres: Tensor | None = None
    digest: object = None


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens that a head made of places on its way, for objectives: one vector each at several scales.

    Attributes
    ----------
    target : (B, d)
        Of the place itself, before anything round it comes in.
    near : (B, d)
        Of its neighbourhood.
    further : mapping of str to (B, d)
        Of other scales, by the names of the head's row.
    graph : (B, 9, 9) or None
        Incidence of the head's hypergraph over the nine, nodes by hyperedges, if it has one.
    """

    target: Tensor
    near: Tensor
    further: Mapping[str, Tensor] = field(default_factory=dict)
    graph: Tensor | None = None

    def scale(self, name: str) -> Tensor:
        """Return the token (B, d) of a scale: "target", "near", or a further one."""
        return {"target": self.target, "near": self.near, **self.further}[name]
