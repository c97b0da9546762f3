"""NH2ST: expression at a place from its image and its surroundings, in two variants.

Qu et al., "Spatially Gene Expression Prediction using Dual-Scale Contrastive Learning", MICCAI 2025,
arXiv 2506.23827. Written from the formulas. B targets, N = 9 places of the 3 x 3 neighbourhood (index 4 is the
target itself), G genes, C encoder channels, d = ``dim``.

``paper`` follows the publication: it predicts from the target patch alone, before any cross-attention.
``context`` (the default) predicts from the target and its neighbours, and runs densely: the encoder passes once over
a block of tissue and every place is pooled from the same feature map. Beside the part learnt by gradient it has a
kernel head on the same descriptions of the target and its neighbours (model/kernel_head.py).

Both have three steps, which the engine and the training call:
``encode`` (pixels -> embeddings), ``hidden_vectors`` (embeddings -> hidden vectors) and ``decoder`` (hidden -> genes).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.hypergraph import HypergraphConv, averaging, incidence, restrict
from napari_nh2st.model.kernel_head import KernelHead
from napari_nh2st.model.losses import info_nce, paper_contrast
from napari_nh2st.model.stain import STAIN_FEATURES, stain_maps

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass
class Branches:
    """Outputs of the four branches for one batch; the loss reads them.

    Attributes
    ----------
    prediction : (B, G)
    spot_image, spot_gene : (B, d)
        The contrasted pair of the target (z_s of the paper; h_s, before fusion, in ``context``).
    near_image, near_gene : (B, d)
        The contrasted pair of the neighbourhood.
    near_known : (B,) bool
        True where a neighbourhood has any measured expression.
    """

    prediction: Tensor
    spot_image: Tensor
    spot_gene: Tensor
    near_image: Tensor
    near_gene: Tensor
    near_known: Tensor


def normalise(pixels: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 with ImageNet's mean and standard deviation."""
    mean = torch.tensor(IMAGENET_MEAN, device=pixels.device) * 255
    std = torch.tensor(IMAGENET_STD, device=pixels.device) * 255
    x = ((pixels.float() - mean) / std).permute(0, 3, 1, 2)
    return x.contiguous(memory_format=torch.channels_last)


