"""The tasks that a worker runs: a slide, a part of a huge one, and the end of a huge one.

A task returns plain values and raises nothing (`at_work`). A process loads the model, and prepares it for
its device, once.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from napari_nh2st.analysis.outlines import outlines_of
from napari_nh2st.atomic import finished_file
from napari_nh2st.cohort.at_work import DONE, Answer, answer_of, this_worker
from napari_nh2st.cohort.job import Job, Settings
from napari_nh2st.cohort.one_slide import (
    Filled,
    Telling,
    artefact_facts,
    fill,
    look_for_artefacts,
    settled_places,
    write_files,
)
from napari_nh2st.cohort.parts import Chunks, divide, tiles_in
from napari_nh2st.cohort.summary import gene_figures, pictures, share_unlike, tissue_mm2
from napari_nh2st.cohort.wishes import refuse_smaller_files
from napari_nh2st.engine.file_lock import FolderBusy
from napari_nh2st.engine.kept_runner import KeptRunner
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.places import warnings_for
from napari_nh2st.engine.predict import part_store_for, predict_places, store_for
from napari_nh2st.engine.store import EMPTY, PredictionStore
from napari_nh2st.errors import Cancelled, ModelError, Nh2stError, one_line
from napari_nh2st.model.models import AnyModel, load_model
from napari_nh2st.reading import read_json
from napari_nh2st.slides import Slide, open_slide

if TYPE_CHECKING:
    from napari_nh2st.engine.chunk import Progress
    from napari_nh2st.geometry import IntArray, TileSet

Made = TypeVar("Made")
TOPIC = "nh2st"
"""Under which reports of progress travel."""
PARTS, PART, LOOKED = "parts", "part", "looked"

_WAIT = 60.0  # seconds for a process that was given up, to let go of the slide
_MOMENT = 1.0  # between two reports of progress
_models: dict[str, AnyModel] = {}
_runner = KeptRunner()


def predict_slide(job: Job) -> Answer:
    """Predict a slide, or say into which parts a huge one is divided; what is complete is only looked at."""
    return _answer(job, lambda cancelled: _complete(job) or _predict(job, cancelled))


def look_at(jobs: Sequence[Job]) -> Answer:
    """Look at slides of one command that may be complete: ``found`` has the answer of each, None where it is not."""

    def act(cancelled: Callable[[], bool]) -> Answer:
        found: list[Answer | None] = []
        for job in jobs:
            if cancelled():
                raise Cancelled("stopped")
            found.append(_complete(job))
        return {"state": LOOKED, "found": found}

    return answer_of(act, jobs[0].settings.command)


def predict_part(job: Job, chunks: Chunks) -> Answer:
    """Predict a part of a slide into its folder, beside other processes."""
    return _answer(job, lambda cancelled: _predict_part(job, chunks, cancelled))


def finish_slide(job: Job, tiles: int, seconds: float) -> Answer:
    """Put the parts of a slide together, with whatever one of them has left out.

    Parameters
    ----------
    job : Job
    tiles, seconds
        What the parts have encoded, and how long they took together.
    """
    return _answer(job, lambda cancelled: _predict(job, cancelled, Earlier(tiles, seconds)))


@dataclass(frozen=True)
class Earlier:
    """The work that the parts of a slide have done: tiles encoded, and seconds together."""

    tiles: int
    seconds: float


def _answer(job: Job, act: Callable[[Callable[[], bool]], Answer]) -> Answer:
    return answer_of(act, job.settings.command, path=job.path)


def _model(job: Job) -> AnyModel:
    settings = job.settings
    if settings.model_hash not in _models:
        loaded = load_model(settings.model)
        if loaded.hash != settings.model_hash:
            raise ModelError(f"{settings.model} is another model here than where the command was given: copy it anew")
        _models.clear()
        _runner.drop()
        _models[settings.model_hash] = loaded
    return _models[settings.model_hash]


def _options(settings: Settings, cancelled: Callable[[], bool]) -> PredictionOptions:
    return PredictionOptions(
        settings.device,
        settings.precision,
        skip_artefacts=settings.skip_artefacts,
        cancelled=cancelled,
        runner_of=_runner,
    )


def _complete(job: Job) -> Answer | None:
    """Return what an earlier run of the same command has left, if all of it is there and sound."""
    try:
        record = read_json(job.record)
        row = record["row"]
        if record["asked"] != job.digest() or not all(Path(p).exists() for p in row["outputs"]):
            return None
        PredictionStore(job.folder).prediction()  # every tile against its seal
    except (Nh2stError, OSError, KeyError, TypeError, ValueError):
        return None
    return {**record, "row": {**row, "tiles_encoded": 0, "tiles_skipped": row["tiles_total"]}, "earlier": True}


def _predict(job: Job, cancelled: Callable[[], bool], parts: Earlier | None = None) -> Answer:
    started, settings = time.monotonic(), job.settings
    model, wishes = _model(job), settings.wishes
    options = _options(settings, cancelled)
    telling = Telling(_say_nothing, Reporter(job), lambda file, kept: _stopping(cancelled))
    refuse_smaller_files(job.stem, wishes)
    with warnings.catch_warnings(record=True) as caught, open_slide(job.path, mpp=job.mpp) as slide:
        warnings.simplefilter("always", RuntimeWarning)
        if parts is None and (chunks := _divided(job, slide, model, options)):
            return {"state": PARTS, "path": job.path, "parts": chunks}
        filled = _patiently(lambda: fill(slide, model, options, wishes, telling, repeatable=True), cancelled)
        try:
            answer = _summarised(job, slide, model, filled, telling)
        finally:
            filled.store.close()
    said = [one_line(w.message) for w in caught if issubclass(w.category, RuntimeWarning)]
    answer["row"]["warnings"] += [s for s in dict.fromkeys(said) if s not in answer["row"]["warnings"]]
    parts = parts or Earlier(0, 0.0)
    answer["row"]["tiles_encoded"] += parts.tiles
    answer["row"]["tiles_skipped"] -= parts.tiles
    answer["row"]["seconds"] = round(time.monotonic() - started + parts.seconds, 2)
    with finished_file(job.record) as draft:
        draft.write_text(json.dumps(answer), encoding="utf-8")
    return answer


def _divided(job: Job, slide: Slide, model: AnyModel, options: PredictionOptions) -> list[Chunks]:
    """Divide a huge slide, and make the folder that its parts share."""
    look_for_artefacts(slide, options, job.settings.wishes)
    settled, places = settled_places(slide, model, options, job.settings.wishes)
    mm2 = (places.pitch * model.card.mpp / 1000) ** 2
    if len(places) * mm2 <= job.settings.split:
        return []
    options = settled.options
    store = _patiently(
        lambda: store_for(job.settings.wishes.out, slide, model, places.pitch, options), options.cancelled
    )
    try:
        parts = divide(places, mm2, job.settings.split)  # of all tiles: they do not depend on what was stopped when
        return [part for part in parts if (store.state_at(_grid(tiles_in(places, part))) == EMPTY).any()]
    finally:
        store.close()


def _grid(places: TileSet) -> IntArray:
    assert places.grid is not None
    return places.grid


def _predict_part(job: Job, chunks: Chunks, cancelled: Callable[[], bool]) -> Answer:
    started, settings = time.monotonic(), job.settings
    model, wishes = _model(job), settings.wishes
    options = _options(settings, cancelled)
    with open_slide(job.path, mpp=job.mpp) as slide:
        settled, places = settled_places(slide, model, options, wishes)
        own = tiles_in(places, chunks)
        store = _patiently(
            lambda: part_store_for(wishes.out, slide, model, places.pitch, settled.options, chunks), cancelled
        )
        try:
            _, encoded = predict_places(
                slide, model, own, replace(settled.options, store=store, whole=places), Reporter(job)
            )
        finally:
            store.close()
        area = tissue_mm2(slide, own)
    share = encoded / max(1, len(own))
    seconds = time.monotonic() - started
    return {"state": PART, "path": job.path, "mm2": area * share, "tiles": encoded, "seconds": seconds}


def _summarised(job: Job, slide: Slide, model: AnyModel, filled: Filled, telling: Telling) -> Answer:
    """Write a slide's files, and say what the cohort keeps of it."""
    regions = {} if job.regions is None else outlines_of(job.regions, job.path)
    prediction, files = write_files(filled, job.stem, job.settings.wishes, telling)
    total = len(filled.places)
    unlike = share_unlike(filled.session, model.reference, filled.places)
    row = {
        "path": job.path,
        "tiles_total": total,
        "tiles_encoded": filled.encoded,
        "tiles_skipped": total - filled.encoded,
        "seconds": 0.0,
        "outputs": [str(filled.store.path), *files],
        "warnings": warnings_for(slide, model.card, model.reference),
        "sample": job.sample,
        "patient": job.patient,
        "tissue_mm2": round(tissue_mm2(slide, filled.places), 4),
        "unlike": None if unlike is None else round(unlike, 4),
        "mpp": slide.mpp,
        **artefact_facts(slide, filled),
    }
    shown = pictures(slide, prediction, job.settings.pictured)
    return {
        "state": DONE,
        "path": job.path,
        "asked": job.digest(),
        "model": job.settings.model,
        "row": row,
        "genes": gene_figures(prediction, regions),
        "pictures": shown,
    }


def _patiently(act: Callable[[], Made], cancelled: Callable[[], bool]) -> Made:
    """Do something as soon as no other process writes the same folder; one that was given up needs a moment to end."""
    until = time.monotonic() + _WAIT
    while True:
        try:
            return act()
        except FolderBusy:
            if time.monotonic() > until:
                raise
            if cancelled():
                raise Cancelled("stopped") from None
            time.sleep(0.2)


def _say_nothing(_: object) -> None:
    """Say nothing: notes of a slide are for somebody who watches it alone."""


def _stopping(cancelled: Callable[[], bool]) -> Callable[[float], None]:
    def progress(share: float) -> None:
        if cancelled() and share < 1:
            raise Cancelled("stopped")

    return progress


class Reporter:
    """Reports the progress of a slide to whoever watches the cohort, at most once a second."""

    def __init__(self, job: Job) -> None:
        self.path, self.told = job.path, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Report that so many tiles are done."""
        now = time.monotonic()
        if now - self.told > _MOMENT and (worker := this_worker()) is not None:
            self.told = now
            worker.log_event(TOPIC, {"path": self.path, "done": progress.done, "total": progress.total})
