"""A whole cohort: jobs, workers, the live table, and what is left at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nh2st.cohort.cluster import dashboard_of, workers_of
from napari_nh2st.cohort.job import Job, Settings
from napari_nh2st.cohort.leftovers import leave
from napari_nh2st.cohort.listing import ListedSlide
from napari_nh2st.cohort.progress import LiveTable
from napari_nh2st.cohort.run import CohortRun, SlideRun
from napari_nh2st.cohort.summary import PICTURED
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
    jobs = [_job(slide, settings) for slide in listed]
    began, table = time.monotonic(), LiveTable()

    def tell(message: str) -> None:
        table.clear()
        say(message)

    with workers_of(workers, scheduler, settings.device) as client:
        if page := dashboard_of(client):
            say(f"Dask's own page: {page}")
        run = CohortRun(client, jobs, table.show, tell, cancelled)
        try:
            run.run()
        finally:
            table.show(run.standing(), last=True)
            paths = leave(run.slides, Path(settings.out), provenance)
    return Outcome(run.slides, paths, time.monotonic() - began)


def _job(slide: ListedSlide, settings: Settings) -> Job:
    path, regions = str(slide.path.expanduser().absolute()), None if slide.regions is None else str(slide.regions)
    return Job(path, slide.mpp, slide.sample, slide.patient, settings, regions)


def pictured_genes(card: Card, genes: Sequence[str] | None) -> tuple[str, ...]:
    """Choose the genes that the page shows: those that were asked for, else those that the model predicts best."""
    return tuple((card.by_trust() if genes is None else list(genes))[:PICTURED])
