"""A head that links a place with tissue far away, through clusters: graph attention on a hierarchical graph.

Ganguly et al., "MERGE: Multi-faceted Hierarchical Graph-based GNN for Gene Expression Prediction from Whole Slide
Histopathology Images", CVPR 2025, arXiv 2412.02601. Layers of attention: Veličković et al., ICLR 2018. Written from the
formulas. It differs from the paper where our contract does: the graph is over a sample of the slide's tissue, to which
a place need not belong, so a place listens to the hubs of its two clusters, and they do not listen to it. Beside that
it is linked with its eight neighbours, as these are among themselves. Layers are residual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_nh2st.geometry import SELF
from napari_nh2st.model.heads.network import HeadNetwork
from napari_nh2st.model.heads.nine_links import NineLinks
from napari_nh2st.model.heads.seen import Seen, SlideSample, Tokens
from napari_nh2st.model.heads.table import MergeOptions
from napari_nh2st.model.heads.tissue_graph import Clusters, TissueGraph
from napari_nh2st.model.hypergraph import masked_mean

if TYPE_CHECKING:
    from napari_nh2st.model.card import Architecture


class GraphAttention(nn.Module):
    """``x_i + ELU(sum_j a_ij W LN(x_j) + b)``, a the softmax of ``LeakyReLU(l . W LN(x_i) + s . W LN(x_j))``."""

    def __init__(self, dim: int, heads: int, edge_dropout: float) -> None:
        super().__init__()
        self.edge_dropout = edge_dropout
        self.norm, self.weight = nn.LayerNorm(dim), nn.Linear(dim, dim, bias=False)
        self.listen, self.speak = (nn.Parameter(torch.empty(heads, dim // heads)) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(dim))
        for weight in (self.weight.weight, self.listen, self.speak):
            nn.init.xavier_uniform_(weight)

    def forward(self, x: Tensor, links: Tensor, others: Tensor | None = None) -> Tensor:
        """Let nodes (B, M, d) listen to one another and to others (B, N, d), where linked, (B, M, M + N) bool."""
        own = self._values(x)  # (B, M, heads, d / heads)
        said = own if others is None else torch.cat([own, self._values(others)], dim=1)
        listening = (own * self.listen).sum(-1).transpose(1, 2)  # (B, heads, M)
        speaking = (said * self.speak).sum(-1).transpose(1, 2)  # (B, heads, M + N)
        if self.training and self.edge_dropout:
            itself = torch.eye(*links.shape[1:], dtype=torch.bool, device=links.device)
            links = links & (itself | (torch.rand(links.shape, device=links.device) >= self.edge_dropout))
        score = F.leaky_relu(listening[..., None] + speaking[:, :, None], 0.2)
        share = score.masked_fill(~links[:, None], -torch.inf).softmax(-1)
        heard = (share @ said.transpose(1, 2)).transpose(1, 2).flatten(2)
        return x + F.elu(heard + self.bias)

    def _values(self, x: Tensor) -> Tensor:
        values: Tensor = self.weight(self.norm(x))
        return values.view(*values.shape[:-1], *self.listen.shape)


class Hubs(NamedTuple):
    """Hubs of one kind of clusters: means (k, m) of what was clustered, and each hub's state (layers + 1, k, d)."""

    means: Tensor
    states: Tensor

    def nearest(self, points: Tensor) -> Tensor:
        """Return the states (layers + 1, b, d) of the hubs nearest to points (b, m)."""
        away = (points[:, None] - self.means).square().sum(-1)
        return self.states[:, away.argmin(1)]


