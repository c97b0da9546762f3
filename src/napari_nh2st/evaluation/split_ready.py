"""A split that is ready for its models: what they are fitted to, what they predict blindly, and what scores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_nh2st import metrics
from napari_nh2st.errors import Nh2stError, SampleError
from napari_nh2st.evaluation.baselines.baseline import Array, Baseline, Fitting, blind, places
from napari_nh2st.evaluation.measured_sections import MeasuredSections
from napari_nh2st.evaluation.scores import Truth, score
from napari_nh2st.evaluation.splits import Split
from napari_nh2st.model.card import Card
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import Section


def panel_of(split: Split, sections: MeasuredSections, config: TrainingConfig) -> tuple[Card, list[str]]:
    """Choose the panel on the training sections; returns the card, and its genes that the test sections measured.

    Raises
    ------
    SampleError
        If that is none.
    """
    card = card_for(split.train, [sections.expression(s) for s in split.train], config)
    measured = [g for g in card.genes if all(g in sections.expression(s).var_names for s in split.test)]
    if not measured:
        raise SampleError(f"{split}: none of the panel's genes were measured in the test sections")
    return card, measured


@dataclass(frozen=True, eq=False)
class ReadySplit:
    """A split whose sections are in memory.

    Attributes
    ----------
    card : Card
        Geometry and panel, with the statistics of the training labels.
    train : list of Section
    test : list of Section
        With the labels of the measured genes.
    measured : list of str
        Genes of the panel that are scored.
    spread : (genes,) float32
        Standard deviation of the training labels.
    truths : list of Truth
    """

    card: Card
    train: list[Section]
    test: list[Section]
    measured: list[str]
    spread: Array
    truths: list[Truth]

    @classmethod
    def of(cls, split: Split, sections: MeasuredSections, config: TrainingConfig) -> ReadySplit:
        """Read the sections of a split.

        Raises
        ------
        SampleError
            As `panel_of`, or if a section is refused.
        """
        card, measured = panel_of(split, sections, config)
        train = [sections.get(s, card, card.genes) for s in split.train]
        fitted = np.concatenate([s.labels for s in train])
        mean, std = fitted.mean(axis=0), fitted.std(axis=0)
        card = card.model_copy(update={"gene_means": mean.tolist(), "gene_stds": std.tolist()})
        rows = [card.genes.index(g) for g in measured]
        test = [sections.get(s, card, measured) for s in split.test]
        truths = [Truth.of(s.name, s.labels, places(s, card), mean[rows]) for s in test]
        return cls(card, train, test, measured, std[rows], truths)

    @property
    def spots(self) -> int:
        """How many spots are scored."""
        return sum(len(t.labels) for t in self.truths)

    def predicted_by(self, baseline: Baseline, fitting: Fitting) -> list[Array]:
        """Fit a model, and predict the measured genes of each test section, (n, genes).

        Raises
        ------
        Cancelled
        Nh2stError
            If it predicts what is no number.
        """
        rows = [self.card.genes.index(g) for g in self.measured]
        predict = baseline.fit(fitting)
        return [_finite(predict(s)[:, rows], baseline) for s in self._hidden()]

    def _hidden(self) -> list[Section]:
        """Return the test sections as predictors get them: without labels, as wide as the panel."""
        width = len(self.card.genes)
        return [blind(replace(s, labels=np.zeros((len(s.labels), width), np.float32))) for s in self.test]

    def figures(self, baseline: Baseline, runs: Sequence[Sequence[Array]], seeds: Sequence[int]) -> dict[str, Any]:
        """Score the runs of a model, one a seed."""
        named = seeds if baseline.seeded else ()
        return {"about": baseline.about, **score(self.truths, runs, self.measured, self.spread, seeds=named)}

    def maps(self, name: str, figures: dict[str, Any], predicted: Array) -> dict[str, Any]:
        """Return the best, the median and the worst gene of the first test section, as measured and as predicted."""
        section = self.test[0]
        per_gene = metrics.pcc(section.labels, predicted).per_gene
        order = np.argsort(-per_gene, kind="stable")
        ranks = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
        return {
            "model": name,
            "section": section.name,
            "seed": figures["seeds"][0]["seed"] if figures["seeds"] else None,
            "spots": np.round(places(section, self.card), 1).tolist(),
            "spacing": round(float(self.card.pitch * self.card.mpp), 1),
            "unit": self.card.unit,
            "genes": [
                {
                    "rank": rank,
                    "gene": self.measured[i],
                    "pcc": round(float(per_gene[i]), 5),
                    "measured": np.round(section.labels[:, i].astype(float), 3).tolist(),
                    "predicted": np.round(predicted[:, i].astype(float), 3).tolist(),
                }
                for rank, i in ranks.items()
            ],
        }


def _finite(predicted: Array, baseline: Baseline) -> Array:
    if not np.isfinite(predicted).all():
        raise Nh2stError(
            f"{baseline.name} predicted values that are not numbers: this is a fault of ours, please report it"
        )
    return predicted
