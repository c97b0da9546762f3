"""The interface of an objective: what it sees of a step, and the loss that it adds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from napari_nh2st.model.heads.seen import Tokens

if TYPE_CHECKING:
    from napari_nh2st.model.card import Architecture
    from napari_nh2st.training.objectives.table import ObjectiveOptions


@dataclass(frozen=True, eq=False)
class Step:
    """A training step as an objective sees it: B targets, their nine places, G genes, standardised labels.

    Attributes
    ----------
    tokens : Tokens
        Of the head.
    hidden : (B, hidden)
        Hidden vectors of the learnt head.
    prediction : (B, G)
        Decoded from these.
    decode : callable
        The decoder of the learnt head: hidden vectors (B, hidden) -> (B, G).
    expression : (B, 9, G)
        Labels of the nine places, 0 where not known; index SELF is the target's own.
    known, present : (B, 9) bool
        Places with measured labels; places with tissue.
    sections : (B,) int64
        Which section of the run a target is of.
    """

    tokens: Tokens
    hidden: Tensor
    prediction: Tensor
    decode: Callable[[Tensor], Tensor]
    expression: Tensor
    known: Tensor
    present: Tensor
    sections: Tensor


class Objective(nn.Module, ABC):
    """A loss of its own, with modules of its own, such as an encoder of genes.

    It is there in training only: no model folder has its modules, and they start afresh where a run starts from a base
    model. A gradient step moves them with the head.

    Parameters
    ----------
    options : ObjectiveOptions
        Of its row's type.
    arch : Architecture
        Of the network; `arch.row.tokens` names the tokens that its head gives.
    n_genes : int
    """

    def __init__(self, options: ObjectiveOptions, arch: Architecture, n_genes: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, step: Step) -> Tensor:
        """Return the loss, its weight included: one number, 0 where a step is too small for it."""
