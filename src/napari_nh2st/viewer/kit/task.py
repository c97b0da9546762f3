"""A long piece of work in the dock: how far it is, a way to stop it, and exactly one end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QProgressBar, QPushButton, QWidget

from napari_nh2st.errors import Cancelled
from napari_nh2st.viewer.kit.background import Work
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.phrases import clock, error_words
from napari_nh2st.viewer.kit.texts import Sentence

_SHOWN_MS = 100


class Host(Protocol):
    """The dock in which a task runs."""

    @property
    def background(self) -> Threads:
        """The threads that do the work."""

    def when_closing(self, call: Callable[[], None]) -> None:
        """Call a function when the dock is closed."""


class Task(QWidget):
    """A progress bar with *Cancel* that takes no room while nothing runs, and a sentence about the last end.

    Parameters
    ----------
    host : Host
    """

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host
        self._stop: threading.Event | None = None
        self._at = (0, 0)
        self._began = 0.0
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop; what was there before stays")
        self.cancel_button.clicked.connect(self.cancel)
        self._line = QWidget()
        self._line.setLayout(row(self.bar, self.cancel_button, stretch=0))
        self._line.setVisible(False)
        self.sentence = Sentence()
        layout = column(self, spacing=2)
        layout.addWidget(self._line)
        layout.addWidget(self.sentence)
        self._timer = QTimer(self, interval=_SHOWN_MS)
        self._timer.timeout.connect(self._show)
        host.when_closing(self._let_go)

    @property
    def running(self) -> bool:
        """True if something is being worked on."""
        return self._stop is not None

    def start(
        self,
        what: str,
        work: Work,
        then: Callable[[Any], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Call ``work(tell, cancelled)`` in a thread.

        What was started before is cancelled, and its outcome dropped.

        Parameters
        ----------
        what : str
            What is being done, for the person who waits: "Clustering".
        work : callable
            May tell how far it is with ``tell(done, total)``, and should raise `Cancelled` soon after ``cancelled()``
            turns true.
        then : callable
            Gets what the work returned, on the GUI thread. Not called where it failed or was cancelled: this widget
            says so itself.
        ended : callable
            Called at the end, whichever it is; to enable a button, say.
        """
        self.cancel()
        stop = self._stop = threading.Event()
        self._at, self._began = (0, 0), time.monotonic()

        def tell(done: int, total: int) -> None:
            if not stop.is_set():
                self._at = done, total

        def finish(call: Callable[[Any], None], outcome: Any) -> None:
            if self._stop is not stop:
                return
            self._end()
            try:
                call(outcome)
            finally:
                ended()

        self.sentence.say(f"{what}…")
        self._line.setVisible(True)
        self._show()
        self._timer.start()
        self._host.background.call(
            work,
            tell,
            stop.is_set,
            then=lambda value: finish(lambda v: self._done(v, then), value),
            failed=lambda error: finish(self._failed, error),
        )

    def cancel(self) -> None:
        """Ask the work to stop; it is heard within a moment."""
        if self._stop is not None:
            self._stop.set()
            self.sentence.say("Stopping…")

    def _let_go(self) -> None:
        """Ask the work to stop without a word: the dock is closed, and this widget may be gone."""
        if self._stop is not None:
            self._stop.set()

    def say(self, text: str) -> None:
        """Say a sentence below the bar."""
        self.sentence.say(text)

    def _end(self) -> None:
        self._stop = None
        self._timer.stop()
        self._line.setVisible(False)

    def _done(self, value: Any, then: Callable[[Any], None]) -> None:
        self.sentence.say("")
        then(value)

    def _failed(self, error: Exception) -> None:
        self.sentence.say("Stopped." if isinstance(error, Cancelled) else f"That did not work: {error_words(error)}")

    def _show(self) -> None:
        done, total = self._at
        self.bar.setRange(0, total)  # 0 of 0 is a bar that only moves
        self.bar.setValue(done)
        left = (time.monotonic() - self._began) / done * (total - done) if done and total else None
        self.bar.setFormat(f"%p%  {clock(left)} left" if left is not None else "%p%")
