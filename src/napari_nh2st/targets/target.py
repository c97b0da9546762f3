"""One row of the table of targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Facts = Mapping[str, float | Sequence[float]]
"""Numbers about the training spots, by name: one number, or one a gene, in the panel's order."""


@dataclass(frozen=True, eq=False)
class SpotCounts:
    """Raw counts of the panel's genes at some spots.

    Attributes
    ----------
    counts : (n, G) float32
    depth : (n,) float64
        Library size of each spot: the sum over ALL measured genes.
    """

    counts: Floats
    depth: npt.NDArray[np.float64]

    @classmethod
    def join(cls, parts: Sequence[SpotCounts]) -> SpotCounts:
        """Put the spots of several sections one after another."""
        return cls(np.concatenate([p.counts for p in parts]), np.concatenate([p.depth for p in parts]))


def no_facts(training: SpotCounts) -> dict[str, float | list[float]]:
    """Need nothing of the training spots."""
    return {}


@dataclass(frozen=True)
class Output:
    """A value that a model predicts beside its genes.

    Attributes
    ----------
    name : str
        On the card; no gene has it.
    unit : str
    make : callable
        From the depth of spots, (n,), to its value at them, (n,).
    """

    name: str
    unit: str
    make: Callable[[npt.NDArray[np.float64]], Floats]


def _log_depth(depth: npt.NDArray[np.float64]) -> Floats:
    return np.log(np.maximum(depth, 1.0)).astype(np.float32)


# Of targets that leave it out of their values.
LIBRARY_SIZE = Output("library size", "ln(counts in a spot)", _log_depth)


@dataclass(frozen=True)
class Target:
    """A quantity that a model learns to predict.

    Attributes
    ----------
    name : str
        In settings, and on the card as ``label_recipe``.
    title : str
        In a menu.
    unit : str
        Of a value, as colour bars and files show it.
    about : str
        One or two sentences for people: what a value is, and when to choose it.
    make : callable
        ``make(counts, facts)``: the labels (n, G) of spots, new ones too: with the facts of the training spots.
    facts : tuple of str
        Names of the facts that `make` needs; a card keeps them.
    learn : callable
        ``learn(training)``: those facts of the training spots.
    loss : str
        What the learnt part minimises, a row of `training.network.regression.LOSSES`.
    outputs : tuple of Output
        What is predicted beside the genes.
    cite : str
        Where the formula is from.
    counts : callable or None
        ``counts(values, depth)``: the counts (n, G) that labels (n, G) of spots of these depths (n,) stand for; None
        where a label does not say how much was counted.
    """

    name: str
    title: str
    unit: str
    about: str
    make: Callable[[SpotCounts, Facts], Floats]
    facts: tuple[str, ...] = ()
    learn: Callable[[SpotCounts], dict[str, float | list[float]]] = no_facts
    loss: str = "squared-error"
    outputs: tuple[Output, ...] = ()
    cite: str = ""
    counts: Callable[[Floats, npt.NDArray[np.float64]], Floats] | None = None
