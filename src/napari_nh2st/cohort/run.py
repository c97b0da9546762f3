"""Running a cohort: slides go to workers, what fails is tried once more, and parts of huge slides are put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.cohort.at_work import DONE, FAILED, STOPPED, Answer
from napari_nh2st.cohort.crew import Crew, Endings, Watch
from napari_nh2st.cohort.job import Job
from napari_nh2st.cohort.parts import Chunks
from napari_nh2st.cohort.progress import Standing
from napari_nh2st.cohort.records import recorded
from napari_nh2st.cohort.tasks import PARTS, TOPIC, finish_slide, look_at, predict_part
from napari_nh2st.cohort.tasks import predict_slide as whole_slide
from napari_nh2st.cohort.work_list import RUNNING, STOPS, TRIES, WAITING

_LOOKED_AT = 20
"""Slides that are looked at with one question, where an earlier command has left a record of them."""

_ENDINGS = Endings(
    "stopped; what was predicted is kept, and the same command goes on",
    "the scheduler is gone; what was predicted is kept: start it again, and the same command goes on",
)


@dataclass(eq=False)
class SlideRun:
    """A slide of a running cohort.

    Attributes
    ----------
    job : Job
    state : str
        WAITING, RUNNING, DONE or FAILED.
    answer : dict
        Of the task that ended it, or that failed last.
    """

    job: Job
    state: str = WAITING
    answer: Answer = field(default_factory=dict)
    failed_on: list[str] = field(default_factory=list)
    parts: int = 0  # at work
    encoded: int = 0  # tiles, by its parts
    seconds: float = 0.0
    stops: int = 0
    tiles: tuple[int, int] = (0, 0)

    @property
    def error(self) -> str:
        """Why it failed, in one line; empty where it did not."""
        return str(self.answer.get("error", "")) if self.state == FAILED else ""


class CohortRun:
    """Slides on the workers of Dask.

    Parameters
    ----------
    client : distributed.Client
    jobs : sequence of Job
    watch : Watch
    """

    def __init__(self, client: Any, jobs: Sequence[Job], watch: Watch) -> None:
        self.client, self.watch = client, watch
        self.slides = [SlideRun(job) for job in jobs]
        self._by_path = {slide.job.path: slide for slide in self.slides}
        self._todo: list[tuple[SlideRun, Chunks | None]] = []
        device = jobs[0].settings.device if jobs else "auto"
        # Of slides with their part, and before that of lists of slides.
        self._crew: Crew[Any] = Crew(client, device, _ENDINGS)
        self._began, self._mm2, self._computed = time.monotonic(), 0.0, 0
        self._genes: list[str] = []

    def run(self) -> None:
        """Work until every slide is done or has failed.

        Raises
        ------
        Nh2stError
            If the scheduler is gone, or nobody wants the rest; what was finished is kept.
        """
        self.client.subscribe_topic(TOPIC, self._hear)
        try:
            self._look_at_earlier()
            self._todo = [(slide, None) for slide in reversed(self.slides) if slide.state != DONE]
            self._crew.work(
                lambda: bool(self._todo or self._crew.at_work),
                self._submit,
                lambda sent, answer: self._note(sent[0], sent[1], answer),
                self.watch,
                self.standing,
            )
        finally:
            if self.client.status == "running":
                with suppress(Exception):
                    self.client.unsubscribe_topic(TOPIC)

    def _look_at_earlier(self) -> None:
        """Have workers look at the slides that have left a record: many at once, since a question takes longer."""
        names = recorded(Path(self.slides[0].job.settings.out)) if self.slides else set()
        there = [slide for slide in self.slides if slide.job.stem in names]
        if not there:
            return
        todo = [there[i : i + _LOOKED_AT] for i in range(0, len(there), _LOOKED_AT)][::-1]

        def submit() -> None:
            while todo and self._crew.has_room:
                some = todo.pop()
                self._crew.send(some, f"looking at {some[0].job.stem}", look_at, [slide.job for slide in some])

        def note(some: list[SlideRun], answer: Answer) -> None:
            for slide, found in zip(some, answer.get("found", []), strict=False):  # none where its worker has left
                if found is not None:
                    self._note(slide, None, found)

        self._crew.work(lambda: bool(todo or self._crew.at_work), submit, note, self.watch, self.standing)

    def standing(self) -> Standing:
        """Return how the cohort stands."""
        states = [slide.state for slide in self.slides]
        seconds, left = time.monotonic() - self._began, None
        open_slides = states.count(RUNNING) + states.count(WAITING)
        if self._computed:
            left = seconds / self._computed * open_slides
        sent = sorted((slide for slide in self.slides if slide.state == RUNNING), key=lambda slide: not slide.tiles[1])
        at_work = [(slide.job.stem, *slide.tiles) for slide in self._crew.at_hand(sent)]
        return Standing(
            states.count(DONE), len(at_work), states.count(FAILED), open_slides - len(at_work),
            len(self._crew.workers), self._mm2, seconds, left, at_work,
        )  # fmt: skip

    def _submit(self) -> None:
        while self._todo and self._crew.has_room:
            slide, chunks = self._todo.pop()
            if chunks:
                self._send(slide, chunks, predict_part, chunks)
            elif chunks is None:
                self._send(slide, chunks, whole_slide)
            else:
                self._send(slide, chunks, finish_slide, slide.encoded, round(slide.seconds, 2))

    def _send(self, slide: SlideRun, chunks: Chunks | None, task: Callable[..., Answer], *more: object) -> None:
        """Give a task to a worker that has not failed on this slide."""
        slide.state = RUNNING
        self._crew.send((slide, chunks), slide.job.stem, task, slide.job, *more, not_to=slide.failed_on)

    def _note(self, slide: SlideRun, chunks: Chunks | None, answer: Answer) -> None:
        if answer["state"] == STOPPED:  # a worker left, or the scheduler: somebody else goes on
            slide.stops += 1
            if slide.stops < STOPS:
                self._todo.append((slide, chunks))
            else:
                self._failed(slide, chunks, {"state": FAILED, "error": "workers stopped again and again"})
        elif answer["state"] == FAILED and chunks:
            slide.failed_on.append(answer.get("worker", ""))  # what a part leaves out is computed at the end
            self._part_ended(slide)
        elif answer["state"] == FAILED:
            self._failed(slide, chunks, answer)
        elif answer["state"] == PARTS:
            slide.parts = len(answer["parts"])
            self._todo += [(slide, part) for part in reversed(answer["parts"])]
        elif answer["state"] == DONE:
            slide.state, slide.answer = DONE, {**answer, "genes": self._held(answer["genes"])}
            if not answer.get("earlier"):
                self._computed += 1
                row = answer["row"]
                encoded = row["tiles_encoded"] - slide.encoded  # its parts are counted already
                self._mm2 += row["tissue_mm2"] * encoded / max(1, row["tiles_total"])
        else:
            self._mm2 += answer["mm2"]
            slide.encoded += answer["tiles"]
            slide.seconds += answer["seconds"]
            self._part_ended(slide)

    def _held(self, figures: dict[str, Any]) -> dict[str, Any]:
        """Hold the figures of a slide in little room, since there may be thousands: as arrays, names of genes once."""
        if figures["genes"] != self._genes:
            self._genes = figures["genes"]
        regions = {name: {**part, **_arrays(part)} for name, part in figures["regions"].items()}
        return {**figures, **_arrays(figures), "genes": self._genes, "regions": regions}

    def _part_ended(self, slide: SlideRun) -> None:
        slide.parts -= 1
        if slide.parts == 0:
            self._todo.append((slide, []))

    def _failed(self, slide: SlideRun, chunks: Chunks | None, answer: Answer) -> None:
        slide.failed_on.append(answer.get("worker", ""))
        slide.answer = answer
        if len(slide.failed_on) < TRIES:
            self._todo.insert(0, (slide, chunks))
            slide.state = WAITING
            return
        slide.state = FAILED
        self.watch.say(f"warning: {slide.job.stem} failed: {answer['error']}")

    def _hear(self, event: tuple[float, Any]) -> None:
        """Take a report of progress; Dask calls it."""
        _, told = event
        if isinstance(told, dict) and (slide := self._by_path.get(str(told.get("path")))) is not None:
            slide.tiles = int(told.get("done", 0)), int(told.get("total", 0))


def _arrays(figures: dict[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
    return {name: np.array(figures[name], dtype=np.float32) for name in ("mean", "sd")}
