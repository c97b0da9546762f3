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
from napari_nh2st.cohort.fit_tasks import SplitJob, fit_model, make_encoder, score_model
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
        models = [self._model(plan, job, baseline, encoders) for baseline in plan.baselines]
        for seed, item in encoders.items():
            wanted = any(fit.after == [item] and not fit.ended for model in models for fit in model.fits)
            if not wanted or self._encoder(job, seed).exists():
                item.state = DONE
        return [*encoders.values()], models

    def _encoder(self, job: SplitJob, seed: int) -> Path:
        return self.folder / f"{digest(job.key, 'encoder', seed)}{ENCODER}"

    def _model(self, plan: Plan, job: SplitJob, baseline: Baseline, encoders: dict[int, WorkItem]) -> ModelWork:
        seeds, other, name = plan.seeds_of(baseline), find_predictor(baseline.name), baseline.name
        identity = "" if other is None else other.hash
        files = [self.folder / f"{digest(job.key, name, identity, seed)}.npz" for seed in seeds]
        scores = self.folder / f"{digest(job.key, name, identity, 'scores', *seeds)}.json"
        scored = kept_scores(scores) is not None
        fits = []
        for seed, file in zip(seeds, files, strict=True):
            encoder = ""
            if plan.pretrains(baseline):
                made = str(self._encoder(job, seed))
                named = f"{job.split}: encoder, seed {seed}"
                encoders.setdefault(seed, WorkItem(named, make_encoder, (job, seed, made)))
                encoder = made
            item = WorkItem(
                plan.fit_name(job.split, baseline, seed), fit_model, (job, name, seed, str(file), encoder),
                after=[encoders[seed]] if encoder else [],
            )  # fmt: skip
            if scored or kept_fit(file) is not None:
                item.state = DONE
            fits.append(item)
        arguments = (job, name, seeds, tuple(str(file) for file in files), str(scores))
        score = WorkItem(f"{job.split}: {name}, scores", score_model, arguments, needs=fits)
        if scored:
            score.state = DONE
        return ModelWork(name, seeds, fits, score, scores)


def _items(models: list[ModelWork]) -> list[WorkItem]:
    return [item for model in models for item in (*model.fits, model.score)]


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
