"""Keeps Python's garbage collector on the GUI thread while others work.

Widgets that are no longer used lie in cycles with their presenters and signals until the collector finds them. It runs
in whichever thread allocates next, and Qt objects that are let go of in a worker's thread end the process.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer

_EVERY_MS = 500
_YOUNG = 1  # the oldest generation is left for later: it takes long, and the window would stand still


class _Collector(QObject):
    """Collects what is young on the GUI thread until the threads have ended."""

    def __init__(self, threads_at_work: Callable[[], int]) -> None:
        super().__init__()
        self._threads_at_work = threads_at_work
        self._timer = QTimer(self, interval=_EVERY_MS)
        self._timer.timeout.connect(self._collect)

    def hold(self) -> None:
        if gc.isenabled():
            gc.disable()
            self._timer.start()

    def _collect(self) -> None:
        if self._threads_at_work():
            gc.collect(_YOUNG)
            return
        self._timer.stop()
        gc.enable()


_collector: _Collector | None = None


def collect_on_gui_thread(threads_at_work: Callable[[], int]) -> None:
    """Call on the GUI thread before a thread starts: until none is at work, none of them collects."""
    global _collector
    if _collector is None:
        _collector = _Collector(threads_at_work)
    _collector.hold()
