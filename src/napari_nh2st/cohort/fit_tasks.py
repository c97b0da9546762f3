"""The tasks of a comparison that a worker runs: pretrain an encoder, fit a model with one seed, score a model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_nh2st.cohort.at_work import DONE, Answer, answer_of
from napari_nh2st.cohort.fits_kept import keep_fit, keep_scores, kept_fit
from napari_nh2st.errors import Nh2stError
from napari_nh2st.evaluation.baselines.baseline import Baseline, Fitting
from napari_nh2st.evaluation.baselines.frozen import frozen_encoder
from napari_nh2st.evaluation.measured_sections import MeasuredSections
from napari_nh2st.evaluation.plan import baselines_of
from napari_nh2st.evaluation.split_ready import ReadySplit
from napari_nh2st.evaluation.splits import Split
from napari_nh2st.model.encoder_file import load_encoder, save_encoder
from napari_nh2st.training.config import TrainingConfig

if TYPE_CHECKING:
    from napari_nh2st.model.encoder import ResNet18


@dataclass(frozen=True)
class SplitJob:
    """A split as it is sent to workers: plain values.

    Attributes
    ----------
    key : str
        Digest of everything that its fits follow from.
    split : Split
    config : TrainingConfig
    quick : bool
        Whether the budget is the smaller one.
    command : str
        What was asked for.
    """

    key: str
    split: Split
    config: TrainingConfig
    quick: bool
    command: str


_sections = MeasuredSections()
_ready: dict[str, ReadySplit] = {}


def make_encoder(job: SplitJob, seed: int, file: str) -> Answer:
    """Pretrain the encoder that several models of a split share."""

    def act(cancelled: Callable[[], bool]) -> Answer:
        ready = _ready_split(job)
        encoder = frozen_encoder(Fitting(ready.train, ready.card, job.config, seed, job.quick, cancelled))
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        save_encoder(encoder, file)
        return {"state": DONE}

    return answer_of(act, job.command)


def fit_models(job: SplitJob, models: tuple[str, ...], seed: int, files: tuple[str, ...], encoder: str) -> Answer:
    """Fit models that one fit gives, usually a single one, and keep their predictions.

    Parameters
    ----------
    job : SplitJob
    models : tuple of str
        Names of baselines, or of someone else's model.
    seed : int
    files : tuple of str
        Where the predictions of each are kept.
    encoder : str
        File of the encoder that was pretrained for it. If it is empty or not there, the model sees to it itself.
    """

    def act(cancelled: Callable[[], bool]) -> Answer:
        began, ready = time.monotonic(), _ready_split(job)
        made = _pretrained(Path(encoder)) if encoder and Path(encoder).exists() else None
        fitting = Fitting(ready.train, ready.card, job.config, seed, job.quick, cancelled, encoder=made)
        for model, file in zip(models, files, strict=True):
            keep_fit(Path(file), ready.run(_baseline(job, model), fitting), time.monotonic() - began)
            began = time.monotonic()
        return {"state": DONE}

    return answer_of(act, job.command)


def score_model(job: SplitJob, model: str, seeds: tuple[int, ...], files: tuple[str, ...], file: str) -> Answer:
    """Score the fits of a model, one file a seed, and keep the scores."""

    def act(cancelled: Callable[[], bool]) -> Answer:
        began, ready = time.monotonic(), _ready_split(job)
        fits = [kept_fit(Path(f)) for f in files]
        runs = [fit for fit in fits if fit is not None]
        if len(runs) < len(fits):
            raise Nh2stError(f"fits in {Path(file).parent} cannot be read any more: give the command again")
        blind_runs = [run for run, _ in runs]
        figures, draws = ready.figures(_baseline(job, model), blind_runs, seeds)
        maps = ready.maps(model, figures, blind_runs[0].predicted[0])
        seconds = time.monotonic() - began + sum(spent for _, spent in runs)
        kept = {"figures": figures, "draws": {figure: drawn.tolist() for figure, drawn in draws.items()}, "maps": maps}
        keep_scores(Path(file), {**kept, "spots": ready.spots, "seconds": seconds})
        return {"state": DONE}

    return answer_of(act, job.command)


def _ready_split(job: SplitJob) -> ReadySplit:
    """Return a split whose sections are in this worker's memory; only those of the last split are kept."""
    if job.key not in _ready:
        _ready.clear()
        _sections.forget_all_but((*job.split.train, *job.split.test))
        _ready[job.key] = ReadySplit.of(job.split, _sections, job.config)
    return _ready[job.key]


def _baseline(job: SplitJob, model: str) -> Baseline:
    (found,) = [b for b in baselines_of([model], (*job.split.train, *job.split.test)) if b.name == model]
    return found


def _pretrained(file: Path) -> ResNet18:
    """Read an encoder as training has left it, in the same memory format: another one would round differently."""
    encoder = load_encoder(file)
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return encoder
