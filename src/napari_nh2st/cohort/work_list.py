"""A list of work for a crew: each item is a task, and some items wait for others. What fails is tried once more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_nh2st.cohort.at_work import DONE, FAILED, STOPPED, Answer
from napari_nh2st.cohort.crew import Crew, Endings, Watch
from napari_nh2st.cohort.progress import Standing

TRIES, STOPS = 2, 50
"""How often something may fail, and how often it may stop with its worker."""
WAITING, RUNNING, LEFT_OUT = "waiting", "running", "left out"


@dataclass(eq=False)
class WorkItem:
    """A task.

    Attributes
    ----------
    name : str
        For people.
    task : callable
        A function of a module, that workers import; returns an `Answer`.
    arguments : tuple
    after : list of WorkItem
        They end first, well or not.
    needs : list of WorkItem
        They have to be done; if one fails, this item is left out.
    state : str
        WAITING, RUNNING, DONE, FAILED or LEFT_OUT.
    answer : dict
        Of the task that ended it.
    """

    name: str
    task: Callable[..., Answer]
    arguments: tuple[object, ...]
    after: list[WorkItem] = field(default_factory=list)
    needs: list[WorkItem] = field(default_factory=list)
    state: str = WAITING
    answer: Answer = field(default_factory=dict)
    failed_on: list[str] = field(default_factory=list)
    stops: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more is done about it."""
        return self.state in (DONE, FAILED, LEFT_OUT)

    @property
    def ready(self) -> bool:
        """Whether it can be sent."""
        return self.state == WAITING and all(item.ended for item in (*self.after, *self.needs))


class WorkList:
    """Items on the workers of Dask.

    Parameters
    ----------
    client : distributed.Client
    items : sequence of WorkItem
        In the order in which they are begun, as far as they are ready. Items that are done already stay so.
    what : str
        The word for them in the table, such as "fits".
    device : str
        As in `Crew`.
    watch : Watch
    endings : Endings
    """

    def __init__(
        self, client: Any, items: Sequence[WorkItem], what: str, device: str, watch: Watch, endings: Endings
    ) -> None:
        self.items, self.what, self.watch = list(items), what, watch
        self._crew: Crew[WorkItem] = Crew(client, device, endings)
        self._began = time.monotonic()
        self._earlier = sum(item.ended for item in self.items)
        self._first = 0  # before it all have ended: of thousands they are not looked at again

    def run(self) -> None:
        """Work until every item has ended.

        Raises
        ------
        Nh2stError
            If the scheduler is gone, or nobody wants the rest.
        """
        self._crew.work(self._unfinished, self._submit, self._note, self.watch, self.standing)

    def _unfinished(self) -> bool:
        while self._first < len(self.items) and self.items[self._first].ended:
            self._first += 1
        return self._first < len(self.items)

    def standing(self) -> Standing:
        """Return how it stands."""
        states = [item.state for item in self.items]
        seconds, left = time.monotonic() - self._began, None
        computed = states.count(DONE) - self._earlier
        if computed > 0 and len({item.task for item in self.items}) == 1:  # otherwise some take far longer than others
            left = seconds / computed * (states.count(RUNNING) + states.count(WAITING))
        sent = [item.name for item in self.items if item.state == RUNNING]
        at_work = [(name, 0, 0) for name in self._crew.at_hand(sent)]
        failed = states.count(FAILED) + states.count(LEFT_OUT)
        return Standing(
            states.count(DONE), len(at_work), failed, states.count(WAITING) + len(sent) - len(at_work),
            len(self._crew.workers), 0.0, seconds, left, at_work, self.what,
        )  # fmt: skip

    def _submit(self) -> None:
        for i in range(self._first, len(self.items)):
            if not self._crew.has_room:
                return
            item = self.items[i]
            if item.ready and any(other.state != DONE for other in item.needs):
                item.state = LEFT_OUT
            elif item.ready:
                item.state = RUNNING
                self._crew.send(item, item.name, item.task, *item.arguments, not_to=item.failed_on)

    def _note(self, item: WorkItem, answer: Answer) -> None:
        if answer["state"] == DONE:
            item.state, item.answer = DONE, answer
            return
        item.state = WAITING
        if answer["state"] == STOPPED:  # a worker left, or the scheduler: somebody else goes on
            item.stops += 1
            answer = {"state": FAILED, "error": "workers stopped again and again"}
        else:
            item.failed_on.append(answer.get("worker", ""))
        if len(item.failed_on) >= TRIES or item.stops >= STOPS:
            item.state, item.answer = FAILED, answer
            self.watch.say(f"warning: {item.name} failed: {answer['error']}")
