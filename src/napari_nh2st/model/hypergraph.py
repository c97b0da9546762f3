"""Hypergraph over a place and its neighbours, batched and dense: no loop over spots.

Feng et al., "Hypergraph Neural Networks", AAAI 2019; used by NH2ST over the nine places of a 3 x 3 neighbourhood.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def incidence(features: Tensor, present: Tensor, k: int = 3) -> Tensor:
    """Build one hyperedge per node: the node and its k most cosine-similar present nodes.

    Parameters
    ----------
    features : (B, N, F) tensor
        Node features.
    present : (B, N) bool tensor
        False for a place off the slide or on background: it joins no hyperedge and owns none.
    k : int
        Similar nodes per hyperedge, fewer if fewer are present.

    Returns
    -------
    (B, N, N) tensor
        ``H[b, v, e]`` is 1 if node v is in hyperedge e.
    """
    unit = F.normalize(features.float(), dim=-1)
    similarity = unit @ unit.transpose(1, 2)  # (B, N, N), row = hyperedge
    return incidence_of(similarity, present, k).to(features.dtype)


def incidence_of(similarity: Tensor, present: Tensor, k: int = 3) -> Tensor:
    """Like `incidence`, from known cosine similarities (B, N, N); the result is float32."""
    n = similarity.shape[1]
    self_loop = torch.eye(n, dtype=torch.bool, device=similarity.device)
    allowed = present[:, None, :] & ~self_loop
    similarity = similarity.masked_fill(~allowed, -torch.inf)
    chosen = torch.zeros_like(similarity).scatter_(2, similarity.topk(min(k, n - 1), dim=2).indices, 1.0)
    member = (chosen.bool() & allowed) | self_loop  # (B, edge, node)
    member = member & present[:, None, :] & present[:, :, None]
    return member.transpose(1, 2).to(similarity.dtype)


def restrict(h: Tensor, known: Tensor) -> Tensor:
    """Drop the nodes that are not known, and the hyperedges they own: (B, N, N), (B, N) bool -> (B, N, N)."""
    return h * (known[:, :, None] & known[:, None, :]).to(h.dtype)


def averaging(h: Tensor) -> Tensor:
    """``D^-1 H B^-1 H^T`` of incidences (B, N, E): (B, N, N). Nodes and edges of degree 0 contribute nothing."""
    nodes, edges = h.sum(2, keepdim=True).clamp(min=1), h.sum(1, keepdim=True).clamp(min=1)
    out: Tensor = h / nodes @ (h / edges).transpose(1, 2)
    return out


class HypergraphConv(nn.Module):
    """Hypergraph convolution without attention: ``X' = D^-1 H B^-1 H^T X Theta + b``.

    D and B are the degrees of nodes and hyperedges; a node or a hyperedge of degree 0 contributes nothing.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.lin = nn.Linear(inputs, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.xavier_uniform_(self.lin.weight)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """(B, N, inputs) nodes and (B, N, E) incidence -> (B, N, outputs)."""
        return self.mix(x, averaging(h))

    def mix(self, x: Tensor, average: Tensor) -> Tensor:
        """Like `forward`, with the matrix of `averaging`."""
        out: Tensor = average @ self.lin(x) + self.bias
        return out


class HypergraphBranch(nn.Module):
    """Two hypergraph convolutions, each followed by ReLU: (B, N, inputs) -> (B, N, d)."""

    def __init__(self, inputs: int, dim: int) -> None:
        super().__init__()
        self.conv1 = HypergraphConv(inputs, 2 * dim)
        self.conv2 = HypergraphConv(2 * dim, dim)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """(B, N, inputs) nodes, (B, N, N) incidence -> (B, N, d)."""
        average = averaging(h)
        return F.relu(self.conv2.mix(F.relu(self.conv1.mix(x, average)), average))


def masked_mean(nodes: Tensor, present: Tensor) -> Tensor:
    """Mean over the present nodes: (B, N, d), (B, N) bool -> (B, d)."""
    weight = present.to(nodes.dtype)[..., None]
    return (nodes * weight).sum(1) / weight.sum(1).clamp(min=1)
