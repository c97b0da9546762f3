"""Symmetric InfoNCE between images and genes, of a spot and of its surroundings.

Oord et al. 2018, arXiv 1807.03748; the two scales are those of Qu et al., MICCAI 2025, arXiv 2506.23827. The tokens are
contrasted before anything of the measured expression meets them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from napari_nh2st.geometry import SELF
from napari_nh2st.model.hypergraph import HypergraphBranch, masked_mean, restrict
from napari_nh2st.training.objectives.contrast import info_nce
from napari_nh2st.training.objectives.objective import Objective, Step
from napari_nh2st.training.objectives.table import ContrastOptions, ObjectiveOptions

if TYPE_CHECKING:
    from napari_nh2st.model.card import Architecture


class InfoNCE(Objective):
    """spot x InfoNCE(target token, own genes) + near x InfoNCE(near token, genes of the known places).

    Genes of the surroundings pass over the head's hypergraph, or over one that joins all known places.
    """

    def __init__(self, options: ObjectiveOptions, arch: Architecture, n_genes: int) -> None:
        super().__init__(options, arch, n_genes)
        assert isinstance(options, ContrastOptions)
        self.spot, self.near, d = options.spot, options.near, arch.dim
        self.gene_encoder = nn.Sequential(nn.Linear(n_genes, d), nn.GELU(), nn.Linear(d, d))
        self.gene_graph = HypergraphBranch(d, d)

    def forward(self, step: Step) -> Tensor:
        """See `Objective.forward`."""
        genes = self.gene_encoder(step.expression)  # (B, 9, d)
        loss = step.prediction.new_zeros(())
        if self.spot and len(genes) > 1:
            loss = loss + self.spot * info_nce(step.tokens.target, genes[:, SELF])
        both = step.present & step.known
        some = both.any(1)
        if self.near and int(some.sum()) > 1:
            near = masked_mean(self.gene_graph(genes, restrict(graph_of(step), both)), both)
            loss = loss + self.near * info_nce(step.tokens.near[some], near[some])
        return loss


def graph_of(step: Step) -> Tensor:
    """Return the head's hypergraph over the nine places, (B, 9, 9); where it has none, one that joins them all."""
    if step.tokens.graph is not None:
        return step.tokens.graph
    return step.hidden.new_ones((len(step.known), 9, 9))
