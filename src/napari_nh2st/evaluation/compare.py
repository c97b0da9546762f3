"""The protocol: every baseline and NH2ST, fitted to the same training sections, scored on the same test sections.

No choice or fit sees a test section: the panel, means, scalers, ridge strengths and stopping come from the training
sections, and models get a test section without its labels.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_nh2st import metrics
from napari_nh2st.engine.device import SCORING
from napari_nh2st.engine.section_descriptor import describe_section
from napari_nh2st.errors import Cancelled, Nh2stError, SampleError
from napari_nh2st.evaluation.baselines import BASELINES
from napari_nh2st.evaluation.baselines.baseline import Baseline, Fitting, blind, places
from napari_nh2st.evaluation.baselines.predictor import competitor
from napari_nh2st.evaluation.scores import Truth, score
from napari_nh2st.evaluation.splits import Split, parse_protocol
from napari_nh2st.expression import Sample, labels, read_expression, samples_of
from napari_nh2st.expression.patients import patient_key, patient_keys, written_twice
from napari_nh2st.model.card import Card
from napari_nh2st.model.predictors import find_predictor
from napari_nh2st.provenance import repeat_command, versions
from napari_nh2st.slides import open_slide
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.sections.examine import examine
from napari_nh2st.training.sections.findings import SectionFindings
from napari_nh2st.training.sections.held_apart import NamedSection, refuse_shared
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import Section, load_section

Budget = Literal["quick", "full"]

SEEDS: dict[Budget, tuple[int, ...]] = {"quick": (0,), "full": (0, 1, 2)}
# The quick budget trains the main model on as many seeds as the full one; both train the models that cost most and
# claim least only once.
ALL_SEEDS = ("nh2st-context",)
ONE_SEED = ("encoder-ridge", "retrieval", "nh2st-paper")

ALARM = "coordinates-knn"
MAIN = "nh2st-context"

Array = npt.NDArray[np.float32]

if TYPE_CHECKING:
    import pandas as pd


@dataclass(eq=False)
class _Sections:
    """Sections, read once for each geometry, whatever the panel."""

    data: dict[str, Any] = field(default_factory=dict)
    read: dict[tuple[str, float, int], Section] = field(default_factory=dict)
    findings: dict[str, SectionFindings] = field(default_factory=dict)
    named: dict[str, NamedSection] = field(default_factory=dict)

    def expression(self, sample: Sample) -> Any:
        if sample.sample not in self.data:
            self.data[sample.sample] = read_expression(sample)
        return self.data[sample.sample]

    def examine(self, sample: Sample) -> SectionFindings:
        """Compare a section's spots with its slide, and describe it.

        Raises
        ------
        SampleError, MppNeeded
            If the section is refused.
        """
        if sample.sample not in self.findings:
            data = self.expression(sample)
            with open_slide(sample.slide, mpp=sample.mpp) as slide:
                findings = examine(sample, data, slide)
                findings.admit(sample.sample, data)
                self.named[sample.sample] = NamedSection.of_sample(sample, describe_section(slide, data))
            self.findings[sample.sample] = findings
        return self.findings[sample.sample]

    def get(self, sample: Sample, card: Card, genes: list[str]) -> Section:
        """Read a section in the card's geometry, with the labels of these genes."""
        key = (sample.sample, card.mpp, card.pitch)
        data = self.expression(sample)
        if key not in self.read:
            self.read[key] = load_section(sample, data, card.model_copy(update={"genes": genes}))
        section = self.read[key]
        joined = data[section.ids]
        assert list(joined.obs_names) == list(section.ids), "spots and labels are joined by id"
        return replace(section, labels=labels(joined, genes))


