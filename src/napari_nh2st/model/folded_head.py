"""The head of a ``context`` model for prediction: `NH2ST.hidden_vectors` with less arithmetic.

The mathematics is the same, the answers are equal to rounding:

- What depends on a cell alone is computed once a cell, before the nine are gathered: its token, the first hypergraph
  product, its standardised description.
- Constant factors go into the weights when the model is loaded: layer norms' weights into the product after them, the
  scale of attention into the query, the kernel's width into the landmarks. The rows of an averaging matrix sum to 1,
  so the biases of hypergraph convolutions are added before they are averaged.
- Attention projects its keys and values once a query: ``q . (W k) = (W^T q) . k`` and ``sum a (W v) = W (sum a v)``.
- Layer norm of the keys needs their length alone: ``W`` without its mean takes the mean away, and the division is done
  on the scores and on the shares.

B places, M cells, N = 9, C encoder channels, S stain statistics, d = ``dim``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_nh2st.geometry import SELF
from napari_nh2st.model.cross_attention import CrossAttention
from napari_nh2st.model.heads.context import ContextHead
from napari_nh2st.model.hypergraph import averaging, incidence_of
from napari_nh2st.model.kernel_head import KernelHead
from napari_nh2st.model.linear import linear
from napari_nh2st.model.nh2st import NH2ST
from napari_nh2st.model.stain import STAIN_FEATURES


class PreparedCells(NamedTuple):
    """Cells that places look at.

    Attributes
    ----------
    rows : (M, d) or (M, 3 d)
        Token; where the model sees neighbours, beside its product with the first hypergraph weights, (2 d).
    unit : (M,)
        1 / length of the token.
    own, around : (M, C + S) or (M, S)
        Standardised as a place's own description, not clipped yet, and as a part of its surroundings; empty without
        kernel head, `around` also where neighbours are not seen.
    """

    rows: Tensor
    unit: Tensor
    own: Tensor
    around: Tensor


class FoldedHead:
    """The head of a network as it is now, on the network's device.

    Parameters
    ----------
    net : NH2ST
        Its head is `ContextHead`.
    half : bool
        Multiply by the second hypergraph weights, the largest product, in bfloat16. It moves predictions by a small
        part of what bfloat16 in the encoder does; the landmarks would move them by half of that.
    """

    def __init__(self, net: NH2ST, *, half: bool = False) -> None:
        arch, head = net.arch, net.head
        assert isinstance(head, ContextHead)
        self.width, self.dim, self.neighbours = net.head_width, arch.dim, arch.neighbours
        with torch.no_grad():
            self.token = _copy(head.token[0])
            if net.inputs is not None:
                weight, bias = self.token
                self.token = weight @ net.inputs.project, bias + weight @ net.inputs.shift
            norm = head.token[1]
            assert isinstance(norm, nn.LayerNorm)
            self.token_norm = norm.weight.detach().clone(), norm.bias.detach().clone()
            self.conv1, self.conv2 = (
                (conv.lin.weight.detach().clone(), conv.bias.detach().clone())
                for conv in (head.image_graph.conv1, head.image_graph.conv2)
            )
            if half:
                self.conv2 = (self.conv2[0].bfloat16(), self.conv2[1])
            self.attention = FoldedAttention(head.cross)
            weight, bias = _copy(head.to_hidden[0])
            bias += weight[:, arch.dim :] @ head.cross.norm.bias * arch.neighbours
            weight[:, arch.dim :] *= head.cross.norm.weight
            self.hidden = (weight if arch.neighbours else weight[:, : arch.dim].contiguous(), bias)
            self.last = _copy(head.to_hidden[3])
            kernel, channels = net.kernel_head, net.encoder.channels if arch.kernel_on == "both" else 0
            self.kernel = None if kernel is None else FoldedKernel(kernel, channels)

    def prepare(self, cells: Tensor) -> PreparedCells:
        """Compute what depends on a cell alone: (M, C + S)."""
        out = self.empty(cells)
        self.fill(out, cells, slice(None))
        return out

    def empty(self, cells: Tensor) -> PreparedCells:
        """Make room for what `fill` computes: large temporary copies would go back to the system after each use."""
        width = self.dim * (3 if self.neighbours else 1)
        seen = 0 if self.kernel is None else self.kernel.size
        sizes = (width,), (), (seen,), (seen * (self.kernel is not None and self.kernel.parts == 2),)
        return PreparedCells(*(torch.empty((len(cells), *size), device=cells.device) for size in sizes))

    def fill(self, out: PreparedCells, cells: Tensor, part: slice) -> None:
        """Prepare a part of the cells, in place."""
        rows = linear(cells[part, : self.width], *self.token)
        rows = F.layer_norm(rows, (self.dim,), *self.token_norm)  # (m, d)
        out.rows[part, : self.dim] = rows
        out.unit[part] = rows.norm(dim=1).clamp_(min=1e-12).reciprocal_()
        if self.neighbours:
            out.rows[part, self.dim :] = linear(rows, *self.conv1)
        if self.kernel is not None:
            self.kernel.prepare(cells[part], out.own[part], out.around[part])

    def look(self, cells: PreparedCells, own: Tensor, nine: Tensor, present: Tensor) -> Tensor:
        """Look at places.

        Parameters
        ----------
        cells : PreparedCells
        own : (B,) int
            Index of the place's own cell.
        nine : (B, 9) int
            Indices of the nine cells around it.
        present : (B, 9) bool

        Returns
        -------
        (B, hidden + kernel_rank) tensor
        """
        token = cells.rows[:, : self.dim].index_select(0, own)  # (B, d)
        if self.neighbours:
            nodes = self._nodes(cells, nine, present)  # (B, 9, d)
            joined = torch.cat([token, self.attention(nodes, token, present)], dim=1)
        else:
            joined = token
        hidden = linear(F.gelu(linear(joined, *self.hidden)), *self.last)
        if self.kernel is None:
            return hidden
        return torch.cat([hidden, self.kernel(cells, own, nine, present)], dim=1)

    def _nodes(self, cells: PreparedCells, nine: Tensor, present: Tensor) -> Tensor:
        """Nine nodes of each place after both hypergraph convolutions, with their tokens added: (B, 9, d)."""
        size = len(nine), 9
        rows = cells.rows.index_select(0, nine.flatten()).view(*size, 3 * self.dim)
        token, first = rows[..., : self.dim], rows[..., self.dim :]
        # An edge's own length changes nothing in the order of its neighbours.
        similarity = token @ token.transpose(1, 2) * cells.unit.index_select(0, nine.flatten()).view(len(nine), 1, 9)
        average = averaging(incidence_of(similarity, present))
        x = (average @ first).relu_()  # (B, 9, 2 d)
        x = _product(x.flatten(0, 1), *self.conv2).view(*size, self.dim)
        return (average @ x).relu_().add_(token)


class FoldedAttention:
    """`CrossAttention` for queries that have their own few keys each, without its last norm's weights."""

    def __init__(self, cross: CrossAttention) -> None:
        self.heads, dim = cross.heads, cross.to_q.in_features
        self.dim, each = dim, dim // cross.heads
        self.eps = cross.norm1.eps
        weight, bias = cross.norm1.weight, cross.norm1.bias
        query = cross.to_q.weight / each**0.5
        self.query = (query * weight).contiguous(), query @ bias
        key, value = cross.to_kv.weight.view(2, dim, dim).unbind(0)
        centred = [(w * weight) - (w * weight).mean(dim=1, keepdim=True) for w in (key, value)]
        self.key = centred[0].reshape(self.heads, each, dim).contiguous()  # a bias is the same for all nine
        self.value = centred[1].reshape(self.heads, each, dim).transpose(1, 2).contiguous()
        out, out_bias = _copy(cross.to_out)
        self.out = out, out_bias + out @ (value @ bias)
        self.mlp1 = _after_norm(cross.mlp[0], cross.norm2)
        self.mlp2 = _copy(cross.mlp[3])

    def __call__(self, nodes: Tensor, token: Tensor, present: Tensor) -> Tensor:
        """(B, 9, d) nodes, (B, d) queries, (B, 9) bool -> (B, d), normalised."""
        size = len(token), self.heads, self.dim // self.heads
        query = linear(self._norm(token), *self.query).view(size).transpose(0, 1)  # (heads, B, d / heads)
        wanted = torch.bmm(query, self.key).transpose(0, 1)  # (B, heads, d)
        variance = nodes.square().mean(2) - nodes.mean(2).square()
        scale = variance.add_(self.eps).rsqrt_()[:, None]  # (B, 1, 9)
        score = torch.bmm(wanted, nodes.transpose(1, 2)).mul_(scale)  # (B, heads, 9)
        share = _softmax(score.masked_fill_(~present[:, None], -torch.inf)).mul_(scale)
        mixed = torch.bmm(share, nodes).transpose(0, 1)  # (heads, B, d)
        seen = torch.bmm(mixed, self.value).transpose(0, 1).reshape(token.shape)
        x = linear(seen, *self.out).add_(token)
        x = linear(F.gelu(linear(self._norm(x), *self.mlp1)), *self.mlp2).add_(x)
        return self._norm(x)

    def _norm(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (self.dim,), eps=self.eps)


