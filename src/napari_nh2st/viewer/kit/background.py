"""Work off the GUI thread.

Not superqt's workers: their signals are deleted with the application while their threads still emit them, which ends
the process with PyQt6. Here threads touch one Qt object alone, which lives as long as the application.
"""

from __future__ import annotations

import atexit
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

from qtpy.QtCore import QObject, Qt, QThreadPool, Signal

from napari_nh2st.viewer.kit.garbage import collect_on_gui_thread
from napari_nh2st.viewer.kit.long_work import Cancelled, Tell

Work = Callable[[Tell, Cancelled], Any]
Receive = Callable[[Any], None]
_READERS = 4


class _Post(QObject):
    """Brings what threads send to the GUI thread."""

    arrived = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._letters: deque[Callable[[], None]] = deque()
        self.arrived.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def send(self, letter: Callable[[], None]) -> None:
        """Have something called on the GUI thread; from any thread."""
        self._letters.append(letter)
        with suppress(RuntimeError):  # the application is gone, and this object with it: nobody waits
            self.arrived.emit()

    def _deliver(self) -> None:
        if self._letters:
            self._letters.popleft()()


class _Crew:
    """The threads of all docks, and what is to be ended before Qt goes.

    A pool of its own: napari waits for Qt's global one when its last window is closed, before anybody is told to stop.
    """

    def __init__(self) -> None:
        self.pool, self.post = QThreadPool(), _Post()
        self.readers = QThreadPool()  # a slide is to be drawn also while predictions fill the other pool
        self.readers.setMaxThreadCount(_READERS)
        self.at_work: set[Background] = set()
        self.all: WeakSet[Background] = WeakSet()
        atexit.register(self.end)

    def end(self) -> None:
        """Ask all threads to end, and wait until they have."""
        for background in list(self.all):
            background.close()
        with suppress(RuntimeError):
            self.pool.waitForDone()
            self.readers.waitForDone()
            _close_windows()


def _close_windows() -> None:
    """Close what a script left open: PyQt6 takes windows apart in any order, and may end the process by a fault."""
    import napari

    napari.Viewer.close_all()


_crew: _Crew | None = None


def _the_crew() -> _Crew:
    global _crew
    if _crew is None:
        _crew = _Crew()
    return _crew


def threads_at_work() -> int:
    """Return how many threads are at work, for all docks together."""
    return 0 if _crew is None else int(_crew.pool.activeThreadCount() + _crew.readers.activeThreadCount())


def read_aside(work: Callable[[], Callable[[], None]]) -> None:
    """Read files in a thread, then call on the GUI thread what that returned. Call this on the GUI thread."""
    crew = _the_crew()

    def run() -> None:
        try:
            crew.post.send(work())
        except Exception as error:  # out of a thread of Qt's, it would end the process
            crew.post.send(partial(_raise, error))

    collect_on_gui_thread(threads_at_work)
    crew.readers.start(run)


class Background:
    """Runs iterators and functions in threads and brings what they give back to the GUI thread.

    Make it and call it on the GUI thread. The process waits for these threads when it ends.
    """

    def __init__(self) -> None:
        self._jobs: dict[int, Receive] = {}  # what takes their answers stays here: a thread must not delete widgets
        self._inbox: deque[Callable[[], None]] = deque()
        self._count = 0
        self._delivering = False
        self._closed = False
        _the_crew().all.add(self)

    @property
    def busy(self) -> bool:
        """True if a thread is at work."""
        return bool(self._jobs)

    @property
    def closed(self) -> bool:
        """True if the threads were asked to end."""
        return self._closed

    def iterate(self, items: Iterator[Any], receive: Receive) -> None:
        """Draw `items` in a thread; `receive` gets each of them here."""

        def draw(give: Receive) -> None:
            for item in items:
                if self._closed:
                    break
                give(item)
            if self._closed and hasattr(items, "close"):
                items.close()

        self._start(draw, receive)

    def call(
        self,
        function: Callable[..., Any],
        *args: Any,
        then: Receive,
        failed: Callable[[Exception], None],
    ) -> None:
        """Call a function in a thread; exactly one of `then` and `failed` gets what came of it."""

        def guarded(give: Receive) -> None:
            try:
                outcome = True, function(*args)
            except Exception as error:  # told to the caller, who shows it
                outcome = False, error
            give(outcome)

        def receive(outcome: tuple[bool, Any]) -> None:
            ok, value = outcome
            (then if ok else failed)(value)

        self._start(guarded, receive)

    def close(self) -> None:
        """Ask the threads to end; what they still give is dropped."""
        self._closed = True

    def _start(self, work: Callable[[Receive], None], receive: Receive) -> None:
        crew = _the_crew()
        self._count += 1
        job = self._count
        self._jobs[job] = receive
        crew.at_work.add(self)

        def send(call: Callable[..., None], *args: Any) -> None:
            crew.post.send(partial(self._take, partial(call, *args)))

        def run() -> None:
            try:
                if not self._closed:
                    work(partial(send, self._receive, job))
            except Exception as error:  # out of a thread of Qt's, it would end the process
                send(_raise, error)
            finally:
                send(self._end, job)

        collect_on_gui_thread(threads_at_work)
        crew.pool.start(run)

    def _receive(self, job: int, item: Any) -> None:
        if not self._closed:
            self._jobs[job](item)

    def _end(self, job: int) -> None:
        self._jobs.pop(job, None)
        if not self._jobs:
            _the_crew().at_work.discard(self)

    def _take(self, call: Callable[[], None]) -> None:
        """Deliver in order and one at a time: what is called may let Qt process events, and so come back here."""
        self._inbox.append(call)
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._inbox:
                self._inbox.popleft()()
        finally:
            self._delivering = False
            if self._inbox:  # one of them failed: the others are delivered after its error was shown
                _the_crew().post.send(partial(self._take, lambda: None))


def _raise(error: Exception) -> None:
    raise error
