"""Intervals of a prediction: half-widths from spots that a model has not learnt from. NumPy only.

Split conformal prediction (Papadopoulos et al., ECML 2002; Lei et al., J. Am. Stat. Assoc. 2018), normalised: the
score of a held-out spot is ``|measured - predicted| / difficulty``. A gene's half-width at a place is a quantile of
its scores times the difficulty there. That is the same for all genes, ``exp(slope * (activity - centre))``. The
activity of a place is the mean over the panel of its predicted genes, each less its training mean and in units of its
training spread. Where a model expects little of everything, counts are few, and errors of logarithms large
(docs/results.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from napari_nh2st.model.card import Card
    from napari_nh2st.model.decoder import Decoder

LEVELS = (0.8, 0.9, 0.95)
LEVEL = 0.9
"""The level that is shown and written unless another is asked for."""

FEWEST = 30  # held-out spots below which nothing can be claimed
NO_INTERVALS = "no intervals: this model has no held-out residuals"
SOME_GENES = "no intervals: they follow from all genes of the model, and this file keeps only some. Save it as .nh2st"
HELD_OUT = {
    "patients": "patients that the model had not seen",
    "sections": "sections that the model had not seen, of patients that it had",
    "blocks": "blocks of its training sections that the model had not seen",
}

_LEAST_SPREAD = 1e-3  # in label units, as in training
_LEAST_SCORE = 0.05  # of a gene's spread: the logarithm of a spot that was met by chance says nothing
SHARE = 0.75  # of the slope that fits best: of a new patient, errors depend less on it (docs/results.md)
_ENDS = 2.0  # percent of held-out spots beyond either end of the activities that a difficulty is given for

F32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.floating[Any]]
Width = Annotated[float, Field(ge=0)]


class Intervals(BaseModel):
    """Distances of measured values of held-out spots from their predictions.

    `widths` and `spreads` have a row for each level and a column for each gene of the card.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    held_out: Literal["patients", "sections", "blocks"] = Field(description="what each model had not learnt from")
    spots: int = Field(ge=1, description="held-out spots")
    depth: float | None = Field(default=None, gt=0, description="counts in the median spot of those sections")
    panel: int = Field(ge=1, description="genes whose mean is the activity of a place")
    slope: float = Field(description="of the logarithm of the difficulty over the activity")
    centre: float = Field(description="activity at which the difficulty is 1")
    low: float = Field(description="lowest activity that is told apart")
    high: float
    levels: list[Annotated[float, Field(gt=0, lt=1)]] = Field(min_length=1)
    widths: list[list[Width]] = Field(description="half-widths at difficulty 1, label units")
    spreads: list[list[Width]] = Field(
        description="half-widths round the training mean that hold as many training spots, label units"
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Intervals:
        rows = [*self.widths, *self.spreads]
        if len(self.widths) != len(self.levels) or len(self.spreads) != len(self.levels):
            raise ValueError("intervals need a row of widths and of spreads for each level")
        if len({len(row) for row in rows}) != 1 or self.low > self.high:
            raise ValueError("the tables of the intervals do not fit together")
        return self

    def only(self, rows: Sequence[int]) -> Intervals:
        """Return those of a part of the panel, in this order."""
        widths, spreads = ([[row[i] for i in rows] for row in table] for table in (self.widths, self.spreads))
        return self.model_copy(update={"widths": widths, "spreads": spreads})

    def difficulty(self, activity: Floats) -> F32:
        """Return how many times wider intervals are at places of these activities (n,)."""
        out: F32 = np.exp(self.slope * (np.clip(activity, self.low, self.high) - self.centre)).astype(np.float32)
        return out

    def half_widths(self, rows: Sequence[int], activity: Floats, level: float = LEVEL) -> F32:
        """Return half-widths (n, len(rows)) in label units of some genes at places of these activities (n,).

        Raises
        ------
        ValueError
            If nothing is known for this level.
        """
        widths = np.asarray(self.widths[self._row(level)], dtype=np.float32)[np.asarray(rows, dtype=np.int64)]
        out: F32 = self.difficulty(activity)[:, None] * widths
        return out

    def spread(self, rows: Sequence[int], level: float = LEVEL) -> F32:
        """Return the spread of some genes: the half-width round the mean that as many training spots lie in."""
        return np.asarray(self.spreads[self._row(level)], dtype=np.float32)[np.asarray(rows, dtype=np.int64)]

    def _row(self, level: float) -> int:
        found = [i for i, known in enumerate(self.levels) if abs(known - level) < 1e-6]
        if not found:
            known = ", ".join(f"{each:g}" for each in self.levels)
            raise ValueError(f"intervals are known at {known}, not {level:g}")
        return found[0]


def activity_of(hidden: Floats, decoder: Decoder, card: Card) -> F32:
    """Return the activity (n,) of places from their hidden vectors (n, h); NaN where they are NaN."""
    mean, spread = _scale(card)
    weight, bias = decoder.combined(1 / (spread * len(spread)))
    out: F32 = hidden.astype(np.float32) @ weight + np.float32(bias - (mean / spread).mean())
    return out


def activity_of_genes(predicted: Floats, card: Card) -> npt.NDArray[np.float64]:
    """Return the activity (n,) of places from predictions (n, G) of all genes of a card, in label units."""
    mean, spread = _scale(card)
    out: npt.NDArray[np.float64] = ((predicted - mean) / spread).mean(axis=1)
    return out


def _scale(card: Card) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and spread (G,) of the training labels, of a card that has intervals."""
    mean, spread = (np.asarray(of, dtype=np.float64) for of in (card.gene_means, card.gene_stds))
    return mean, np.maximum(spread, _LEAST_SPREAD)


def fit_intervals(
    card: Card,
    measured: Sequence[Floats],
    predicted: Sequence[Floats],
    held_out: Literal["patients", "sections", "blocks"],
    *,
    depth: float | None = None,
    share: float = SHARE,
) -> Intervals | None:
    """Calibrate intervals on held-out spots.

    Parameters
    ----------
    card : Card
        With the statistics of the training labels.
    measured, predicted : sequence of (k, G) arrays
        Of each section's held-out spots, in label units.
    held_out : {"patients", "sections", "blocks"}
    depth : float, optional
        Counts in the median spot of the sections.
    share : float
        Of the slope that fits best; 0 gives each gene the same width everywhere.

    Returns
    -------
    Intervals or None
        None if there are fewer than `FEWEST` spots, or the card lacks the statistics.
    """
    spots = sum(map(len, measured))
    if spots < FEWEST or card.gene_means is None or card.gene_stds is None:
        return None
    mean, spread = _scale(card)
    truth = np.concatenate(measured).astype(np.float64)
    answer = np.concatenate(predicted).astype(np.float64)
    error = np.abs(truth - answer)
    activity = activity_of_genes(answer, card)
    low, high = np.percentile(activity, (_ENDS, 100 - _ENDS))
    steps = np.clip(activity, low, high)
    centre, slope = float(steps.mean()), 0.0
    if (variance := float(steps.var())) > 0:
        size = np.log(np.maximum(error / spread, _LEAST_SCORE)).mean(axis=1)
        slope = share * float(((steps - centre) * (size - size.mean())).mean() / variance)
    scores = np.sort(error / np.exp(slope * (steps - centre))[:, None], axis=0)
    distances = np.sort(np.abs(truth - mean), axis=0)
    return Intervals(
        held_out=held_out,
        spots=spots,
        depth=depth,
        panel=len(card.genes),
        slope=round(slope, 4),
        centre=round(centre, 4),
        low=round(float(low), 4),
        high=round(float(high), 4),
        levels=list(LEVELS),
        widths=[_rounded(scores[_rank(spots, level)]) for level in LEVELS],
        spreads=[_rounded(distances[_rank(spots, level)]) for level in LEVELS],
    )


def _rank(spots: int, level: float) -> int:
    """Index of the score that a new one of the same kind exceeds with probability 1 - level at most."""
    return min(spots, int(np.ceil((spots + 1) * level))) - 1


def _rounded(values: Floats) -> list[float]:
    return [round(float(v), 4) for v in values]


def intervals_words(card: Card) -> str:
    """Say where a model's intervals come from, or that it has none."""
    if card.intervals is None:
        return f"{NO_INTERVALS}."
    fewer = " The model then learnt from these spots, too." if card.recipe.get("refit") else ""
    return f"Measured on {card.intervals.spots:,} spots in {HELD_OUT[card.intervals.held_out]}.{fewer}"
