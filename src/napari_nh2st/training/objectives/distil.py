"""Every scale of a head predicts by itself, and learns from the labels and from what all scales predict together.

Chung et al. (TRIPLEX), CVPR 2024, arXiv 2403.07592.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from napari_nh2st.geometry import SELF
from napari_nh2st.training.objectives.objective import Objective, Step
from napari_nh2st.training.objectives.table import DistilOptions, ObjectiveOptions

if TYPE_CHECKING:
    from napari_nh2st.model.card import Architecture


class Distil(Objective):
    """weight x sum over scales b of [(1 - soft) MSE(b, y) + soft MSE(b, fused)], b decoded from a scale's token."""

    def __init__(self, options: ObjectiveOptions, arch: Architecture, n_genes: int) -> None:
        super().__init__(options, arch, n_genes)
        assert isinstance(options, DistilOptions)
        self.weight, self.soft = options.weight, options.soft
        self.decoders = nn.ModuleDict({name: nn.Linear(arch.dim, n_genes) for name in arch.row.tokens})

    def forward(self, step: Step) -> Tensor:
        """See `Objective.forward`."""
        loss = step.prediction.new_zeros(())
        for name, decoder in self.decoders.items():
            branch = decoder(step.tokens.scale(name)).float()
            hard = F.mse_loss(branch, step.expression[:, SELF])
            loss = loss + (1 - self.soft) * hard + self.soft * F.mse_loss(branch, step.prediction.float())
        return self.weight * loss
