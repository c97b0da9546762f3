"""A whole cohort: jobs, workers, the live table, and what is left at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nh2st.cohort.cluster import dashboard_of, workers_of
from napari_nh2st.cohort.crew import Watch
from napari_nh2st.cohort.job import Job, Settings
from napari_nh2st.cohort.leftovers import leave
from napari_nh2st.cohort.listing import ListedSlide
from napari_nh2st.cohort.progress import LiveTable, Standing
from napari_nh2st.cohort.run import CohortRun, SlideRun
from napari_nh2st.cohort.summary import PICTURED
from napari_nh2st.slide_path import whole_path
from napari_nh2st.terminal import say

if TYPE_CHECKING:
    from napari_nh2st.model.card import Card


@dataclass(frozen=True)
class Outcome:
    """How a cohort ended: its slides, the files beside their results, and the seconds it took."""

    slides: list[SlideRun]
    paths: list[Path]
    seconds: float


def predict_cohort(
    listed: Sequence[ListedSlide],
    settings: Settings,
    provenance: dict[str, Any],
    *,
    workers: int | None,
    scheduler: str | None,
    cancelled: Callable[[], bool],
) -> Outcome:
    """Predict slides on workers of Dask, with a live table on standard error.

    Parameters
    ----------
    listed : sequence of ListedSlide
        Of different names.
    settings : Settings
    provenance : dict
        Of the model and the command.
    workers, scheduler
        As in `workers_of`.
    cancelled : callable

    Raises
    ------
    Nh2stError
        If there is no scheduler any more, or it was stopped. What was predicted is kept, and the table is written.
    """
    jobs, began = [_job(slide, settings) for slide in listed], time.monotonic()
    with workers_of(workers, scheduler, settings.device) as client, watched(client, cancelled) as watch:
        run = CohortRun(client, jobs, watch)
        try:
            run.run()
        finally:
            paths = leave(run.slides, Path(settings.out), provenance)
    return Outcome(run.slides, paths, time.monotonic() - began)


@contextmanager
def watched(client: Any, cancelled: Callable[[], bool]) -> Iterator[Watch]:
    """Watch work on the terminal: a live table, and above it messages and the address of Dask's own page."""
    table = LiveTable()
    standings: list[Standing] = []

    def show(standing: Standing) -> None:
        standings[:] = [standing]
        table.show(standing)

    def tell(message: str) -> None:
        table.clear()
        say(message)

    if page := dashboard_of(client):
        say(f"Dask's own page: {page}")
    try:
        yield Watch(show, tell, cancelled)
    finally:
        if standings:
            table.show(standings[0], last=True)


def _job(slide: ListedSlide, settings: Settings) -> Job:
    path, regions = whole_path(slide.path), None if slide.regions is None else str(slide.regions)
    return Job(path, slide.mpp, slide.sample, slide.patient, settings, regions)


def pictured_genes(card: Card, genes: Sequence[str] | None) -> tuple[str, ...]:
    """Choose the genes that the page shows: those that were asked for, else those that the model predicts best."""
    return tuple((card.by_trust() if genes is None else list(genes))[:PICTURED])