def compare(
    sheet: str | Path | pd.DataFrame | Sequence[Sample],
    protocol: str,
    *,
    budget: Budget = "full",
    config: TrainingConfig | None = None,
    models: Iterable[str] | None = None,
    seeds: Sequence[int] | None = None,
    progress: Callable[[str], Any] = lambda text: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Fit and score everything on each split of a protocol.

    Parameters
    ----------
    sheet : path, DataFrame or list of Sample
    protocol : str
        See `parse_protocol`.
    budget : "quick" or "full"
        It sets the seeds, and how long the frozen encoder is pretrained.
    config : TrainingConfig, optional
        Of the NH2ST models; the defaults otherwise.
    models : iterable of str, optional
        Names of `BASELINES`; results keep its order. The mean profile and the coordinates are always included. Names of
        other people's models (docs/predictors.md) too: they are scored as they are.
    seeds : sequence of int, optional
        They replace the budget's.
    progress : callable
        Called with a sentence before each fit.
    cancelled : callable
        Asked between steps.

    Returns
    -------
    dict
        The report: protocol, budget, panel, splits, warnings, provenance (docs/results.md explains it).

    Raises
    ------
    SampleError, MppNeeded
        Before any fit, if possible.
    Cancelled
    """
    samples = samples_of(sheet)
    splits = parse_protocol(protocol, samples)
    chosen = _chosen(models, samples)
    config = TrainingConfig() if config is None else config
    if config.precision == "auto":  # the same models whatever the machine is fastest with
        config = config.model_copy(update={"precision": SCORING})
    store, warnings = _Sections(), written_twice(s.patient for s in samples)
    for split in splits:
        warnings += _check(split, store)
    done = []
    for split in splits:
        done.append(_run_split(split, store, chosen, budget, config, seeds, progress, cancelled, warnings))
    return {
        "protocol": protocol,
        "budget": budget,
        "panel": config.panel if config.genes is None else len(config.genes),
        "splits": done,
        "warnings": list(dict.fromkeys(warnings)),
        "provenance": {"command": repeat_command(), "versions": versions(), "settings": _plain(config)},
    }


def _plain(config: TrainingConfig) -> dict[str, Any]:
    return {k: v for k, v in config.model_dump(mode="json").items() if v is not None and k != "description"}


def _chosen(models: Iterable[str] | None, samples: Sequence[Sample]) -> list[Baseline]:
    if models is None:
        return list(BASELINES.values())
    names = set(models)
    others = {name: find_predictor(name) for name in sorted(names - set(BASELINES))}
    unknown = [name for name, found in others.items() if found is None]
    if unknown:
        raise Nh2stError(f"no model {', '.join(unknown)} to compare: choose from {', '.join(BASELINES)}")
    ours = [b for name, b in BASELINES.items() if name in names | {"mean-profile", ALARM}]
    return [*ours, *(competitor(found, samples) for found in others.values() if found is not None)]


def _check(split: Split, store: _Sections) -> list[str]:
    """Read every section of a split and compare it with its slide, so that errors come before hours are spent."""
    warnings = [
        f"{sample.sample}: {doubt}" for sample in (*split.train, *split.test) for doubt in store.examine(sample).doubts
    ]
    refuse_shared(*([store.named[sample.sample] for sample in side] for side in (split.train, split.test)))
    trained = patient_keys(s.patient for s in split.train)
    shared = {s.patient for s in split.test if patient_key(s.patient) in trained}
    new = sorted({s.patient for s in split.test} - shared)
    if shared and new:
        warnings.append(
            f"{split}: patients {', '.join(sorted(shared))} are on both sides and {', '.join(new)} are not: the split "
            "counts as same-patient; score them apart"
        )
    return warnings


def _run_split(
    split: Split,
    store: _Sections,
    chosen: list[Baseline],
    budget: Budget,
    config: TrainingConfig,
    seeds: Sequence[int] | None,
    progress: Callable[[str], Any],
    cancelled: Callable[[], bool],
    warnings: list[str],
) -> dict[str, Any]:
    started = time.monotonic()
    card = card_for(split.train, [store.expression(s) for s in split.train], config)
    train = [store.get(s, card, card.genes) for s in split.train]
    fitted = np.concatenate([s.labels for s in train])
    card = card.model_copy(
        update={"gene_means": fitted.mean(axis=0).tolist(), "gene_stds": fitted.std(axis=0).tolist()}
    )
    measured = [g for g in card.genes if all(g in store.expression(s).var_names for s in split.test)]
    if not measured:
        raise SampleError(f"{split}: none of the panel's genes were measured in the test sections")
    if len(measured) < len(card.genes):
        warnings.append(f"{split}: {len(card.genes) - len(measured)} genes of the panel are not measured there")
    rows = [card.genes.index(g) for g in measured]
    profile, spread = fitted.mean(axis=0)[rows], fitted.std(axis=0)[rows]
    test = [store.get(s, card, measured) for s in split.test]
    truths = [Truth.of(s.name, s.labels, places(s, card), profile) for s in test]
    # Predictors get a section without labels, as wide as the panel.
    hidden = [blind(replace(s, labels=np.zeros((len(s.labels), len(card.genes)), np.float32))) for s in test]
    models: dict[str, Any] = {}
    fittings: dict[int, Fitting] = {}  # one a seed: two baselines share its frozen encoder
    drawn: list[Array] | None = None
    for baseline in chosen:
        its_seeds = _seeds(baseline, budget, seeds)
        begun, runs = time.monotonic(), []
        for seed in its_seeds:
            if cancelled():
                raise Cancelled
            progress(f"{split}: {baseline.name}" + (f", seed {seed}" if baseline.seeded else ""))
            if seed not in fittings:
                fittings[seed] = Fitting(train, card, config, seed, budget == "quick", cancelled)
            predict = baseline.fit(fittings[seed])
            runs.append([_finite(predict(s)[:, rows], baseline) for s in hidden])
        named = its_seeds if baseline.seeded else ()
        figures = score(truths, runs, measured, spread, seeds=named)
        models[baseline.name] = {"about": baseline.about, **figures, "seconds": round(time.monotonic() - begun, 1)}
        progress(f"{split}: {baseline.name}: PCC {figures['pcc_mean']:.3f}, {models[baseline.name]['seconds']:.0f} s")
        if baseline.name == MAIN or drawn is None:
            drawn = runs[0]
    main = MAIN if MAIN in models else chosen[0].name
    assert drawn is not None
    return {
        "train": [s.sample for s in split.train],
        "test": [s.sample for s in split.test],
        "kind": split.kind,
        "n_spots": sum(len(t.labels) for t in truths),
        "left_out": _left_out(split, store),
        "doubts": [f"{s.sample}: {doubt}" for s in split.test for doubt in store.examine(s).doubts],
        "seconds": round(time.monotonic() - started, 1),
        "models": models,
        "leak_alarm": _leak_alarm(models),
        "maps": _maps(main, models[main], test[0], card, measured, drawn[0]),
    }


def _left_out(split: Split, store: _Sections) -> dict[str, int]:
    """Count the measured spots of the test sections that are not scored."""
    total: Counter[str] = Counter()
    for sample in split.test:
        total.update(store.examine(sample).left_out)
    return dict(total)


def _seeds(baseline: Baseline, budget: Budget, seeds: Sequence[int] | None) -> tuple[int, ...]:
    if not baseline.seeded:
        return (0,) if seeds is None else tuple(seeds[:1])
    if seeds is not None:
        return tuple(seeds)
    if baseline.name in ONE_SEED:
        return SEEDS["quick"]
    return SEEDS["full" if baseline.name in ALL_SEEDS else budget]


def _finite(predicted: Array, baseline: Baseline) -> Array:
    if not np.isfinite(predicted).all():
        raise Nh2stError(
            f"{baseline.name} predicted values that are not numbers: this is a fault of ours, please report it"
        )
    return predicted


def _leak_alarm(models: dict[str, Any]) -> dict[str, Any]:
    """Describe how much of a split can be predicted without any image."""
    scores = models[ALARM]
    alone, (low, high) = scores["pcc_mean"], scores["ci"]["pcc_mean"]
    best = max((m["pcc_mean"] for name, m in models.items() if name not in (ALARM, "mean-profile")), default=0.0)
    raised = low > 0
    if not raised:
        says = f"Coordinates alone, without any image, predict nothing here ({scores['pcc_mean']:.3f})."
    else:
        part = alone / max(best, 1e-9)
        says = (
            f"LEAK ALARM: coordinates alone, without any image, reach {alone:.3f} ({low:.3f} to {high:.3f}), {part:.0%}"
            f" of the best model's {best:.3f}: here, the place of a spot already predicts part of its expression. For "
            "that part, this split does not show that an image was needed."
        )
    return {"raised": raised, "pcc": scores["pcc_mean"], "interval": [low, high], "says": says}


def _maps(
    name: str, figures: dict[str, Any], section: Section, card: Card, genes: list[str], predicted: Array
) -> dict[str, Any]:
    """Return the best, the median and the worst gene of a section, as measured and as the first run predicted them."""
    per_gene = metrics.pcc(section.labels, predicted).per_gene
    order = np.argsort(-per_gene, kind="stable")
    ranks = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    return {
        "model": name,
        "section": section.name,
        "seed": figures["seeds"][0]["seed"] if figures["seeds"] else None,
        "spots": np.round(places(section, card), 1).tolist(),
        "spacing": round(float(card.pitch * card.mpp), 1),
        "unit": card.unit,
        "genes": [
            {
                "rank": rank,
                "gene": genes[i],
                "pcc": round(float(per_gene[i]), 5),
                "measured": np.round(section.labels[:, i].astype(float), 3).tolist(),
                "predicted": np.round(predicted[:, i].astype(float), 3).tolist(),
            }
            for rank, i in ranks.items()
        ],
    }
