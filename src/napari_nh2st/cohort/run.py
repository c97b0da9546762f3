"""Running a cohort: slides go to workers, what fails is tried once more, and parts of huge slides are put together."""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from napari_nh2st.cohort.job import Job
from napari_nh2st.cohort.parts import Chunks
from napari_nh2st.cohort.progress import Standing
from napari_nh2st.cohort.tasks import DONE, FAILED, PARTS, STOPPED, TOPIC, Answer, finish_slide, predict_part
from napari_nh2st.cohort.tasks import predict_slide as whole_slide
from napari_nh2st.errors import Nh2stError, one_line

_TRIES, _STOPS = 2, 50
_LOOK, _ASK = 0.2, 2.0  # seconds between two looks, and between two questions who is there
_AHEAD = 2  # tasks for each worker that wait on it, so that it never waits for us
_LOST = 5.0  # seconds without the scheduler
_END = 10.0  # seconds that workers get to stop
WAITING, RUNNING = "waiting", "running"


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
    show : callable
        Takes a `Standing`, often.
    say : callable
        Takes a sentence, such as that of a slide that failed.
    cancelled : callable
    """

    def __init__(
        self,
        client: Any,
        jobs: Sequence[Job],
        show: Callable[[Standing], object],
        say: Callable[[str], object],
        cancelled: Callable[[], bool],
    ) -> None:
        self.client, self.show, self.say, self.cancelled = client, show, say, cancelled
        self.slides = [SlideRun(job) for job in jobs]
        self._by_path = {slide.job.path: slide for slide in self.slides}
        self._todo: list[tuple[SlideRun, Chunks | None]] = [(slide, None) for slide in reversed(self.slides)]
        self._flying: dict[str, tuple[Any, SlideRun, Chunks | None]] = {}
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._began, self._mm2, self._computed = time.monotonic(), 0.0, 0
        self._unseen: float | None = None
        self._asked = 0.0
        self._workers: dict[str, Any] = {}

    def run(self) -> None:
        """Work until every slide is done or has failed.

        Raises
        ------
        Nh2stError
            If the scheduler is gone, or nobody wants the rest; what was finished is kept.
        """
        self.client.subscribe_topic(TOPIC, self._hear)
        try:
            while self._todo or self._flying:
                self._look()
                self._submit()
                self.show(self.standing())
                self._take()
        finally:
            self._leave()
        self.show(self.standing())

    def standing(self) -> Standing:
        """Return how the cohort stands."""
        states = [slide.state for slide in self.slides]
        seconds, left = time.monotonic() - self._began, None
        open_slides = states.count(RUNNING) + states.count(WAITING)
        if self._computed:
            left = seconds / self._computed * open_slides
        at_work = [(slide.job.stem, *slide.tiles) for slide in self.slides if slide.state == RUNNING]
        return Standing(
            states.count(DONE), states.count(RUNNING), states.count(FAILED), states.count(WAITING),
            len(self._workers), self._mm2, seconds, left, at_work,
        )  # fmt: skip

    def _look(self) -> None:
        """See who is there."""
        if self.cancelled():
            raise Nh2stError("stopped; what was predicted is kept, and the same command goes on")
        now = time.monotonic()
        if self.client.status == "running":
            self._unseen = None
            if now - self._asked > _ASK or not self._workers:
                self._asked = now
                with suppress(Exception):  # it has just gone: the next look says so
                    self._workers = self.client.scheduler_info(n_workers=-1)["workers"]
            return
        self._unseen = self._unseen or now
        if self.client.status == "closed" or now - self._unseen > _LOST:
            raise Nh2stError(
                "the scheduler is gone; what was predicted is kept: start it again, and the same command goes on"
            )

    def _submit(self) -> None:
        most = _AHEAD * max(1, len(self._workers))
        while self._todo and len(self._flying) < most and self.client.status == "running":
            slide, chunks = self._todo.pop()
            if chunks:
                self._send(slide, chunks, predict_part, chunks)
            elif chunks is None:
                self._send(slide, chunks, whole_slide)
            else:
                self._send(slide, chunks, finish_slide, slide.encoded, round(slide.seconds, 2))

    def _send(self, slide: SlideRun, chunks: Chunks | None, task: Callable[..., Answer], *more: object) -> None:
        """Give a task to a worker that has not failed on this slide, and to one with a graphics card if any has one."""
        others = [address for address in self._workers if address not in slide.failed_on] if slide.failed_on else []
        cards = any(facts.get("resources", {}).get("GPU") for facts in self._workers.values())
        on_cards = cards and slide.job.settings.device != "cpu"
        key = f"{slide.job.stem}-{secrets.token_hex(6)}"
        future = self.client.submit(
            task, slide.job, *more,
            key=key, pure=False, workers=others or None, allow_other_workers=bool(others),
            resources={"GPU": 1} if on_cards else None,
        )  # fmt: skip
        slide.state = RUNNING
        self._flying[key] = future, slide, chunks
        future.add_done_callback(self._ended.put)

    def _take(self) -> None:
        """Take what has ended; waits a moment for it."""
        with suppress(queue.Empty):
            future = self._ended.get(timeout=_LOOK)
            while True:
                self._note(future)
                future = self._ended.get_nowait()

    def _note(self, future: Any) -> None:
        if (flown := self._flying.pop(future.key, None)) is None:
            return
        _, slide, chunks = flown
        answer = self._answer_of(future, slide)
        if answer["state"] == STOPPED:  # a worker left, or the scheduler: somebody else goes on
            slide.stops += 1
            if slide.stops < _STOPS:
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
            slide.state, slide.answer = DONE, answer
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

    def _answer_of(self, future: Any, slide: SlideRun) -> Answer:
        if future.status == "finished":
            try:
                answer: Answer = future.result(timeout=_END)
                return answer
            except Exception:  # the worker that had it is gone
                return {"state": STOPPED}
        if future.status == "error":  # no task of ours raises: its workers ended while they worked on it
            why = one_line(future.exception(timeout=_END), 200) if self.client.status == "running" else ""
            return {"state": FAILED, "error": f"{slide.job.path}: its workers ended again and again ({why})"}
        return {"state": STOPPED}

    def _part_ended(self, slide: SlideRun) -> None:
        slide.parts -= 1
        if slide.parts == 0:
            self._todo.append((slide, []))

    def _failed(self, slide: SlideRun, chunks: Chunks | None, answer: Answer) -> None:
        slide.failed_on.append(answer.get("worker", ""))
        slide.answer = answer
        if len(slide.failed_on) < _TRIES:
            self._todo.insert(0, (slide, chunks))
            slide.state = WAITING
            return
        slide.state = FAILED
        self.say(f"warning: {slide.job.stem} failed: {answer['error']}")

    def _hear(self, event: tuple[float, Any]) -> None:
        """Take a report of progress; Dask calls it."""
        _, told = event
        if isinstance(told, dict) and (slide := self._by_path.get(str(told.get("path")))) is not None:
            slide.tiles = int(told.get("done", 0)), int(told.get("total", 0))

    def _leave(self) -> None:
        """Let go of what is under way; workers stop within a fraction of a window."""
        futures = [future for future, _, _ in self._flying.values()]
        self._flying.clear()
        if self.client.status == "running":
            with suppress(Exception):
                self.client.cancel(futures, force=True)
                self.client.unsubscribe_topic(TOPIC)
