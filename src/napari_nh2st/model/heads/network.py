"""The interface of a head: embeddings of what is seen become a hidden vector a place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_nh2st.geometry import SELF
from napari_nh2st.model.heads.seen import Seen, SlideSample, Tokens

if TYPE_CHECKING:
    from napari_nh2st.model.card import Architecture
    from napari_nh2st.model.heads.tissue_graph import TissueGraph


class HeadNetwork(nn.Module, ABC):
    """A head. Genes are decoded from its hidden vector by one linear layer, which is not its own.

    It answers for each place by itself (batch norm over places would not), whatever the order of the nine but for the
    place itself, of the sample, and of the places that are asked for; what is absent changes nothing. Of the nine it
    looks at those of `around`.

    Parameters
    ----------
    arch : Architecture
        `dim`, `hidden`, `heads`, `dropout`, `neighbours`, and `arch.options` as the row's options model has them.
    channels : int
        C, of an embedding.
    """

    def __init__(self, arch: Architecture, channels: int) -> None:
        super().__init__()
        self.arch, self.channels = arch, channels

    @abstractmethod
    def look(self, seen: Seen) -> tuple[Tensor, Tokens]:
        """Look at places: hidden vectors (B, hidden), and the tokens that objectives read in training."""

    def hidden(self, seen: Seen) -> Tensor:
        """Hidden vectors (B, hidden) alone: what prediction needs. Override it where tokens cost more."""
        return self.look(seen)[0]

    def around(self, seen: Seen) -> Tensor:
        """Return those of the nine that may be looked at, (B, 9) bool: the place alone where `neighbours` is off."""
        if self.arch.neighbours:
            return seen.present
        alone = torch.zeros_like(seen.present)
        alone[:, SELF] = True
        return alone

    def digest(self, sample: SlideSample) -> object:
        """Do once a slide what does not depend on the place; `Seen.digest` has it then. For heads with a sample.

        In training gradients flow through it. Rows of its tensors are slides.
        """
        return sample

    def graph(self, sample: SlideSample) -> TissueGraph:
        """Return the graph of the places of one slide's sample that are there; only for a head whose row has one."""
        raise NotImplementedError

    def embed(self, maps: Tensor) -> Tensor:
        """Embeddings (n, d) to be kept of patches' feature maps (n, C, 7, 7); only for a head that is not dense."""
        raise NotImplementedError
