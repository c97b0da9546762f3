"""The workers of a scheduler as a crew: who is there, what is under way, and what comes back."""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from napari_nh2st.cohort.at_work import FAILED, STOPPED, Answer
from napari_nh2st.cohort.progress import Standing
from napari_nh2st.errors import Nh2stError, one_line

Item = TypeVar("Item")
Sent = TypeVar("Sent")

_LOOK, _ASK = 0.2, 2.0  # seconds between two looks, and between two questions who is there
_AHEAD = 2  # tasks for each worker that wait on it, so that it never waits for us
_LOST = 5.0  # seconds without the scheduler
_END = 10.0  # seconds that workers get to stop


@dataclass(frozen=True)
class Watch:
    """Who watches work, and may stop it.

    Attributes
    ----------
    show : callable
        Takes a `Standing`, often.
    say : callable
        Takes a sentence, such as that of an item that failed.
    cancelled : callable
    """

    show: Callable[[Standing], object]
    say: Callable[[str], object]
    cancelled: Callable[[], bool]


@dataclass(frozen=True)
class Endings:
    """The sentences for a run that ends before its time: when it is stopped, and when the scheduler is gone."""

    stopped: str
    scheduler_gone: str


class Crew(Generic[Item]):
    """The workers of a client's scheduler.

    Parameters
    ----------
    client : distributed.Client
    device : str
        As in `PredictionOptions`: unless it is "cpu", only workers with graphics cards work, if any has one.
    endings : Endings
    """

    def __init__(self, client: Any, device: str, endings: Endings) -> None:
        self.client, self.device, self.endings = client, device, endings
        self.workers: dict[str, Any] = {}
        self._under_way: dict[str, tuple[Any, Item]] = {}
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._unseen: float | None = None
        self._asked = 0.0

    @property
    def at_work(self) -> bool:
        """Whether something is under way."""
        return bool(self._under_way)

    @property
    def has_room(self) -> bool:
        """Whether more may be sent."""
        most = _AHEAD * max(1, len(self.workers))
        return len(self._under_way) < most and self.client.status == "running"

    def at_hand(self, sent: Sequence[Sent]) -> Sequence[Sent]:
        """Leave away what only waits at a worker: each has one thing at a time at hand, and some are sent ahead."""
        return sent[: len(self.workers)]

    def look(self, cancelled: Callable[[], bool]) -> None:
        """See who is there.

        Raises
        ------
        Nh2stError
            If nobody wants the rest, or the scheduler is gone.
        """
        if cancelled():
            raise Nh2stError(self.endings.stopped)
        now = time.monotonic()
        if self.client.status == "running":
            self._unseen = None
            if now - self._asked > _ASK or not self.workers:
                self._asked = now
                with suppress(Exception):  # it has just gone: the next look says so
                    self.workers = self.client.scheduler_info(n_workers=-1)["workers"]
            return
        self._unseen = self._unseen or now
        if self.client.status == "closed" or now - self._unseen > _LOST:
            raise Nh2stError(self.endings.scheduler_gone)

    def work(
        self,
        unfinished: Callable[[], bool],
        submit: Callable[[], object],
        note: Callable[[Item, Answer], object],
        watch: Watch,
        standing: Callable[[], Standing],
    ) -> None:
        """Work until nothing is unfinished, and let go of what is under way however it ends.

        Parameters
        ----------
        unfinished : callable
        submit : callable
            Sends what may be sent.
        note : callable
            Takes what has ended, with its answer.
        watch : Watch
        standing : callable
            Returns how the work stands; asked a few times a second, since it looks at every item.

        Raises
        ------
        Nh2stError
            If the scheduler is gone, or nobody wants the rest.
        """
        shown = -_LOOK
        try:
            while unfinished():
                self.look(watch.cancelled)
                submit()
                if (now := time.monotonic()) - shown >= _LOOK:
                    shown = now
                    watch.show(standing())
                for item, answer in self.answers():
                    note(item, answer)
        finally:
            self.leave()
            watch.show(standing())

    def send(
        self, item: Item, name: str, task: Callable[..., Answer], *arguments: object, not_to: Sequence[str] = ()
    ) -> None:
        """Give a task to a worker, and to one with a graphics card if any has one.

        Parameters
        ----------
        item
            Comes back with the answer.
        name : str
            For people who look at Dask's page.
        task : callable
        *arguments
        not_to : sequence of str
            Addresses of workers that get it only if there is no other.
        """
        others = [address for address in self.workers if address not in not_to] if not_to else []
        cards = any(facts.get("resources", {}).get("GPU") for facts in self.workers.values())
        key = f"{name}-{secrets.token_hex(6)}"
        future = self.client.submit(
            task, *arguments,
            key=key, pure=False, workers=others or None, allow_other_workers=bool(others),
            resources={"GPU": 1} if cards and self.device != "cpu" else None,
        )  # fmt: skip
        self._under_way[key] = future, item
        future.add_done_callback(self._ended.put)

    def answers(self) -> Iterator[tuple[Item, Answer]]:
        """Yield what has ended, with its answer; waits a moment for it."""
        with suppress(queue.Empty):
            future = self._ended.get(timeout=_LOOK)
            while True:
                if (sent := self._under_way.pop(future.key, None)) is not None:
                    yield sent[1], self._answer_of(future)
                future = self._ended.get_nowait()

    def _answer_of(self, future: Any) -> Answer:
        if future.status == "finished":
            try:
                answer: Answer = future.result(timeout=_END)
                return answer
            except Exception:  # the worker that had it is gone
                return {"state": STOPPED}
        if future.status == "error":  # no task of ours raises: its workers ended while they worked on it
            why = one_line(future.exception(timeout=_END), 200) if self.client.status == "running" else ""
            return {"state": FAILED, "error": f"its workers ended again and again ({why})"}
        return {"state": STOPPED}

    def leave(self) -> None:
        """Let go of what is under way; workers stop within a fraction of a window, or after a step."""
        futures = [future for future, _ in self._under_way.values()]
        self._under_way.clear()
        if self.client.status == "running":
            with suppress(Exception):
                self.client.cancel(futures, force=True)
