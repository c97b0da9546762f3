"""Keeps Python's garbage collector on the GUI thread while others work, and its long collections for when nobody waits.

Widgets that are no longer used lie in cycles with their presenters and signals until the collector finds them. It runs
in whichever thread allocates next, and Qt objects that are let go of in a worker's thread end the process.

torch and scanpy bring hundreds of thousands of objects, which a full collection walks through each time: the window
stands still for .3 s. napari collects whenever a layer is removed. Such imports are therefore frozen, which is to say
that the collector does not look at them. It looks at everything again when something large was let go of (`thaw`) or
much has come since, but only at rest: no thread works, and nobody has touched mouse or keys for a moment. Whatever
happens, that is put off for a minute at most, so that memory does not grow without end.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtGui import QGuiApplication

_EVERY_MS = 500
_YOUNG = 1  # the oldest generation is left for rest: it takes long, and the window would stand still
_MANY = 100  # modules: so many new ones are worth freezing
_REST_S = 2.0  # without mouse and keys
_LATEST_S = 60.0
_OFTEN = 100  # collections of the young: after so many there may be old garbage
_SELDOM = 300  # as many, about two million objects: Python then collects all that is not frozen by itself
_MOST = 2_000_000  # objects that came while threads worked
_TOUCHES = {
    QEvent.Type.KeyPress,
    QEvent.Type.MouseMove,
    QEvent.Type.MouseButtonPress,
    QEvent.Type.MouseButtonRelease,
    QEvent.Type.Wheel,
    QEvent.Type.TouchUpdate,
}


class _Collector(QObject):
    """Collects what is young on the GUI thread until the threads have ended, and what is old at rest."""

    def __init__(self, threads_at_work: Callable[[], int]) -> None:
        super().__init__()
        self._threads_at_work = threads_at_work
        self._modules = len(sys.modules)
        self._wanted_since: float | None = None
        self._touched = 0.0
        self._came = 0
        self._timer = QTimer(self, interval=_EVERY_MS)
        self._timer.timeout.connect(self._collect)
        gc.set_threshold(*gc.get_threshold()[:2], _SELDOM)

    def hold(self) -> None:
        if gc.isenabled():
            gc.disable()
            self._timer.start()

    def thaw(self) -> None:
        self._touched = time.monotonic()  # whoever removed it goes on with something now
        if self._wanted_since is None:
            self._wanted_since = self._touched
        self._watch()
        self._timer.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take note of mouse and keys. Windows of the system are watched, not widgets: they hear of little else."""
        if event.type() in _TOUCHES:
            self._touched = time.monotonic()
        return False

    def _collect(self) -> None:
        at_work = self._threads_at_work() > 0
        if self._wanted_since is None and len(sys.modules) > self._modules + _MANY:
            self._modules = len(sys.modules)
            gc.freeze()  # before the young ones are collected: objects of new modules are young
        if at_work:
            self._came += gc.get_count()[0]
            gc.collect(_YOUNG)
        else:
            gc.enable()
        if self._wanted_since is None and gc.get_count()[2] >= _OFTEN:
            self._wanted_since = time.monotonic()
        if self._came > _MOST or (self._wanted_since is not None and self._may_stop_the_window(at_work)):
            self._collect_all()
        if not at_work and self._wanted_since is None:
            self._timer.stop()

    def _may_stop_the_window(self, at_work: bool) -> bool:
        """Tell whether it is at rest, or has not been for too long."""
        self._watch()
        now = time.monotonic()
        assert self._wanted_since is not None
        return now - self._wanted_since > _LATEST_S or (not at_work and now - self._touched > _REST_S)

    def _watch(self) -> None:
        window = QGuiApplication.focusWindow()
        if window is not None:
            window.installEventFilter(self)  # once more changes nothing

    def _collect_all(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # what lives now mostly lives on
        self._modules, self._wanted_since, self._came = len(sys.modules), None, 0


_collector: _Collector | None = None


def collect_on_gui_thread(threads_at_work: Callable[[], int]) -> None:
    """Call on the GUI thread before a thread starts: until none is at work, none of them collects."""
    global _collector
    if _collector is None:
        _collector = _Collector(threads_at_work)
    _collector.hold()


def thaw() -> None:
    """Have everything looked at when the window rests: something large was let go of, a slide or a dock."""
    if _collector is not None:
        _collector.thaw()
