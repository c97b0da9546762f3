"""Keeps Python's garbage collector on the GUI thread while others work, and away from what lives on to the end.

Widgets that are no longer used lie in cycles with their presenters and signals until the collector finds them. It runs
in whichever thread allocates next, and Qt objects that are let go of in a worker's thread end the process.

torch and scanpy bring hundreds of thousands of objects, which a full collection walks through each time: the window
stands still for .3 s. napari collects whenever a layer is removed. Such imports are therefore frozen, which is to say
that the collector does not look at them; `thaw` has it look at everything again.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer

_EVERY_MS = 500
_YOUNG = 1  # the oldest generation is left for later: it takes long, and the window would stand still
_MANY = 100  # modules: so many new ones are worth freezing


class _Collector(QObject):
    """Collects what is young on the GUI thread until the threads have ended."""

    def __init__(self, threads_at_work: Callable[[], int]) -> None:
        super().__init__()
        self._threads_at_work = threads_at_work
        self._modules = len(sys.modules)
        self._thawed: int | None = None  # full collections until then
        self._timer = QTimer(self, interval=_EVERY_MS)
        self._timer.timeout.connect(self._collect)

    def hold(self) -> None:
        if gc.isenabled():
            gc.disable()
            self._timer.start()

    def thaw(self) -> None:
        gc.unfreeze()
        self._thawed = _full_collections()

    def _collect(self) -> None:
        if self._may_freeze():
            self._modules, self._thawed = len(sys.modules), None
            gc.freeze()  # before the young ones are collected: objects of new modules are young
        if self._threads_at_work():
            gc.collect(_YOUNG)
            return
        self._timer.stop()
        gc.enable()

    def _may_freeze(self) -> bool:
        """Tell whether there is enough to freeze, and nothing among it that is still to be found."""
        if self._thawed is not None:
            return _full_collections() > self._thawed
        return len(sys.modules) > self._modules + _MANY


_collector: _Collector | None = None


def collect_on_gui_thread(threads_at_work: Callable[[], int]) -> None:
    """Call on the GUI thread before a thread starts: until none is at work, none of them collects."""
    global _collector
    if _collector is None:
        _collector = _Collector(threads_at_work)
    _collector.hold()


def thaw() -> None:
    """Have the next full collection look at everything: something large was let go of, a slide or a dock."""
    if _collector is not None:
        _collector.thaw()


def _full_collections() -> int:
    return int(gc.get_stats()[2]["collections"])
