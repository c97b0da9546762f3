"""NH2ST: expression at a place from its image and its surroundings.

Qu et al., "Spatially Gene Expression Prediction using Dual-Scale Contrastive Learning", MICCAI 2025,
arXiv 2506.23827. Written from the formulas. B places, N = 9 of the 3 x 3 neighbourhood (index 4 is the place itself), G
genes, C encoder channels, S stain statistics, d = ``dim``.

A network is an encoder, a head (a row of `model/heads/table.py`), a decoder and, beside a dense head, perhaps a kernel
head on the same descriptions of a place and its neighbours (model/kernel_head.py). It has three steps, which the engine
and the training call: ``encode`` (pixels -> embeddings), ``hidden_vectors`` (embeddings -> hidden vectors) and
``decoder`` (hidden -> genes). What a network can do is asked of it (`dense`, `needs`, `has_kernel`), not of its class.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.model.head_inputs import HeadInputs
from napari_nh2st.model.heads.network import HeadNetwork
from napari_nh2st.model.heads.seen import Seen, SlideSample, Tokens
from napari_nh2st.model.heads.table import SAMPLE_PLACES, Need
from napari_nh2st.model.kernel_head import KernelHead
from napari_nh2st.model.stain import STAIN_FEATURES, stain_maps

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


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


class NH2ST(nn.Module):
    """The network of a card.

    With a dense head, an embedding describes a place, (C + S,): pooled encoder output, and stain statistics if a kernel
    head or the learnt head reads them. A hidden vector then has two parts: the learnt head's (``hidden``), from the
    encoder's part or from `HeadInputs`, and the kernel head's, from the whole embedding (``kernel_rank``); the decoder
    reads both. With a head of patches, an embedding is what the head makes of a patch's feature map.
    """

    def __init__(self, arch: Architecture, n_genes: int) -> None:
        super().__init__()
        self.arch = arch
        self.encoder = ResNet18(arch.width, arch.stride, arch.blocks)
        self.kernel_head: KernelHead | None = None
        if arch.landmarks and self.dense:
            groups = [STAIN_FEATURES] + [self.encoder.channels] * (arch.kernel_on == "both")
            self.kernel_head = KernelHead([n * (1 + arch.neighbours) for n in groups], arch.landmarks, arch.kernel_rank)
        self.inputs: HeadInputs | None = None
        seen = self.encoder.channels
        if arch.columns and self.dense:
            self.inputs = HeadInputs(self.embedding_dim, arch.columns + STAIN_FEATURES)
            seen = arch.columns + STAIN_FEATURES
        self.head: HeadNetwork = arch.row.load()(arch, seen)
        self.decoder = nn.Linear(arch.hidden + (arch.kernel_rank if self.has_kernel else 0), n_genes)

    @property
    def dense(self) -> bool:
        """True if the encoder passes over windows of tissue, False if it takes patches."""
        return self.arch.row.dense

    @property
    def needs(self) -> frozenset[Need]:
        """Needs of the head beside the place itself; see `Head.needs`."""
        return self.arch.needs

    @property
    def has_kernel(self) -> bool:
        """True if there is a kernel head beside the learnt one."""
        return self.kernel_head is not None

    @property
    def embedding_dim(self) -> int:
        """Length of an embedding."""
        if not self.dense:
            return self.arch.dim
        return self.encoder.channels + (STAIN_FEATURES if self._with_stain else 0)

    @property
    def _with_stain(self) -> bool:
        return self.has_kernel or self.arch.columns > 0

    @property
    def head_width(self) -> int:
        """Numbers of an embedding that the learnt head reads, from its first on."""
        return self.encoder.channels if self.inputs is None else self.embedding_dim

    def encode(self, images: Tensor) -> Tensor:
        """Encode windows, or patches for a head of patches, to embeddings.

        Parameters
        ----------
        images : (B, 3, H, W)

        Returns
        -------
        (B, C + S, H / stride - 6, W / stride - 6) tensor
            The 7 x 7 windows pooled. Entry (i, j) belongs to the place ``(j + 3, i + 3) * stride`` in the image's
            pixels. If the image starts half a cell inside the lattice, that is a patch centre, ``(j + 3.5, i + 3.5) *
            stride`` on the lattice. (B, d) for patches.
        """
        if not self.dense:
            return self.head.embed(self.encoder(images))
        learnt = self.encode_learnt(images)
        if not self._with_stain:
            return learnt
        return torch.cat([learnt.float(), self.encode_stain(images)], dim=1)

    def encode_learnt(self, images: Tensor) -> Tensor:
        """Like `encode` of a dense encoder, without the stain statistics."""
        return F.avg_pool2d(self.encoder(images), 7, stride=1)

    def encode_for_head(self, images: Tensor) -> Tensor:
        """Like `encode` of a dense encoder, as far as the learnt head reads it: (B, head_width, h, w)."""
        return self.encode_learnt(images) if self.inputs is None else self.encode(images)

    def encode_stain(self, images: Tensor) -> Tensor:
        """Like `encode`, the stain statistics alone: all that some kernel heads read. The encoder does not run."""
        return stain_maps(unnormalise(images), self.arch.stride)

    def hidden_vectors(self, seen: Seen) -> Tensor:
        """Hidden vectors (B, hidden + kernel_rank); `seen` has whole embeddings (C + S).

        `FoldedHead` gives the same, faster, for places that share their surroundings.
        """
        hidden = self.head.hidden(self._for_head(seen))
        if self.kernel_head is None:
            return hidden
        around = self.around(seen.nine[:, SELF], seen.nine, seen.present)
        return torch.cat([hidden.float(), self.kernel_head(around)], dim=-1)

    def look(self, seen: Seen) -> tuple[Tensor, Tokens]:
        """Look at places in training: hidden vectors (B, hidden) of the learnt head alone, and its tokens."""
        return self.head.look(self._for_head(seen))

    def _for_head(self, seen: Seen) -> Seen:
        """Give the head what it reads of embeddings, and what else it needs, be it of an empty slide."""
        if not self.dense:
            return seen
        seen = replace(seen, nine=self._read(seen.nine))
        if "places" in self.needs and seen.centres is None:
            seen = replace(seen, centres=seen.nine.new_zeros((len(seen.nine), 2)))
        if "sample" not in self.needs:
            return replace(seen, sample=None, slide=None, digest=None)
        if seen.digest is None:
            sample = SlideSample.none(SAMPLE_PLACES, self.head_width) if seen.sample is None else seen.sample
            sample, digest = self.digest(sample.to(seen.nine.device))
            seen = replace(seen, sample=sample, digest=digest)
        if seen.slide is None:
            seen = replace(seen, slide=torch.zeros(len(seen.nine), dtype=torch.long, device=seen.nine.device))
        return seen

    def digest(self, sample: SlideSample) -> tuple[SlideSample, object]:
        """Return a sample as the head sees it, and what the head makes of it; see `HeadNetwork.digest`.

        With both in `Seen`, places of one slide can be asked for in many batches.
        """
        sample = replace(sample, embeddings=self._read(sample.embeddings))
        return sample, self.head.digest(sample)

    def _read(self, embeddings: Tensor) -> Tensor:
        """(..., C + S), or what the learnt head reads of it alone -> (..., columns) as it sees them."""
        read = embeddings[..., : self.head_width]
        return read if self.inputs is None else self.inputs(read)

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


def build(arch: Architecture, n_genes: int) -> NH2ST:
    """Build an untrained network from a card's architecture."""
    return NH2ST(arch, n_genes)


class _NoNumbers(TorchFunctionMode):
    """Leaves out the first weights, which have no numbers on the device that they are made for.

    On the meta device torch would load half a library to draw numbers that are not kept.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "fill_", "zero_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def build_without_numbers(arch: Architecture, n_genes: int) -> NH2ST:
    """Build a network that has shapes but takes no memory: of a card that is not trusted yet."""
    with torch.device("meta"), _NoNumbers():
        return NH2ST(arch, n_genes)