def unnormalise(images: Tensor) -> Tensor:
    """Undo `normalise`: (B, 3, H, W) -> RGB of 0 to 255 in the same layout."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device)[:, None, None] * 255
    std = torch.tensor(IMAGENET_STD, device=images.device)[:, None, None] * 255
    return images.float() * std + mean


class CrossAttention(nn.Module):
    """X(kv, q): a pre-norm cross-attention block and a final norm.

    One LayerNorm is shared by q and kv; projections of q and kv have no bias, the output projection has one;
    residual; LayerNorm and an MLP of ratio 1 with GELU, residual; a final LayerNorm.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, dim), nn.Dropout(dropout)
        )
        self.norm = nn.LayerNorm(dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, kv: Tensor, q: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, L, d) keys and values, (B, d) query, (B, L) bool -> (B, d)."""
        batch, length, dim = kv.shape
        each = (self.heads, dim // self.heads)
        query = self.to_q(self.norm1(q)).view(batch, 1, *each).transpose(1, 2)  # (B, heads, 1, d / heads)
        key, value = self.to_kv(self.norm1(kv)).view(batch, length, 2, dim).unbind(2)  # (B, L, d) each
        key, value = (t.reshape(batch, length, *each).transpose(1, 2) for t in (key, value))
        mask = None if present is None else present[:, None, None, :]
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)  # (B, heads, 1, d / heads)
        q = q + self.drop(self.to_out(seen.transpose(1, 2).reshape(batch, dim)))
        q = q + self.mlp(self.norm2(q))
        out: Tensor = self.norm(q)
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


class PaperNH2ST(nn.Module):
    """The published model. An embedding is the target token ``h_s^p`` of a patch, (d,)."""

    dense = False

    def __init__(self, arch: Architecture, n_genes: int) -> None:
        super().__init__()
        self.arch = arch
        d = arch.dim
        self.encoder = ResNet18(arch.width, arch.stride, arch.blocks)
        flat = 49 * self.encoder.channels
        self.embedding_dim = d
        self.target = nn.Linear(flat, d)
        self.gene_encoder = nn.Sequential(nn.Linear(n_genes, d), nn.Linear(d, d))
        self.image_graph = HypergraphBranch(flat, d)
        self.gene_graph = HypergraphBranch(d, d)
        self.cross = CrossAttention(d, arch.heads, arch.dropout)
        self.to_hidden = nn.Linear(d, arch.hidden)
        self.decoder = nn.Linear(arch.hidden, n_genes)

    def encode(self, patches: Tensor) -> Tensor:
        """(n, 3, 7 stride, 7 stride) -> h_s^p (n, d)."""
        return self.target_token(self.encoder(patches))

    def hidden_vectors(self, target: Tensor, neighbours: Tensor, present: Tensor) -> Tensor:
        """Hidden vectors (B, hidden). The published head sees the target alone; neighbours are not read."""
        out: Tensor = self.to_hidden(target)
        return out

    def target_token(self, maps: Tensor) -> Tensor:
        """(n, C, 7, 7) feature maps of patches -> h_s^p (n, d)."""
        out: Tensor = self.target(maps.permute(0, 2, 3, 1).flatten(1))  # (h w) d order
        return out

    def branches(self, maps: Tensor, present: Tensor, expression: Tensor, known: Tensor) -> Branches:
        """Run every branch of a training batch.

        Parameters
        ----------
        maps : (B, 9, C, 7, 7)
            Feature maps of the nine patches.
        present : (B, 9) bool
            Places with tissue.
        expression : (B, 9, G)
            Measured labels at the nine places; any value where unknown.
        known : (B, 9) bool
            Places with measured expression.
        """
        h_sp = self.target_token(maps[:, SELF])
        genes = self.gene_encoder(expression)  # (B, 9, d)
        h_sg = genes[:, SELF]
        nodes = maps.flatten(2)  # (B, 9, C 7 7), d (h w) order
        graph = incidence(nodes, present)
        h_np = masked_mean(self.image_graph(nodes, graph), present)
        both = present & known
        h_ng = masked_mean(self.gene_graph(genes, restrict(graph, both)), both)
        z_sp = self.cross(h_sg[:, None], h_sp)
        z_sg = self.cross(z_sp[:, None], h_sg)
        z_np = self.cross(h_ng[:, None], h_np)
        z_ng = self.cross(z_np[:, None], h_ng)
        prediction = self.decoder(self.to_hidden(h_sp))
        return Branches(prediction, z_sp, z_sg, z_np, z_ng, both.any(1))

    contrast = staticmethod(paper_contrast)


class ContextNH2ST(nn.Module):
    """The default model. An embedding describes a place, (C + S,): pooled encoder output, stain statistics.

    A hidden vector has two parts: the network's, from the encoder's part (``hidden``), and the kernel head's, from the
    whole embedding (``kernel_rank``; absent without landmarks). The decoder reads both.
    """

    dense = True

    def __init__(self, arch: Architecture, n_genes: int) -> None:
        super().__init__()
        self.arch = arch
        d = arch.dim
        self.encoder = ResNet18(arch.width, arch.stride, arch.blocks)
        self.kernel_head: KernelHead | None = None
        if arch.landmarks:
            groups = [STAIN_FEATURES] + [self.encoder.channels] * (arch.kernel_on == "both")
            self.kernel_head = KernelHead([n * (1 + arch.neighbours) for n in groups], arch.landmarks, arch.kernel_rank)
        self.embedding_dim = self.encoder.channels + (STAIN_FEATURES if arch.landmarks else 0)
        self.token = nn.Sequential(nn.Linear(self.encoder.channels, d), nn.LayerNorm(d))
        self.image_graph = HypergraphBranch(d, d)
        self.cross = CrossAttention(d, arch.heads, arch.dropout)
        self.to_hidden = nn.Sequential(
            nn.Linear(2 * d, arch.hidden),
            nn.GELU(),
            nn.Dropout(arch.dropout),
            nn.Linear(arch.hidden, arch.hidden),
        )
        self.decoder = nn.Linear(arch.hidden + (arch.kernel_rank if arch.landmarks else 0), n_genes)
        self.gene_encoder = nn.Sequential(nn.Linear(n_genes, d), nn.GELU(), nn.Linear(d, d))
        self.gene_graph = HypergraphBranch(d, d)

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C + S, H / stride - 6, W / stride - 6), the 7 x 7 windows pooled.

        Entry (i, j) belongs to the place ``(j + 3, i + 3) * stride`` in the image's pixels. If the image starts half
        a cell inside the lattice, that is a patch centre, ``(j + 3.5, i + 3.5) * stride`` on the lattice.
        """
        learnt = self.encode_learnt(images)
        if self.kernel_head is None:
            return learnt
        return torch.cat([learnt.float(), self.encode_stain(images)], dim=1)

    def encode_learnt(self, images: Tensor) -> Tensor:
        """Like `encode`, without the stain statistics: all that training by gradient needs."""
        return F.avg_pool2d(self.encoder(images), 7, stride=1)

    def encode_stain(self, images: Tensor) -> Tensor:
        """Like `encode`, the stain statistics alone: all that some kernel heads read. The encoder does not run."""
        return stain_maps(unnormalise(images), self.arch.stride)

    def hidden_vectors(self, target: Tensor, neighbours: Tensor, present: Tensor) -> Tensor:
        """(B, C + S), (B, 9, C + S), (B, 9) bool -> hidden vectors (B, hidden + kernel_rank).

        `FoldedHead` gives the same, faster, for places that share their surroundings.
        """
        h_sp, nodes = (self.token(x[..., : self.encoder.channels]) for x in (target, neighbours))
        graph_nodes = self.image_graph(nodes, incidence(nodes, present)) if self.arch.neighbours else nodes
        hidden = self._fuse(h_sp, nodes, graph_nodes, present)
        if self.kernel_head is None:
            return hidden
        return torch.cat([hidden.float(), self.kernel_head(self.around(target, neighbours, present))], dim=-1)

    def around(self, target: Tensor, nodes: Tensor, present: Tensor) -> Tensor:
        """Put a target's description beside the mean of its neighbours', or beside its own if it has none.

        Parameters
        ----------
        target : (B, C + S)
            Or (B, S) if the kernel head sees no embeddings; as `encode_stain` gives them.
        nodes : (B, 9, C + S) or (B, 9, S)
        present : (B, 9) bool

        Returns
        -------
        (B, n) tensor
            Stain statistics of both, then embeddings of both if the kernel head sees them. Of the target alone for a
            model that does not look at neighbours.
        """
        if self.arch.kernel_on == "stain":
            target, nodes = target[:, -STAIN_FEATURES:], nodes[..., -STAIN_FEATURES:]
        target, nodes = target.float(), nodes.float()
        return self._arrange(target, self._surroundings(target, nodes, present))

    def _surroundings(self, target: Tensor, nodes: Tensor, present: Tensor) -> Tensor | None:
        """Mean of each place's surroundings, (B, n); the place itself if it has none."""
        if not self.arch.neighbours:
            return None
        others = present.clone()
        others[:, SELF] = False
        count = others.sum(1, keepdim=True)
        weight = others / count.clamp(min=1)
        index = torch.arange(others.numel(), device=nodes.device).view(others.shape)
        mean = F.embedding_bag(index, nodes.flatten(0, 1), per_sample_weights=weight, mode="sum")
        return torch.where(count > 0, mean, target)

    def _arrange(self, target: Tensor, seen: Tensor | None) -> Tensor:
        """Stain statistics of place and surroundings, then their embeddings: (B, C + S) or (B, S) each."""
        parts = [target] if seen is None else [target, seen]
        columns = [p[:, -STAIN_FEATURES:] for p in parts]
        if self.arch.kernel_on == "both":
            columns += [p[:, : self.encoder.channels] for p in parts]
        return torch.cat(columns, dim=-1)

    def learnt(self, hidden: Tensor) -> Tensor:
        """Genes from the learnt part of hidden vectors alone: (B, >= hidden) -> (B, G)."""
        size = self.arch.hidden
        return F.linear(hidden[:, :size], self.decoder.weight[:, :size], self.decoder.bias)

    def _fuse(self, h_sp: Tensor, nodes: Tensor, graph_nodes: Tensor, present: Tensor) -> Tensor:
        if not self.arch.neighbours:  # the same network with nothing round the target
            alone: Tensor = self.to_hidden(torch.cat([h_sp, torch.zeros_like(h_sp)], dim=-1))
            return alone
        seen = self.cross(nodes + graph_nodes, h_sp, present)  # (B, d)
        out: Tensor = self.to_hidden(torch.cat([h_sp, seen], dim=-1))
        return out

    def branches(self, embeddings: Tensor, present: Tensor, expression: Tensor, known: Tensor) -> Branches:
        """Run every branch of a training batch; the prediction is the learnt part's own, without the kernel head.

        Parameters
        ----------
        embeddings : (B, 9, C + S)
        present : (B, 9) bool
        expression : (B, 9, G)
        known : (B, 9) bool
        """
        nodes = self.token(embeddings[..., : self.encoder.channels])  # (B, 9, d)
        graph = incidence(nodes, present)
        graph_nodes = self.image_graph(nodes, graph)
        h_sp, h_np = nodes[:, SELF], masked_mean(graph_nodes, present)
        hidden = self._fuse(h_sp, nodes, graph_nodes, present)
        genes = self.gene_encoder(expression)  # (B, 9, d)
        both = present & known
        h_ng = masked_mean(self.gene_graph(genes, restrict(graph, both)), both)
        return Branches(self.learnt(hidden), h_sp, genes[:, SELF], h_np, h_ng, both.any(1))

    contrast = staticmethod(info_nce)


NH2ST = PaperNH2ST | ContextNH2ST


def build(arch: Architecture, n_genes: int) -> NH2ST:
    """Build an untrained network from a card's architecture."""
    return ContextNH2ST(arch, n_genes) if arch.variant == "context" else PaperNH2ST(arch, n_genes)


def loss_of(net: NH2ST, out: Branches, target: Tensor, spot_weight: float, near_weight: float) -> Tensor:
    """MSE + spot_weight * L_s + near_weight * L_n; the published weights are 1.0 and 0.5.

    Parameters
    ----------
    out : Branches
    target : (B, G)
        Labels at the target places.
    """
    loss = F.mse_loss(out.prediction.float(), target)
    if spot_weight and len(target) > 1:
        loss = loss + spot_weight * net.contrast(out.spot_image, out.spot_gene)
    if near_weight and int(out.near_known.sum()) > 1:
        loss = loss + near_weight * net.contrast(out.near_image[out.near_known], out.near_gene[out.near_known])
    return loss
