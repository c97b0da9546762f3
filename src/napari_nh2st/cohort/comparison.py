"""A comparison on workers: a task for each split, model and seed, and what is finished is kept beside the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_nh2st.cohort.at_work import DONE, FAILED
from napari_nh2st.cohort.cluster import workers_of
from napari_nh2st.cohort.crew import Endings
from napari_nh2st.cohort.fit_tasks import SplitJob, fit_models, make_encoder, score_model
from napari_nh2st.cohort.fits_kept import digest, facts_of, folder_beside, kept_fit, kept_scores
from napari_nh2st.cohort.together import watched
from napari_nh2st.cohort.work_list import WorkItem, WorkList
from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation.baselines.baseline import Baseline
from napari_nh2st.evaluation.pairs import differences
from napari_nh2st.evaluation.plan import Plan, SplitOutcome, drawn_model
from napari_nh2st.evaluation.splits import Split
from napari_nh2st.model.encoder_file import SUFFIX as ENCODER
from napari_nh2st.model.predictors import find_predictor
from napari_nh2st.provenance import repeat_command


@dataclass(frozen=True, eq=False)
class ModelWork:
    """A model of a split: its fits, one a seed, and its scores."""

    name: str
    seeds: tuple[int, ...]
    fits: list[WorkItem]
    score: WorkItem
    file: Path


class ComparisonRun:
    """Fits and scores the models of a plan on workers.

    Parameters
    ----------
    report : Path
        The report's file: what is finished is kept beside it, and used again for the same inputs.
    workers, scheduler
        As in `workers_of`.
    cancelled : callable

    Attributes
    ----------
    failed : int
        Fits and scores that failed, also those of a split that has nothing to report.
    """

    def __init__(self, report: Path, workers: int | None, scheduler: str | None, cancelled: Callable[[], bool]) -> None:
        self.folder, self.cancelled = folder_beside(report), cancelled
        self._workers, self._scheduler = workers, scheduler
        self.failed = 0

    def __call__(self, plan: Plan) -> list[SplitOutcome]:
        """Fit and score; one outcome a split. See `compare`.

        Raises
        ------
        Nh2stError
            If there is no scheduler any more, or it was stopped: what was fitted is kept.
        """
        splits = [self._work_of(plan, split) for split in plan.splits]
        items = [item for encoders, models in splits for item in (*encoders, *_items(models))]
        self._run(items, plan.config.device)
        outcomes = [_outcome(models) for _, models in splits]
        self.failed = sum(len(outcome.failed) for outcome in outcomes)
        return outcomes

    def _run(self, items: list[WorkItem], device: str) -> None:
        if all(item.ended for item in items):
            return
        kept = f"what was fitted is kept in {self.folder}"
        endings = Endings(
            f"stopped; {kept}, and the same command goes on",
            f"the scheduler is gone; {kept}: start it again, and the same command goes on",
        )
        with workers_of(self._workers, self._scheduler, device) as client, watched(client, self.cancelled) as watch:
            WorkList(client, items, "tasks", device, watch, endings).run()

    def _work_of(self, plan: Plan, split: Split) -> tuple[list[WorkItem], list[ModelWork]]:
        """List what is to be done for a split: encoders, and its models."""
        facts = facts_of(split, plan.config, plan.quick)
        job = SplitJob(digest(facts), split, plan.config, plan.quick, repeat_command())
        encoders: dict[int, WorkItem] = {}
        fits: dict[str, list[WorkItem]] = {}
        for together in _fitted_together(plan):
            items = self._fits(plan, job, together, encoders)
            fits |= {baseline.name: items for baseline in together}
        models = [self._model(plan, job, baseline, fits[baseline.name]) for baseline in plan.baselines]
        for seed, item in encoders.items():
            wanted = any(fit.after == [item] and not fit.ended for model in models for fit in model.fits)
            if not wanted or self._encoder(job, seed).exists():
                item.state = DONE
        return [*encoders.values()], models

    def _encoder(self, job: SplitJob, seed: int) -> Path:
        return self.folder / f"{digest(job.key, 'encoder', seed)}{ENCODER}"

    def _files(self, plan: Plan, job: SplitJob, baseline: Baseline) -> tuple[list[Path], Path]:
        """Return where a model's fits are kept, one a seed, and its scores."""
        seeds, other, name = plan.seeds_of(baseline), find_predictor(baseline.name), baseline.name
        identity = "" if other is None else other.hash
        fits = [self.folder / f"{digest(job.key, name, identity, seed)}.npz" for seed in seeds]
        return fits, self.folder / f"{digest(job.key, name, identity, 'scores', *seeds)}.json"

    def _fits(
        self, plan: Plan, job: SplitJob, together: list[Baseline], encoders: dict[int, WorkItem]
    ) -> list[WorkItem]:
        """List the fits of models that one fit gives, one a seed; each makes what is not kept yet."""
        items = []
        for i, seed in enumerate(plan.seeds_of(together[0])):
            wanted: dict[str, str] = {}
            for baseline in together:
                files, scores = self._files(plan, job, baseline)
                if kept_scores(scores) is None and kept_fit(files[i]) is None:
                    wanted[baseline.name] = str(files[i])
            encoder = ""
            if plan.pretrains(together[0]):
                encoder = str(self._encoder(job, seed))
                named = f"{job.split}: encoder, seed {seed}"
                encoders.setdefault(seed, WorkItem(named, make_encoder, (job, seed, encoder)))
            item = WorkItem(
                plan.fit_name(job.split, together[0], seed), fit_models,
                (job, tuple(wanted), seed, tuple(wanted.values()), encoder),
                after=[encoders[seed]] if encoder else [],
            )  # fmt: skip
            if not wanted:
                item.state = DONE
            items.append(item)
        return items

    def _model(self, plan: Plan, job: SplitJob, baseline: Baseline, fits: list[WorkItem]) -> ModelWork:
        (files, scores), seeds, name = self._files(plan, job, baseline), plan.seeds_of(baseline), baseline.name
        arguments = (job, name, seeds, tuple(str(file) for file in files), str(scores))
        score = WorkItem(f"{job.split}: {name}, scores", score_model, arguments, needs=fits)
        if kept_scores(scores) is not None:
            score.state = DONE
        return ModelWork(name, seeds, fits, score, scores)


