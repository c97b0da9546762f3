"""A search for sections in the background, of which the last one begun alone is heard. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TypeVar

from napari_nh2st.viewer.kit.long_work import Cancelled, Threads

T = TypeVar("T")


class SectionsSearch:
    """Reads or searches in the background; what was begun before is given up.

    Parameters
    ----------
    threads : Threads
    changed : callable
        Called with whether a search is running, where that changes.
    """

    def __init__(self, threads: Threads, changed: Callable[[bool], None]) -> None:
        self._threads, self._changed = threads, changed
        self._search: Event | None = None  # set when its outcome is no longer wanted

    @property
    def running(self) -> bool:
        """True if something is being read or searched."""
        return self._search is not None

    def begin(
        self, function: Callable[[Cancelled], T], then: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> None:
        """Call a function with a question whether it is still wanted; `then` or `failed` gets what came of it."""
        self.end()
        self._search = search = Event()
        self._changed(True)

        def done(outcome: T) -> None:
            if not search.is_set():
                self.end()
                then(outcome)

        def not_done(error: Exception) -> None:
            if not search.is_set():
                self.end()
                failed(error)

        self._threads.call(function, search.is_set, then=done, failed=not_done)

    def end(self) -> None:
        """Search no further."""
        if self._search is not None:
            self._search.set()
            self._search = None
            self._changed(False)
