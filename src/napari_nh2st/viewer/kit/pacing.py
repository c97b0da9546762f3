"""When the window draws: not for every chunk, no more than it can bear, and one new thing at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

_BETWEEN_MS, _MOST_MS = 80, 600
_SPARE = 5  # between two drawings, as many times as long as one of them takes
_BREATH_MS = 30

Call = Callable[[], None]


def timer(parent: QWidget, milliseconds: int, call: Call) -> QTimer:
    """Return a timer that calls once, so long after it was last started."""
    made = QTimer(parent, singleShot=True, interval=milliseconds)
    made.timeout.connect(call)
    return made


def soon(call: Call) -> None:
    """Call when Qt is done with what it does now."""
    QTimer.singleShot(0, call)


def every(milliseconds: int, call: Call) -> Call:
    """Call again and again, until what is returned is called."""
    made = QTimer(interval=milliseconds)
    made.timeout.connect(call)
    made.start()
    return made.stop


class Pacing:
    """Spreads drawing over time, so that the window answers in between.

    Parameters
    ----------
    parent : QWidget
        With which it ends.
    draw : callable
        Draws what has come.
    """

    def __init__(self, parent: QWidget, draw: Call) -> None:
        self._calls: deque[Call] = deque()
        self._began = 0.0
        self._every = _BETWEEN_MS
        self._draw = timer(parent, _BETWEEN_MS, draw)
        self._measure = timer(parent, 1, self._drawn)
        self._next = timer(parent, _BREATH_MS, self._call)

    def draw_soon(self) -> None:
        """Draw within a moment; asking again until then changes nothing."""
        if not self._draw.isActive():
            self._draw.start(self._every)

    def draw_next(self) -> None:
        """Draw as soon as Qt is done with what it does now: somebody waits for this."""
        self._draw.start(0)

    def drawing(self) -> None:
        """Take note that something is being drawn now: what that costs says when the next time is."""
        self._draw.stop()
        self._began = time.monotonic()
        self._measure.start()  # fires when the window has drawn

    def later(self, call: Call) -> None:
        """Call a function when what was drawn before stands in the window."""
        self._calls.append(call)
        if not self._next.isActive():
            self._next.start()

    def when_quiet(self, call: Call) -> None:
        """Call a function at once, or after all that is still to be drawn for the first time."""
        if self._calls:
            self.later(call)
        else:
            call()

    def stop(self) -> None:
        """Make the calls that wait, and no more: what is drawn already is not left half-done."""
        for each in (self._draw, self._measure, self._next):
            each.stop()
        calls, self._calls = self._calls, deque()
        for call in calls:
            call()

    def _drawn(self) -> None:
        took = 1000 * (time.monotonic() - self._began)
        self._every = round(min(max(_BETWEEN_MS, _SPARE * took), _MOST_MS))

    def _call(self) -> None:
        self._calls.popleft()()
        if self._calls:
            self._next.start()