def _fitted_together(plan: Plan) -> list[list[Baseline]]:
    """Group the models of a plan that one fit gives."""
    groups: dict[str, list[Baseline]] = {}
    for baseline in plan.baselines:
        first = groups.get(baseline.fitted_with)
        if first is not None and plan.seeds_of(first[0]) == plan.seeds_of(baseline):
            first.append(baseline)
        else:
            groups[baseline.name] = [baseline]
    return [*groups.values()]


def _items(models: list[ModelWork]) -> list[WorkItem]:
    fits = {id(fit): fit for model in models for fit in model.fits}  # models that one fit gives have the same
    return [*fits.values(), *(model.score for model in models)]


def _outcome(models: list[ModelWork]) -> SplitOutcome:
    """Collect the scores of a split, and what failed."""
    failed: list[dict[str, Any]] = []
    scores: dict[str, dict[str, Any]] = {}
    for model in models:
        for seed, item in [*zip(model.seeds, model.fits, strict=True), (None, model.score)]:
            if item.state == FAILED:
                failed.append({"model": model.name, "seed": seed, "error": item.answer["error"]})
        if model.score.state == DONE:
            kept = kept_scores(model.file)
            if kept is None:
                raise Nh2stError(f"{model.file} cannot be read any more: give the command again")
            scores[model.name] = kept
    if not scores:
        return SplitOutcome({}, {}, 0, 0.0, failed)
    drawn = scores[drawn_model([*scores])]
    figures = {name: {**kept["figures"], "seconds": round(kept["seconds"], 1)} for name, kept in scores.items()}
    draws = {n: {f: np.asarray(values) for f, values in kept["draws"].items()} for n, kept in scores.items()}
    seconds, pairs = sum(kept["seconds"] for kept in scores.values()), differences(figures, draws)
    return SplitOutcome(figures, drawn["maps"], drawn["spots"], seconds, failed, pairs)
