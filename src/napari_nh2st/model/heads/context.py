"""The default head: the target's token attends to its neighbourhood, over which a hypergraph has passed.

Qu et al., "Spatially Gene Expression Prediction using Dual-Scale Contrastive Learning", MICCAI 2025, arXiv 2506.23827.
Its parts are of that paper; here the prediction reads the neighbourhood too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_nh2st.geometry import SELF
from napari_nh2st.model.cross_attention import CrossAttention
from napari_nh2st.model.heads.network import HeadNetwork
from napari_nh2st.model.heads.seen import Seen, Tokens
from napari_nh2st.model.hypergraph import HypergraphBranch, incidence, masked_mean

if TYPE_CHECKING:
    from napari_nh2st.model.card import Architecture


class ContextHead(HeadNetwork):
    """h = MLP([t, X(n + g, t)]): t the target's token, n the nine tokens, g the same after two hypergraph convolutions.

    Without neighbours, zeros stand for X. `FoldedHead` gives the same, faster, for places that share cells.
    """

    def __init__(self, arch: Architecture, channels: int) -> None:
        super().__init__(arch, channels)
        d = arch.dim
        self.token = nn.Sequential(nn.Linear(channels, d), nn.LayerNorm(d))
        self.image_graph = HypergraphBranch(d, d)
        self.cross = CrossAttention(d, arch.heads, arch.dropout)
        self.to_hidden = nn.Sequential(
            nn.Linear(2 * d, arch.hidden),
            nn.GELU(),
            nn.Dropout(arch.dropout),
            nn.Linear(arch.hidden, arch.hidden),
        )

    def look(self, seen: Seen) -> tuple[Tensor, Tokens]:
        """See `HeadNetwork.look`. `near` is the mean of the graph's nodes."""
        nodes = self.token(seen.nine)  # (B, 9, d)
        graph = incidence(nodes, seen.present)
        graph_nodes = self.image_graph(nodes, graph)
        target = nodes[:, SELF]
        hidden = self._fuse(target, nodes, graph_nodes, seen.present)
        return hidden, Tokens(target, masked_mean(graph_nodes, seen.present), graph=graph)

    def hidden(self, seen: Seen) -> Tensor:
        """See `HeadNetwork.hidden`."""
        if self.arch.neighbours:
            return self.look(seen)[0]
        target = self.token(seen.nine[:, SELF])
        return self._fuse(target, target[:, None], target[:, None], seen.present)

    def _fuse(self, target: Tensor, nodes: Tensor, graph_nodes: Tensor, present: Tensor) -> Tensor:
        if not self.arch.neighbours:  # the same network with nothing round the target
            alone: Tensor = self.to_hidden(torch.cat([target, torch.zeros_like(target)], dim=-1))
            return alone
        seen = self.cross(nodes + graph_nodes, target, present)  # (B, d)
        out: Tensor = self.to_hidden(torch.cat([target, seen], dim=-1))
        return out
