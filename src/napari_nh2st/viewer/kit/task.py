"""Long pieces of work of one kind in the dock: how far the one that is shown is, and a way to stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QProgressBar, QPushButton, QWidget

from napari_nh2st.viewer.kit.background import Work
from napari_nh2st.viewer.kit.jobs import Jobs, Subjects
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.phrases import clock
from napari_nh2st.viewer.kit.texts import Sentence

_SHOWN_MS = 100


class Host(Protocol):
    """The dock in which a task runs."""

    @property
    def background(self) -> Threads:
        """The threads that do the work."""

    @property
    def subjects(self) -> Subjects:
        """The map in the window, with its slide: work that starts now is about these."""

    def when_closing(self, call: Callable[[], None]) -> None:
        """Call a function when the dock is closed."""


class Task(QWidget):
    """A progress bar with *Cancel* that takes no room while nothing runs, and a sentence about the last end.

    It shows the job for what is in the window, else one that goes on for another slide, by its name.

    Parameters
    ----------
    host : Host
    subjects : Subjects, optional
        What the work is about, where that is not the map in the window.
    says : bool
        False if the sentence about the end is said elsewhere.
    """

    def __init__(self, host: Host, subjects: Subjects | None = None, *, says: bool = True) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop; what was there before stays")
        self._line = QWidget()
        self._line.setLayout(row(self.bar, self.cancel_button, stretch=0))
        self._line.setVisible(False)
        self.sentence = Sentence()
        layout = column(self, spacing=2)
        layout.addWidget(self._line)
        if says:
            layout.addWidget(self.sentence)
        self._says = says
        self._timer = QTimer(self, interval=_SHOWN_MS)
        self._timer.timeout.connect(self._show_bar)
        self._jobs = Jobs(host.background, subjects or host.subjects, self._show)
        self.cancel_button.clicked.connect(self._jobs.cancel_shown)
        host.when_closing(self._jobs.close)

    @property
    def running(self) -> bool:
        """True if what is in the window is being worked on."""
        return self._jobs.current is not None

    def start(
        self,
        what: str,
        work: Work,
        then: Callable[[Any], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Call ``work(tell, cancelled)`` in a thread, for what is in the window, as `Jobs.start` does."""
        self._jobs.start(what, work, then, ended)

    def cancel(self) -> None:
        """Ask the work for what is in the window to stop; it is heard within a moment."""
        self._jobs.cancel()

    def cancel_all(self) -> None:
        """Ask all work of this kind to stop, whatever it is about, and drop what it came to."""
        self._jobs.cancel_all()

    def say(self, text: str) -> None:
        """Say a sentence below the bar."""
        self._jobs.say(text)

    def _show(self) -> None:
        job = self._jobs.shown
        if self._says:
            self.sentence.say(self._jobs.sentence)
        if job is None:
            self._line.setVisible(False)
            self._timer.stop()
            return
        self._show_bar()  # first: a bar in sight is drawn at once, and what has changed on the canvas with it
        self._line.setVisible(True)
        if not self._timer.isActive():
            self._timer.start()

    def _show_bar(self) -> None:
        job = self._jobs.shown
        if job is None:
            return
        done, total = job.at
        self.bar.setRange(0, total)  # 0 of 0 is a bar that only moves
        self.bar.setValue(done)
        self.bar.setFormat(f"%p%  {clock(job.left)} left" if job.left is not None else "%p%")
