"""Work off the GUI thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from superqt.utils import create_worker

from napari_nh2st.viewer.kit.garbage import collect_on_gui_thread
from napari_nh2st.viewer.kit.long_work import Cancelled, Tell

Work = Callable[[Tell, Cancelled], Any]


class Background:
    """Runs iterators and functions in threads and brings what they give back to the GUI thread.

    Not napari's `thread_worker`: that one asks on closing whether to wait for jobs named by their Python
    repr. napari still waits for these threads when the application ends.
    """

    def __init__(self) -> None:
        self._workers: set[Any] = set()
        self._inbox: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._delivering = False
        self._closed = False

    @property
    def busy(self) -> bool:
        """True if a thread is at work."""
        return bool(self._workers)

    def iterate(self, items: Iterator[Any], receive: Callable[[Any], None]) -> None:
        """Draw `items` in a thread; `receive` gets each of them here."""

        def draw() -> Iterator[Any]:
            yield from items

        self._start(create_worker(draw, _start_thread=False), "yielded", receive)

    def call(
        self,
        function: Callable[..., Any],
        *args: Any,
        then: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Call a function in a thread; exactly one of `then` and `failed` gets what came of it."""

        def guarded() -> tuple[bool, Any]:
            try:
                return True, function(*args)
            except Exception as error:  # told to the caller, who shows it
                return False, error

        def receive(outcome: tuple[bool, Any]) -> None:
            ok, value = outcome
            (then if ok else failed)(value)

        self._start(create_worker(guarded, _start_thread=False), "returned", receive)

    def close(self) -> None:
        """Ask the threads to end; what they still give is dropped."""
        self._closed = True
        for worker in list(self._workers):
            worker.quit()

    def _start(self, worker: Any, signal: str, receive: Callable[[Any], None]) -> None:
        self._workers.add(worker)
        getattr(worker, signal).connect(partial(self._pass_on, receive))
        worker.finished.connect(partial(self._workers.discard, worker))
        collect_on_gui_thread()
        worker.start()

    def _pass_on(self, receive: Callable[[Any], None], value: Any) -> None:
        """Deliver in order and one at a time: what is called may let Qt process events, and so come back here."""
        self._inbox.append((receive, value))
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._inbox and not self._closed:
                receive, value = self._inbox.popleft()
                receive(value)
        finally:
            self._delivering = False
