"""Tokens that stay apart: two views of a spot's token, one mixed with another spot's, are decorrelated.

After MGCN (docs/models.md has the source): latent mixup, and the loss of Barlow Twins (Zbontar et al., ICML 2021,
arXiv 2103.03230) with means instead of sums. B spots of a step, d the length of a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_nh2st.training.objectives.objective import Objective, Step
from napari_nh2st.training.objectives.table import MGCNOptions, ObjectiveOptions

if TYPE_CHECKING:
    from napari_nh2st.model.card import Architecture


def decorrelation(one: Tensor, other: Tensor) -> Tensor:
    """Half of mean (diagonal - 1)^2 + mean off-diagonal^2 of the correlation between features of two views.

    Parameters
    ----------
    one, other : (B, d)
        Views of the same spots. A feature that does not vary correlates with none, and costs 1 on the diagonal.
    """
    a, b = (_standardised(t.float()) for t in (one, other))
    correlation = a.T @ b / len(a)  # (d, d)
    own = torch.diagonal(correlation)
    others = correlation.square().sum() - own.square().sum()
    size = len(own)
    return ((own - 1).square().mean() + others / max(size * (size - 1), 1)) / 2


def _standardised(view: Tensor) -> Tensor:
    centred = view - view.mean(0)
    return centred / centred.square().mean(0).add(1e-6).sqrt()


class MGCN(Objective):
    """weight x decorrelation(t, keep t + (1 - keep) t'), t' the token of another spot of the step."""

    def __init__(self, options: ObjectiveOptions, arch: Architecture, n_genes: int) -> None:
        super().__init__(options, arch, n_genes)
        assert isinstance(options, MGCNOptions)
        self.options = options

    def forward(self, step: Step) -> Tensor:
        """See `Objective.forward`."""
        token = step.tokens.target
        if len(token) < 2:
            return step.prediction.new_zeros(())
        keep = self.options.keep
        mixed = keep * token + (1 - keep) * token.roll(1, 0)  # a step's spots stand in random order
        return self.options.weight * decorrelation(token, mixed)
