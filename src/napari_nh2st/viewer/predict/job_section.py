"""The one button that starts and cancels, how far the job is, and what to know about its result."""

from __future__ import annotations

import traceback

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QPlainTextEdit, QProgressBar, QPushButton, QWidget

from napari_nh2st.viewer.kit.activity import Activity
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.phrases import clock
from napari_nh2st.viewer.kit.texts import Banner, Note, SteadySentence
from napari_nh2st.viewer.predict.events import State, Status
from napari_nh2st.viewer.predict.messages import status_sentence

_PREDICT = "Predict gene expression there; what is predicted already is not computed again"
_CANCEL = "Stop within a moment (Esc); what is predicted already is kept"
_STOP = "No longer predict what comes into sight (Esc); what is predicted already is kept"


class JobSection(QWidget):
    """Predict, or Cancel while it runs; the rest of the dock stays usable."""

    start = Signal()
    cancel = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._running = self._following = False
        self.activity = Activity("NH2ST: predicting")
        self._status = Status()
        self._timer = QTimer(self, interval=250)
        self._timer.timeout.connect(self._show_activity)
        self.button = QPushButton("Predict")
        self.button.setToolTip(_PREDICT)
        self.button.setMinimumWidth(84)
        self.button.clicked.connect(self._pressed)
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.bar.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.bar.setVisible(False)
        self.sentence = SteadySentence()
        self.details = QPushButton("Details")
        self.details.setToolTip("Show the technical account of what went wrong, to send with a report")
        self.details.setVisible(False)
        self.details.clicked.connect(lambda: self.account.setVisible(self.account.isHidden()))
        self.account = QPlainTextEdit(readOnly=True)
        self.account.setMaximumHeight(140)
        self.account.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.account.setVisible(False)
        self.banner = Banner()
        self.limits = Note()
        self.limits.setToolTip("How far this model's training reaches, seen from this slide")
        layout = column(self)
        layout.addLayout(row(self.button, self.bar, stretch=1))
        layout.addLayout(row(self.sentence, self.details, stretch=0))
        layout.addWidget(self.account)
        layout.addWidget(self.banner)
        layout.addWidget(self.limits)

    def _pressed(self) -> None:
        (self.cancel if self._running or self._following else self.start).emit()

    def show_following(self, on: bool) -> None:
        """Offer to stop for as long as the view is followed, be there something to do or not."""
        self._following = on
        self._label()

    def _label(self) -> None:
        self.button.setText("Stop" if self._following else "Cancel" if self._running else "Predict")
        self.button.setToolTip(_STOP if self._following else _CANCEL if self._running else _PREDICT)

    def show_plain(self, text: str, *, ready: bool) -> None:
        """Say what is to do while no job runs."""
        self.button.setEnabled(ready)
        self.sentence.say(text)

    def show_warnings(self, warnings: tuple[str, ...] | list[str]) -> None:
        """Show, in plain sight, what must be known before the result is believed."""
        self.banner.say("\n".join(warnings))

    def show_limits(self, limits: list[str]) -> None:
        """Show how far the model's training reaches: said of every slide, so not in the colours of an alarm."""
        self.limits.say("\n".join(limits))

    def show_status(self, status: Status) -> None:
        """Show the state of the job."""
        self._status, self._running = status, status.state is State.RUNNING
        self._label()
        self.button.setEnabled(status.step != "stopping")
        self.sentence.say(status_sentence(status))
        self._show_error(status.error)
        if not self._running:
            self.bar.setVisible(False)
            self._timer.stop()
            self.activity.close()
            return
        self.bar.setRange(0, status.total)  # 0 to 0 is "busy" while the number of tiles is not known
        self.bar.setValue(status.done)
        left = clock(status.seconds_left)
        self.bar.setFormat(f"%p%   {left} left" if left else "%p%")
        self.bar.setVisible(True)  # last: a bar in sight is drawn at once, and what has changed on the canvas with it
        if not self._timer.isActive() and not status.follow:  # a view is mostly there before a bar would be drawn
            self._timer.start()

    def _show_error(self, error: Exception | None) -> None:
        self.details.setVisible(error is not None)
        if error is None:
            self.account.setVisible(False)
        else:
            self.account.setPlainText("".join(traceback.format_exception(error)))

    def _show_activity(self) -> None:
        if self._running and self._status.total:
            self.activity.show(self._status.done, self._status.total)
