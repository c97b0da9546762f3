"""The contrast as published with NH2ST: image and gene tokens meet by cross-attention, then are matched one way.

Qu et al., MICCAI 2025, arXiv 2506.23827. Kept for parity: attention over one key is none, and the tokens that are
matched hold the true expression already (docs/models.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from napari_nh2st.geometry import SELF
from napari_nh2st.model.cross_attention import CrossAttention
from napari_nh2st.model.hypergraph import HypergraphBranch, masked_mean, restrict
from napari_nh2st.training.objectives.contrast import paper_contrast
from napari_nh2st.training.objectives.info_nce import graph_of
from napari_nh2st.training.objectives.objective import Objective, Step
from napari_nh2st.training.objectives.table import ContrastOptions, ObjectiveOptions

if TYPE_CHECKING:
    from napari_nh2st.model.card import Architecture


@dataclass(frozen=True, eq=False)
class Pairs:
    """Tokens that are matched: z of the paper, s of the spot, n of its neighbourhood, (B, d) each.

    Attributes
    ----------
    spot_image, spot_gene : (B, d)
    near_image, near_gene : (B, d)
    near_known : (B,) bool
        True where a neighbourhood has any measured expression.
    """

    spot_image: Tensor
    spot_gene: Tensor
    near_image: Tensor
    near_gene: Tensor
    near_known: Tensor


class PaperContrast(Objective):
    """spot x L(z_s) + near x L(z_n); one cross-attention X serves all four: z^p = X(h^g, h^p), z^g = X(z^p, h^g)."""

    def __init__(self, options: ObjectiveOptions, arch: Architecture, n_genes: int) -> None:
        super().__init__(options, arch, n_genes)
        assert isinstance(options, ContrastOptions)
        self.spot, self.near, d = options.spot, options.near, arch.dim
        self.gene_encoder = nn.Sequential(nn.Linear(n_genes, d), nn.Linear(d, d))
        self.gene_graph = HypergraphBranch(d, d)
        self.cross = CrossAttention(d, arch.heads, arch.dropout)

    def pairs(self, step: Step) -> Pairs:
        """Run the gene branches and the cross-attention."""
        genes = self.gene_encoder(step.expression)  # (B, 9, d)
        h_sp, h_np, h_sg = step.tokens.target, step.tokens.near, genes[:, SELF]
        both = step.present & step.known
        h_ng = masked_mean(self.gene_graph(genes, restrict(graph_of(step), both)), both)
        z_sp = self.cross(h_sg[:, None], h_sp)
        z_sg = self.cross(z_sp[:, None], h_sg)
        z_np = self.cross(h_ng[:, None], h_np)
        z_ng = self.cross(z_np[:, None], h_ng)
        return Pairs(z_sp, z_sg, z_np, z_ng, both.any(1))

    def forward(self, step: Step) -> Tensor:
        """See `Objective.forward`."""
        pairs, loss = self.pairs(step), step.prediction.new_zeros(())
        if self.spot and len(pairs.spot_image) > 1:
            loss = loss + self.spot * paper_contrast(pairs.spot_image, pairs.spot_gene)
        some = pairs.near_known
        if self.near and int(some.sum()) > 1:
            loss = loss + self.near * paper_contrast(pairs.near_image[some], pairs.near_gene[some])
        return loss
