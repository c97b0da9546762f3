"""A split that is ready for its models: what they are fitted to, what they predict blindly, and what scores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_nh2st import metrics
from napari_nh2st.errors import Nh2stError, SampleError
from napari_nh2st.evaluation.baselines.baseline import Array, Baseline, Fitting, blind, places
from napari_nh2st.evaluation.coverage import coverage
from napari_nh2st.evaluation.measured_sections import MeasuredSections
from napari_nh2st.evaluation.scores import FloatArray, Truth, placed, score_with_draws
from napari_nh2st.evaluation.splits import Split
from napari_nh2st.expression import Sample, spot_counts
from napari_nh2st.model.card import Card
from napari_nh2st.model.intervals import Intervals, activity_of_genes
from napari_nh2st.targets import SpotCounts
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import Section


def panel_of(split: Split, sections: MeasuredSections, config: TrainingConfig) -> Card:
    """Choose the panel on the training sections.

    Raises
    ------
    SampleError
        If a test section measured none of it.
    """
    card = card_for(split.train, [sections.expression(s) for s in split.train], config)
    for sample in split.test:
        if len(lacking(card, sections.expression(sample))) == len(card.genes):
            raise SampleError(f"{split}: none of the panel's genes were measured in {sample.sample}")
    return card


def lacking(card: Card, data: Any) -> list[str]:
    """Return the genes of a panel that a section's counts (AnnData) do not have."""
    return [gene for gene in card.genes if gene not in data.var_names]


@dataclass(frozen=True, eq=False)
class BlindRun:
    """The answers of a model that was fitted with one seed.

    Attributes
    ----------
    predicted : list of (n, genes) float32
        For each test section.
    intervals : Intervals or None
    """

    predicted: list[Array]
    intervals: Intervals | None = None


@dataclass(frozen=True, eq=False)
class ReadySplit:
    """A split whose sections are in memory.

    Attributes
    ----------
    card : Card
        Geometry and panel, with the statistics of the training labels.
    train : list of Section
    test : list of Section
        With labels as wide as the panel; NaN for genes that the section's table lacks.
    spread : (genes,) float32
        Standard deviation of the training labels.
    truths : list of Truth
    """

    card: Card
    train: list[Section]
    test: list[Section]
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
        card = panel_of(split, sections, config)
        train = [sections.get(s, card, card.genes) for s in split.train]
        fitted = np.concatenate([s.labels for s in train])
        mean, std = fitted.mean(axis=0), fitted.std(axis=0)
        card = card.model_copy(update={"gene_means": mean.tolist(), "gene_stds": std.tolist()})
        test = [_whole_panel(s, sections, card) for s in split.test]
        truths = [Truth.of(s.name, s.labels, places(s, card), mean, counted) for s, counted in test]
        return cls(card, train, [section for section, _ in test], std, truths)

    @property
    def spots(self) -> int:
        """How many spots are scored."""
        return sum(len(t.labels) for t in self.truths)

    def run(self, baseline: Baseline, fitting: Fitting) -> BlindRun:
        """Fit a model, and predict each test section.

        Raises
        ------
        Cancelled
        Nh2stError
            If it predicts what is no number.
        """
        predict = baseline.fit(fitting)
        predicted = [_finite(predict(blind(section)), baseline) for section in self.test]
        return BlindRun(predicted, baseline.intervals(fitting))

    def figures(
        self, baseline: Baseline, runs: Sequence[BlindRun], seeds: Sequence[int]
    ) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Score the runs of a model, one a seed; also the draws by which it is compared with others."""
        named, predicted = seeds if baseline.seeded else (), [run.predicted for run in runs]
        figures, draws = score_with_draws(self.truths, predicted, self.card.genes, self.spread, seeds=named)
        held = self._coverage(runs)
        return {"about": baseline.about, **figures, **({"intervals": held} if held else {})}, draws

    def _coverage(self, runs: Sequence[BlindRun]) -> dict[str, Any] | None:
        """Compare the runs' intervals with what was measured: means over runs and, by spots, over sections."""
        found, weights = [], []
        for run in runs:
            if run.intervals is None:
                continue
            for truth, predicted in zip(self.truths, run.predicted, strict=True):
                genes = np.flatnonzero(truth.measured)
                widths = run.intervals.half_widths(genes.tolist(), activity_of_genes(predicted, self.card))
                spread = run.intervals.spread(genes.tolist())
                values, answers = truth.labels[:, genes], predicted[:, genes]
                depth = None if truth.counted is None else truth.counted.depth
                at, target = run.intervals.depth, self.card.target
                found.append(coverage(values, answers, widths, spread, depth=depth, calibrated_at=at, target=target))
                weights.append(len(predicted))
        if not found:
            return None
        known = set.intersection(*map(set, found))
        means = {k: round(float(np.average([f[k] for f in found], weights=weights)), 4) for k in found[0] if k in known}
        (held_out,) = {run.intervals.held_out for run in runs if run.intervals is not None}
        return {**means, "held_out": held_out}

    def maps(self, name: str, figures: dict[str, Any], predicted: Array) -> dict[str, Any]:
        """Return the best, the median and the worst gene of the first test section, as measured and as predicted."""
        section, measured = self.test[0], np.flatnonzero(self.truths[0].measured)
        per_gene = np.zeros(len(self.card.genes))
        per_gene[measured] = metrics.pcc(section.labels[:, measured], predicted[:, measured]).per_gene
        order = measured[np.argsort(-per_gene[measured], kind="stable")]
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
                    "gene": self.card.genes[i],
                    "pcc": round(float(per_gene[i]), 5),
                    "measured": np.round(section.labels[:, i].astype(float), 3).tolist(),
                    "predicted": np.round(predicted[:, i].astype(float), 3).tolist(),
                }
                for rank, i in ranks.items()
            ],
        }


def _whole_panel(sample: Sample, sections: MeasuredSections, card: Card) -> tuple[Section, SpotCounts]:
    """Read a test section as wide as the panel: NaN for genes that it lacks; and the counts behind its labels."""
    data = sections.expression(sample)
    there = ~np.isin(card.genes, lacking(card, data))
    genes = [gene for gene, known in zip(card.genes, there, strict=True) if known]
    section = sections.get(sample, card, genes)
    measured = spot_counts(data[section.ids], genes)
    labels = placed(section.labels, there, np.nan)
    return replace(section, labels=labels), SpotCounts(placed(measured.counts, there, 0), measured.depth)


def _finite(predicted: Array, baseline: Baseline) -> Array:
    if not np.isfinite(predicted).all():
        raise Nh2stError(
            f"{baseline.name} predicted values that are not numbers: this is a fault of ours, please report it"
        )
    return predicted
