"""A head that first answers from a place alone, then corrects that by a graph of the place and its neighbours.

Mejia et al., "SEPAL: Spatial Gene Expression Prediction from Local Graphs", ICCV workshops 2023, arXiv 2309.01036.
Graph convolution: Kipf and Welling, ICLR 2017; pooling by attention: Lee et al., ICML 2019. Written from the formulas.
It differs from the paper where our contract does: the correction is of the hidden vector, so that genes stay a product;
both parts learn together, the correction from 0 on; no encoding of positions, for a turned slide is the same slide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_nh2st.geometry import SELF
from napari_nh2st.model.heads.network import HeadNetwork
from napari_nh2st.model.heads.nine_links import NineLinks
from napari_nh2st.model.heads.seen import Seen, Tokens
from napari_nh2st.model.heads.table import SepalOptions
from napari_nh2st.model.hypergraph import masked_mean

if TYPE_CHECKING:
    from napari_nh2st.model.card import Architecture


class GraphConv(nn.Module):
    """``D^-1/2 A D^-1/2 X W + b``, A with each node's link to itself, D its degrees."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor, links: Tensor) -> Tensor:
        """(B, N, inputs) nodes, (B, N, N) links of 0 and 1 -> (B, N, outputs)."""
        root = links.sum(-1, keepdim=True).rsqrt()
        out: Tensor = root * (links @ (root * F.linear(x, self.weight.weight))) + self.weight.bias
        return out


class SepalHead(HeadNetwork):
    """``h = L t + R(mean over the subgraph)``: t the place's token, L linear, R the correction, 0 before training.

    The subgraph is the place and its neighbours, linked where they touch. Nodes are tokens beside ``L t``; layers of
    graph convolution and ELU; ``tanh`` of one further convolution weighs each node in the mean.
    """

    def __init__(self, arch: Architecture, channels: int) -> None:
        super().__init__(arch, channels)
        options, d = arch.options, arch.dim
        assert isinstance(options, SepalOptions)
        self.token = nn.Sequential(nn.Linear(channels, d), nn.LayerNorm(d))
        self.local = nn.Linear(d, arch.hidden)
        self.links = NineLinks()
        sizes = [d + arch.hidden, *[d] * options.layers]
        self.layers = nn.ModuleList(GraphConv(*sizes[i : i + 2]) for i in range(options.layers))
        self.weigh = GraphConv(d, 1)
        self.drop, self.refine = nn.Dropout(arch.dropout), nn.Linear(d, arch.hidden)
        nn.init.zeros_(self.refine.weight)
        nn.init.zeros_(self.refine.bias)

    def look(self, seen: Seen) -> tuple[Tensor, Tokens]:
        """See `HeadNetwork.look`. `near` is the pooled subgraph."""
        nodes = self.token(seen.nine)  # (B, 9, d)
        target, local = nodes[:, SELF], self.local(nodes)
        links = self.links(seen.present).to(nodes.dtype)
        x = torch.cat([nodes, local], dim=-1)
        for layer in self.layers:
            x = F.elu(layer(x, links))
        near = masked_mean(x * torch.tanh(self.weigh(x, links)), seen.present)
        hidden = local[:, SELF]
        if self.arch.neighbours:  # without them there is nothing to correct by
            hidden = hidden + self.refine(self.drop(near))
        return hidden, Tokens(target, near)

    def hidden(self, seen: Seen) -> Tensor:
        """See `HeadNetwork.hidden`: without neighbours there is no correction."""
        if self.arch.neighbours:
            return self.look(seen)[0]
        alone: Tensor = self.local(self.token(seen.nine[:, SELF]))
        return alone
