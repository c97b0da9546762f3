"""A head that looks at a place at three scales: itself, its neighbours, the whole slide.

Chung et al., "Accurate Spatial Gene Expression Prediction by Integrating Multi-Resolution Features" (TRIPLEX), CVPR
2024, arXiv 2403.07592. Written from the formulas. It differs from the paper where our contract does: a place is one
pooled vector, not 7 x 7 tokens; neighbours are the eight places round it; the slide is a sample of its tissue, to which
a place need not belong, so its own token asks the slide. Predictions are not clamped at 0: labels are standardised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_nh2st.geometry import NEIGHBOUR_STEPS, SELF
from napari_nh2st.model.cross_attention import CrossAttention
from napari_nh2st.model.heads.network import HeadNetwork
from napari_nh2st.model.heads.seen import Seen, SlideSample, Tokens
from napari_nh2st.model.heads.table import TriplexOptions
from napari_nh2st.model.hypergraph import masked_mean

if TYPE_CHECKING:
    from napari_nh2st.model.card import Architecture

# Widths of the neighbourhoods on the slide that the positional part averages, µm.
WIDTHS = (200.0, 500.0, 1200.0)
# Distance from which attention over the slide begins to fall, µm.
REACH = 200.0


class Attention(nn.Module):
    """Multi-head attention with a bias on the scores, and without a norm of its own."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_out = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.dropout = dropout

    def keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, (..., heads, L, d / heads) each, of (..., L, d)."""
        key, value = self.to_kv(x).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """(..., M, d) queries, keys and values of `keys`, (..., heads, M, L) bias -> (..., M, d)."""
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(self._split(self.to_q(query)), key, value, bias, dropout)
        out: Tensor = self.to_out(seen.transpose(-2, -3).flatten(-2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, x.shape[-1] // self.heads).transpose(-2, -3)


class Layer(nn.Module):
    """A pre-norm transformer layer, its MLP of ratio 2."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, dropout)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """(..., L, d), (..., heads, L, L) -> (..., L, d)."""
        y = self.norm1(x)
        x = x + self.drop(self.attention(y, *self.attention.keys(y), bias))
        out: Tensor = x + self.drop(self.mlp(self.norm2(x)))
        return out


class Digest(NamedTuple):
    """Keys and values, (S, heads, K + 1, d / heads), of the sample; the last is of a token for the whole slide."""

    key: Tensor
    value: Tensor


class TriplexHead(HeadNetwork):
    """h = MLP(LN(X(t, g) + X(n, g))): t the place's token, n its neighbourhood's, g what t becomes by asking the slide.

    X is the cross-attention of `context`; over the single key t no attention takes place, it is a projection.
    """

    lattice: Tensor

    def __init__(self, arch: Architecture, channels: int) -> None:
        super().__init__(arch, channels)
        options, d = arch.options, arch.dim
        assert isinstance(options, TriplexOptions)
        shape = (d, arch.heads, arch.dropout)
        self.token = nn.Sequential(nn.Linear(channels, d), nn.LayerNorm(d))
        steps = torch.from_numpy(NEIGHBOUR_STEPS)
        squared = (steps[:, None] - steps[None]).square().sum(-1)
        self.register_buffer("lattice", squared, persistent=False)  # (9, 9): squared distances of the nine places
        self.near_bias = nn.Parameter(torch.zeros(int(squared.max()) + 1, arch.heads))
        self.near = nn.ModuleList(Layer(*shape) for _ in range(options.near_layers))
        self.slide_token = nn.Parameter(0.02 * torch.randn(d))
        self.slide = nn.ModuleList(Layer(*shape) for _ in range(options.slide_layers))
        self.position = nn.Parameter(torch.zeros(len(WIDTHS), d))
        self.ask, self.ask_norm, self.slide_norm = Attention(*shape), nn.LayerNorm(d), nn.LayerNorm(d)
        self.fall = nn.Parameter(torch.linspace(-4, 1, arch.heads))  # some heads look everywhere, some nearby
        self.to_target, self.to_near = CrossAttention(*shape), CrossAttention(*shape)
        self.norm = nn.LayerNorm(d)
        self.to_hidden = nn.Sequential(
            nn.Linear(d, arch.hidden), nn.GELU(), nn.Dropout(arch.dropout), nn.Linear(arch.hidden, arch.hidden)
        )

    def look(self, seen: Seen) -> tuple[Tensor, Tokens]:
        """See `HeadNetwork.look`."""
        nodes = self.token(seen.nine)  # (B, 9, d)
        target = nodes[:, SELF]
        present = self.around(seen)
        near = self._near(nodes, present)
        slide = self._ask_slide(target, seen)
        fused = self.norm(self.to_target(target[:, None], slide) + self.to_near(near, slide, present))
        return self.to_hidden(fused), Tokens(target, masked_mean(near, present), {"slide": slide})

    def _near(self, nodes: Tensor, present: Tensor) -> Tensor:
        """Tokens of the nine places after attention among them, which their distance on the lattice biases."""
        bias = self.near_bias[self.lattice].permute(2, 0, 1)[None]  # (1, heads, 9, 9)
        bias = bias.masked_fill(~present[:, None, None], -torch.inf)
        for layer in self.near:
            nodes = layer(nodes, bias)
        return nodes

    def digest(self, sample: SlideSample) -> Digest:
        """See `HeadNetwork.digest`: a transformer over the sample, a positional part after its first layer."""
        tokens = self.token(sample.embeddings)  # (S, K, d)
        tokens = torch.cat([tokens, self.slide_token.expand(len(tokens), 1, -1)], dim=1)
        there = F.pad(sample.present, (0, 1), value=True)  # (S, K + 1)
        bias = torch.zeros(there.shape, device=tokens.device).masked_fill(~there, -torch.inf)[:, None, None]
        for number, layer in enumerate(self.slide):
            tokens = layer(tokens, bias)
            if number == 0:
                tokens = tokens + F.pad(self._position(tokens[:, :-1], sample), (0, 0, 0, 1))
        return Digest(*self.ask.keys(self.slide_norm(tokens)))

    def _position(self, tokens: Tensor, sample: SlideSample) -> Tensor:
        """Mix each channel over near and wide surroundings: the paper's depthwise convolution without a lattice."""
        squared = torch.cdist(sample.centres, sample.centres).square()  # (S, K, K), µm²
        out = torch.zeros_like(tokens)
        for width, weight in zip(WIDTHS, self.position, strict=True):
            share = torch.exp(-squared / (2 * width**2)) * sample.present[:, None]
            share = share / share.sum(-1, keepdim=True).clamp(min=1e-6)
            out = out + weight * (share.to(tokens.dtype) @ tokens)
        return out

    def _ask_slide(self, target: Tensor, seen: Seen) -> Tensor:
        """Let each place's token ask its slide, near places first where a head learns to: (B, d)."""
        digest, sample, slide, centres = seen.digest, seen.sample, seen.slide, seen.centres
        assert isinstance(digest, Digest)
        assert sample is not None
        assert slide is not None
        assert centres is not None
        query, out = self.ask_norm(target), torch.zeros_like(target)
        for s in range(len(sample.present)):
            mine = slide == s
            if not bool(mine.any()):
                continue
            away = torch.cdist(centres[mine], sample.centres[s])  # (b, K)
            fall = F.softplus(self.fall)[:, None, None] * torch.log1p(away / REACH)  # (heads, b, K)
            bias = F.pad((-fall).masked_fill(~sample.present[s], -torch.inf), (0, 1))
            asked = self.ask(query[mine], digest.key[s], digest.value[s], bias.to(query.dtype))
            out = out.masked_scatter(mine[:, None], asked.to(out.dtype))
        return target + out
