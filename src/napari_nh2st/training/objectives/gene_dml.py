"""Images and genes told apart at several levels: by instance with soft targets, and by group.

After Song et al. (Gene-DML), arXiv 2507.14670. B spots of a step, d the length of a token, k groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_nh2st.geometry import SELF
from napari_nh2st.model.hypergraph import masked_mean
from napari_nh2st.training.objectives.objective import Objective, Step
from napari_nh2st.training.objectives.table import GeneDMLOptions, ObjectiveOptions

if TYPE_CHECKING:
    from napari_nh2st.model.card import Architecture

# Spots of a group, at least, on average: groups of one are instances.
SPOTS_A_GROUP, ROUNDS = 4, 10


def soft_contrast(image: Tensor, gene: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of (B, d) images to (B, d) genes, and back, with targets as soft as the pairs are alike, in nats.

    Targets are ``softmax((V V' + G G') / 2 temperature)`` of the normalised tokens, without a gradient. The loss is at
    least their entropy, and reaches it where images and genes are alike as the targets are. With all embeddings of
    either kind equal it is ln B, the largest entropy there is: collapse gains nothing.
    """
    v, g = F.normalize(image.float(), dim=-1), F.normalize(gene.float(), dim=-1)
    with torch.no_grad():
        target = ((v @ v.T + g @ g.T) / (2 * temperature)).softmax(-1)
    logits = v @ g.T / temperature
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def group_contrast(image: Tensor, gene: Tensor, groups: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of each instance to the group centroids of the other kind, both ways, in nats.

    Parameters
    ----------
    image, gene : (B, d)
    groups : (B,) int64
        0 to k - 1. With all embeddings of a kind equal its part is ln k.
    """
    v, g = F.normalize(image.float(), dim=-1), F.normalize(gene.float(), dim=-1)
    own = F.one_hot(groups).float()  # (B, k)
    with torch.no_grad():
        of_images, of_genes = (F.normalize(own.T @ t, dim=-1) for t in (v, g))  # (k, d)
    return (
        F.cross_entropy(v @ of_genes.T / temperature, groups) + F.cross_entropy(g @ of_images.T / temperature, groups)
    ) / 2


@torch.no_grad()
def groups_of(tokens: Tensor, count: int) -> Tensor:
    """Group (B, d) tokens by direction: k-means (Lloyd 1982) from centres far from one another, the first spot's first.

    Returns
    -------
    (B,) int64
        0 to k - 1, each of them taken; k is at most `count`.
    """
    t = F.normalize(tokens.detach().float(), dim=-1)
    chosen = [0]
    while len(chosen) < count:
        nearest = (t @ t[chosen].T).amax(1)  # cosine to the nearest centre
        farthest = int(nearest.argmin())
        if nearest[farthest] > 1 - 1e-6:
            break
        chosen.append(farthest)
    centres = t[chosen]
    for _ in range(ROUNDS):
        own = F.one_hot((t @ centres.T).argmax(1), len(centres)).float()
        centres = F.normalize(torch.where(own.sum(0)[:, None] > 0, own.T @ t, centres), dim=-1)
    taken: Tensor = torch.unique((t @ centres.T).argmax(1), return_inverse=True)[1]
    return taken


class GeneDML(Objective):
    """weight x mean over the head's scales of [soft contrast + group x contrast with groups].

    A scale's token meets the spot's own genes; that of the neighbourhood meets the mean over the known places.
    """

    def __init__(self, options: ObjectiveOptions, arch: Architecture, n_genes: int) -> None:
        super().__init__(options, arch, n_genes)
        assert isinstance(options, GeneDMLOptions)
        self.options, self.scales = options, arch.row.tokens
        self.gene_encoder = nn.Sequential(nn.Linear(n_genes, arch.dim), nn.GELU(), nn.Linear(arch.dim, arch.dim))

    def forward(self, step: Step) -> Tensor:
        """See `Objective.forward`."""
        genes = self.gene_encoder(step.expression)  # (B, 9, d)
        both = step.present & step.known
        losses = []
        for scale in self.scales:
            image, gene = step.tokens.scale(scale), genes[:, SELF]
            if scale == "near":
                some = both.any(1)
                image, gene = image[some], masked_mean(genes, both)[some]
            if len(image) > 1:
                losses.append(self._contrast(image, gene))
        if not losses:
            return step.prediction.new_zeros(())
        return self.options.weight * torch.stack(losses).mean()

    def _contrast(self, image: Tensor, gene: Tensor) -> Tensor:
        loss = soft_contrast(image, gene, self.options.temperature)
        count = min(self.options.groups, len(image) // SPOTS_A_GROUP)
        if self.options.group and count > 1:
            groups = groups_of(gene, count)
            loss = loss + self.options.group * group_contrast(image, gene, groups, self.options.temperature)
        return loss