class FoldedKernel:
    """`KernelHead` for places that share cells, and the description that it reads.

    Parameters
    ----------
    head : KernelHead
    channels : int
        Encoder channels that it sees.
    """

    def __init__(self, head: KernelHead, channels: int) -> None:
        self.size = channels + STAIN_FEATURES
        self.parts = len(head.mean) // self.size  # a place, and its surroundings if it sees them
        width = len(head.mean)
        self.mean, self.std = (self._by_part(v) for v in (head.mean, head.std))
        self.landmarks = []
        start = 0
        for columns, gamma in zip(head.groups, head.gamma.tolist(), strict=True):
            one = head.landmarks[:, start : start + columns]
            # exp(-gamma |z - l|^2) = exp(2 gamma z . l - gamma |l|^2 - gamma |z|^2)
            self.landmarks.append(((2 * gamma * one).contiguous(), -gamma * one.square().sum(1), -gamma))
            start += columns
        self.linear = head.project[:width].T.contiguous()
        self.project = (head.project[width:] / len(head.groups)).T.contiguous()

    def _by_part(self, values: Tensor) -> list[Tensor]:
        """Numbers of a description, as a cell has them: (C + S,) of the place, and of its surroundings."""
        parts, stain = self.parts, STAIN_FEATURES
        out = []
        for i in range(parts):
            learnt = values[parts * stain :][i * (self.size - stain) : (i + 1) * (self.size - stain)]
            out.append(torch.cat([learnt, values[i * stain : (i + 1) * stain]]))
        return out

    def prepare(self, cells: Tensor, *parts: Tensor) -> None:
        """Standardise cells (m, C + S) as places and as surroundings, into (m, C + S) each."""
        used = cells[:, cells.shape[1] - self.size :]
        for part, mean, std in zip(parts, self.mean, self.std, strict=False):
            torch.sub(used, mean, out=part).div_(std)

    def __call__(self, cells: PreparedCells, own: Tensor, nine: Tensor, present: Tensor) -> Tensor:
        """(B, kernel_rank) of places."""
        parts = [cells.own.index_select(0, own)]
        if self.parts == 2:
            parts.append(_mean_around(cells.around, nine, present))
        stain = self.size - STAIN_FEATURES
        z = torch.cat([p[:, stain:] for p in parts] + [p[:, :stain] for p in parts], dim=1).clamp_(-5, 5)
        likeness, start = None, 0
        for landmarks, offset, gamma in self.landmarks:
            x = z[:, start : start + landmarks.shape[1]]
            start += landmarks.shape[1]
            one = linear(x, landmarks, offset).add_(x.square().sum(1, keepdim=True), alpha=gamma).exp_()
            likeness = one if likeness is None else likeness.add_(one)
        assert likeness is not None
        return linear(likeness, self.project).add_(linear(z, self.linear))