class MergeHead(HeadNetwork):
    """h = MLP([t, n]): t the place's token, n the same after the layers of the graph."""

    def __init__(self, arch: Architecture, channels: int) -> None:
        super().__init__(arch, channels)
        options, d = arch.options, arch.dim
        assert isinstance(options, MergeOptions)
        self.options = options
        self.token = nn.Sequential(nn.Linear(channels, d), nn.LayerNorm(d))
        self.links = NineLinks()
        self.layers = nn.ModuleList(GraphAttention(d, arch.heads, options.edge_dropout) for _ in range(options.layers))
        self.to_hidden = nn.Sequential(
            nn.Linear(2 * d, arch.hidden), nn.GELU(), nn.Dropout(arch.dropout), nn.Linear(arch.hidden, arch.hidden)
        )

    def look(self, seen: Seen) -> tuple[Tensor, Tokens]:
        """See `HeadNetwork.look`. `near` is the mean of the nine nodes after the layers, "slide" that of the hubs."""
        nodes = self.token(seen.nine)  # (B, 9, d)
        target = nodes[:, SELF]
        hubs, there = self._hubs_of(seen)  # (layers + 1, B, 2, d), (B,)
        present = self.around(seen)
        links = self._links(present, there)
        for layer, listened in zip(self.layers, hubs, strict=False):
            nodes = layer(nodes, links, listened)
        hidden = self.to_hidden(torch.cat([target, nodes[:, SELF]], dim=-1))
        return hidden, Tokens(target, masked_mean(nodes, present), {"slide": hubs[-1].mean(1)})

    def digest(self, sample: SlideSample) -> list[tuple[Hubs, Hubs]]:
        """See `HeadNetwork.digest`: the hubs of both kinds of each slide, layer by layer."""
        count = sample.present.shape[1]
        links = torch.eye(count, dtype=torch.bool).repeat(len(sample.present), 1, 1)  # (S, K, K)
        graphs: list[tuple[Tensor, TissueGraph]] = []
        for s, of_slide in enumerate(links):
            there, graph = sample.present[s].cpu(), self.graph(sample.of(s))
            of_slide[there[:, None] & there] = torch.from_numpy(graph.links).flatten()
            graphs.append((there.nonzero()[:, 0], graph))
        states = [self.token(sample.embeddings)]  # (S, K, d) each
        for layer in self.layers:
            states.append(layer(states[-1], links.to(states[0].device)))
        after = torch.stack(states, dim=1)  # (S, layers + 1, K, d)

        def hubs(states: Tensor, there: Tensor, of: Clusters) -> Hubs:
            means = torch.from_numpy(of.means).to(states.device, torch.float32)
            return Hubs(means, states[:, there[torch.from_numpy(of.hubs)].to(states.device)])

        return [
            (hubs(states, there, graph.near), hubs(states, there, graph.alike))
            for states, (there, graph) in zip(after, graphs, strict=True)
        ]

    def graph(self, sample: SlideSample) -> TissueGraph:
        """See `HeadNetwork.graph`."""
        there = sample.present[0]
        at, looks = (t[0, there].detach().float().cpu().numpy() for t in (sample.centres, sample.embeddings))
        return TissueGraph.of(at, looks, self.options.near, self.options.alike)

    def _hubs_of(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Return the hubs of each place's two clusters, (layers + 1, B, 2, d), and where there are any, (B,) bool."""
        digest, slide, centres = seen.digest, seen.slide, seen.centres
        assert isinstance(digest, list)
        assert slide is not None
        assert centres is not None
        looks, count = seen.nine[:, SELF], len(seen.nine)
        size = len(self.layers) + 1, count, 2, self.arch.dim
        out, there = torch.zeros(size, device=looks.device), torch.zeros(count, dtype=torch.bool, device=looks.device)
        for s, (near, alike) in enumerate(digest):
            mine = slide == s
            if len(near.means) and bool(mine.any()):
                both = torch.stack([near.nearest(centres[mine]), alike.nearest(looks[mine].float())], dim=2)
                out[:, mine] = both.to(out.dtype)
                there = there | mine
        return out, there

    def _links(self, present: Tensor, there: Tensor) -> Tensor:
        """Say who listens to whom: (B, 9, 9 + 2) bool; the place alone listens to the hubs, an absent one to itself."""
        among = self.links(present)
        the_place = torch.arange(among.shape[1], device=present.device) == SELF
        to_hubs = there[:, None, None] & the_place[:, None]
        return torch.cat([among, to_hubs.expand(-1, -1, 2)], dim=2)
