"""The protocol: every baseline and NH2ST, fitted to the same training sections, scored on the same test sections.

No choice or fit sees a test section: the panel, means, scalers, ridge strengths and stopping come from the training
sections, and models get a test section without its labels.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.evaluation.baselines.baseline import Array, Fitting
from napari_nh2st.evaluation.measured_sections import MeasuredSections
from napari_nh2st.evaluation.pairs import differences
from napari_nh2st.evaluation.plan import ALARM, Budget, Plan, SplitOutcome, drawn_model
from napari_nh2st.evaluation.scores import FloatArray
from napari_nh2st.evaluation.split_ready import ReadySplit, lacking, panel_of
from napari_nh2st.evaluation.splits import Split
from napari_nh2st.expression import Sample, samples_of
from napari_nh2st.expression.patients import patient_key, patient_keys, written_twice
from napari_nh2st.provenance import repeat_command, versions
from napari_nh2st.targets import TARGETS
from napari_nh2st.training.config import DEFAULT_TARGET, TrainingConfig
from napari_nh2st.training.sections.held_apart import refuse_shared

if TYPE_CHECKING:
    import pandas as pd

Fits = Callable[[Plan], Sequence[SplitOutcome]]
"""Fits and scores everything in a plan: one outcome a split."""


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
    fits: Fits | None = None,
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
    fits : callable, optional
        Fits and scores in another way than one after the other in this process, such as on several workers.

    Returns
    -------
    dict
        The report: protocol, budget, panel, splits, warnings, provenance (docs/results.md explains it).

    Raises
    ------
    SampleError, MppNeeded
        Before any fit.
    Nh2stError
        If nothing could be fitted.
    Cancelled
    """
    samples = samples_of(sheet)
    config = TrainingConfig() if config is None else config
    plan = Plan.of(samples, protocol, budget, config, models, seeds)
    sections, warnings = MeasuredSections(), written_twice(s.patient for s in samples)
    for split in plan.splits:
        warnings += _check(split, sections)
    for split in plan.splits:
        warnings += _not_measured(split, sections, plan.config)
    outcomes = _one_by_one(plan, sections, progress, cancelled) if fits is None else fits(plan)
    for split, outcome in zip(plan.splits, outcomes, strict=True):
        warnings += [_failure(split, failed) for failed in outcome.failed]
    scored = [(split, outcome) for split, outcome in zip(plan.splits, outcomes, strict=True) if outcome.models]
    if not scored:
        raise Nh2stError(f"nothing could be fitted. {warnings[-1]}")
    return {
        "protocol": protocol,
        "budget": budget,
        "unit": TARGETS[config.labels or DEFAULT_TARGET].unit,
        "panel": config.panel if config.genes is None else len(config.genes),
        "splits": [_reported(split, sections, outcome) for split, outcome in scored],
        "warnings": list(dict.fromkeys(warnings)),
        "provenance": {"command": repeat_command(), "versions": versions(), "settings": _plain(plan.config)},
    }


def _plain(config: TrainingConfig) -> dict[str, Any]:
    return {k: v for k, v in config.model_dump(mode="json").items() if v is not None and k != "description"}


def _check(split: Split, sections: MeasuredSections) -> list[str]:
    """Read every section of a split and compare it with its slide, so that errors come before hours are spent."""
    warnings = [
        f"{sample.sample}: {doubt}"
        for sample in (*split.train, *split.test)
        for doubt in sections.examine(sample).doubts
    ]
    refuse_shared(*([sections.named[sample.sample] for sample in side] for side in (split.train, split.test)))
    trained = patient_keys(s.patient for s in split.train)
    shared = {s.patient for s in split.test if patient_key(s.patient) in trained}
    new = sorted({s.patient for s in split.test} - shared)
    if shared and new:
        warnings.append(
            f"{split}: patients {', '.join(sorted(shared))} are on both sides and {', '.join(new)} are not: the split "
            "counts as same-patient; score them apart"
        )
    return warnings


def _not_measured(split: Split, sections: MeasuredSections, config: TrainingConfig) -> list[str]:
    card = panel_of(split, sections, config)
    absent = {sample.sample: len(lacking(card, sections.expression(sample))) for sample in split.test}
    return [
        f"{split}: {count} of {len(card.genes)} genes of the panel were not measured in {name}: they count as 0"
        for name, count in absent.items()
        if count
    ]


def _one_by_one(
    plan: Plan, sections: MeasuredSections, progress: Callable[[str], Any], cancelled: Callable[[], bool]
) -> list[SplitOutcome]:
    return [_fit_split(plan, split, sections, progress, cancelled) for split in plan.splits]


def _fit_split(
    plan: Plan,
    split: Split,
    sections: MeasuredSections,
    progress: Callable[[str], Any],
    cancelled: Callable[[], bool],
) -> SplitOutcome:
    started, ready = time.monotonic(), ReadySplit.of(split, sections, plan.config)
    models: dict[str, Any] = {}
    fittings: dict[int, Fitting] = {}  # one a seed: its baselines share their frozen encoder
    first: dict[str, Array] = {}
    draws: dict[str, dict[str, FloatArray]] = {}
    for baseline in plan.baselines:
        seeds = plan.seeds_of(baseline)
        begun, runs = time.monotonic(), []
        for seed in seeds:
            if cancelled():
                raise Cancelled
            progress(plan.fit_name(split, baseline, seed))
            if seed not in fittings:
                fittings[seed] = Fitting(ready.train, ready.card, plan.config, seed, plan.quick, cancelled)
            runs.append(ready.run(baseline, fittings[seed]))
        figures, draws[baseline.name] = ready.figures(baseline, runs, seeds)
        models[baseline.name] = {**figures, "seconds": round(time.monotonic() - begun, 1)}
        progress(f"{split}: {baseline.name}: PCC {figures['pcc_mean']:.3f}, {models[baseline.name]['seconds']:.0f} s")
        first[baseline.name] = runs[0].predicted[0]
    main = drawn_model([*models])
    maps = ready.maps(main, models[main], first[main])
    return SplitOutcome(models, maps, ready.spots, time.monotonic() - started, pairs=differences(models, draws))


def _reported(split: Split, sections: MeasuredSections, outcome: SplitOutcome) -> dict[str, Any]:
    report: dict[str, Any] = {
        "train": [s.sample for s in split.train],
        "test": [s.sample for s in split.test],
        "kind": split.kind,
        "n_spots": outcome.spots,
        "left_out": _left_out(split, sections),
        "doubts": [f"{s.sample}: {doubt}" for s in split.test for doubt in sections.examine(s).doubts],
        "seconds": round(outcome.seconds, 1),
        "models": outcome.models,
    }
    if outcome.pairs is not None:
        report["pairs"] = outcome.pairs
    if ALARM in outcome.models:
        report["leak_alarm"] = _leak_alarm(outcome.models)
    if outcome.failed:
        report["failed"] = outcome.failed
    return {**report, "maps": outcome.maps}


def _failure(split: Split, failed: dict[str, Any]) -> str:
    seed = "" if failed["seed"] is None else f", seed {failed['seed']}"
    return f"{split}: {failed['model']}{seed} failed, and is not in this report: {failed['error']}"


def _left_out(split: Split, sections: MeasuredSections) -> dict[str, int]:
    """Count the measured spots of the test sections that are not scored."""
    total: Counter[str] = Counter()
    for sample in split.test:
        total.update(sections.examine(sample).left_out)
    return dict(total)


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
