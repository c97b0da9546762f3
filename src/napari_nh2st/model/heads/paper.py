"""The published head: it predicts from the target's flattened feature map alone.

Qu et al., "Spatially Gene Expression Prediction using Dual-Scale Contrastive Learning", MICCAI 2025, arXiv 2506.23827.
The neighbourhood's token is there for the contrastive loss only (`training/objectives/paper_contrast.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from napari_nh2st.geometry import SELF
from napari_nh2st.model.heads.network import HeadNetwork
from napari_nh2st.model.heads.seen import Seen, Tokens
from napari_nh2st.model.hypergraph import HypergraphBranch, incidence, masked_mean

if TYPE_CHECKING:
    from napari_nh2st.model.card import Architecture


class PaperHead(HeadNetwork):
    """One linear layer from the target's token ``h_s^p``; an embedding that is kept is that token, (d,)."""

    def __init__(self, arch: Architecture, channels: int) -> None:
        super().__init__(arch, channels)
        flat = 49 * channels
        self.target = nn.Linear(flat, arch.dim)
        self.image_graph = HypergraphBranch(flat, arch.dim)
        self.to_hidden = nn.Linear(arch.dim, arch.hidden)

    def embed(self, maps: Tensor) -> Tensor:
        """(n, C, 7, 7) feature maps of patches -> h_s^p (n, d)."""
        out: Tensor = self.target(maps.permute(0, 2, 3, 1).flatten(1))  # (h w) d order
        return out

    def hidden(self, seen: Seen) -> Tensor:
        """See `HeadNetwork.hidden`: from kept embeddings (B, n, d), or from feature maps."""
        target = seen.nine[:, SELF if seen.nine.shape[1] > 1 else 0]
        out: Tensor = self.to_hidden(self.embed(target) if target.ndim == 4 else target)
        return out

    def look(self, seen: Seen) -> tuple[Tensor, Tokens]:
        """See `HeadNetwork.look`; from feature maps (B, 9, C, 7, 7)."""
        target = self.embed(seen.nine[:, SELF])
        nodes = seen.nine.flatten(2)  # (B, 9, C 7 7), d (h w) order
        graph = incidence(nodes, seen.present)
        near = masked_mean(self.image_graph(nodes, graph), seen.present)
        return self.to_hidden(target), Tokens(target, near, graph=graph)