def _mean_around(cells: Tensor, nine: Tensor, present: Tensor) -> Tensor:
    """Mean over the places around each, (B, n); the place itself if there are none."""
    weight = present.to(cells.dtype)
    weight[:, SELF] = 0
    count = weight.sum(1, keepdim=True)
    weight /= count.clamp(min=1)
    weight[:, SELF] = count[:, 0] == 0
    return F.embedding_bag(nine, cells, per_sample_weights=weight, mode="sum")


def _product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`linear` in the precision of the weight; the bias and the sum are float32."""
    if weight.dtype == x.dtype:
        return linear(x, weight, bias)
    return F.linear(x.to(weight.dtype), weight).float().add_(bias)


def _softmax(score: Tensor) -> Tensor:
    """Softmax over the last axis, in place: torch's own takes four times as long for rows of nine."""
    share = score.sub_(score.amax(-1, keepdim=True)).exp_()
    return share.div_(share.sum(-1, keepdim=True))


def _copy(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer, float32."""
    assert isinstance(layer, nn.Linear)
    return layer.weight.detach().float().clone(), layer.bias.detach().float().clone()


def _after_norm(layer: nn.Module, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer that take in those of the norm before it."""
    weight, bias = _copy(layer)
    return (weight * norm.weight).contiguous(), bias + weight @ norm.bias
