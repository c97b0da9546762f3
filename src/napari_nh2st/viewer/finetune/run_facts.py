"""Facts about a run at work: its device and speed, its notes, and the lines that it printed."""

from __future__ import annotations

from qtpy.QtWidgets import QPlainTextEdit, QWidget

from napari_nh2st.training.run.run_process import RunStatus
from napari_nh2st.viewer.finetune.messages import run_facts
from napari_nh2st.viewer.kit.fold import Fold
from napari_nh2st.viewer.kit.layout import column
from napari_nh2st.viewer.kit.texts import Note, Sentence

_LINES = 7  # of the log in sight


class RunFacts(QWidget):
    """A line of facts while the run is at work, and its notes, which stay."""

    def __init__(self) -> None:
        super().__init__()
        self.facts, self.notes = Sentence(), Note()
        self.facts.setToolTip(
            "Where the run computes, the most memory it has taken, and how many spots it learnt from in a second, all "
            "as of its last epoch"
        )
        layout = column(self, spacing=4)
        layout.addWidget(self.facts)
        layout.addWidget(self.notes)

    def show_status(self, status: RunStatus) -> None:
        """Show those of a run."""
        self.facts.say(run_facts(status.metrics) if status.active else "")
        self.notes.say("\n".join(f"{note[:1].upper()}{note[1:]}." for note in status.metrics.notes))
        self.setVisible(bool(self.facts.text() or self.notes.text()))


class LogFold(Fold):
    """The end of what a run printed, folded; it follows the run unless one has scrolled up in it."""

    def __init__(self) -> None:
        super().__init__("Log", "The end of what the run printed", self._make_text)
        self._text = ""

    def show_log(self, text: str) -> None:
        """Show a text; no log, no fold."""
        self._text = text
        self.setVisible(bool(text))
        if self._section is not None and self._section.toPlainText() != text:
            bar = self._section.verticalScrollBar()
            at, follows = bar.value(), bar.value() >= bar.maximum() - 1
            self._section.setPlainText(text)
            bar.setValue(bar.maximum() if follows else at)

    def _make_text(self) -> QPlainTextEdit:
        text = QPlainTextEdit(self._text, readOnly=True)
        text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        text.setFixedHeight(_LINES * text.fontMetrics().height() + 2 * text.frameWidth() + 20)
        text.setToolTip("The end of what the run printed")
        text.setAccessibleName("Log of the run")
        text.verticalScrollBar().setValue(text.verticalScrollBar().maximum())
        return text
