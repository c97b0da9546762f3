"""The runs that were started on this machine: where each stands, and what can be done with it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QEvent, Qt, QTimer, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QPushButton, QTableWidget, QTableWidgetItem, QWidget

from napari_nh2st.training.run import runs
from napari_nh2st.training.run.run_process import RunProcess
from napari_nh2st.training.run.runs import RunLine
from napari_nh2st.viewer.finetune.messages import run_state
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.phrases import error_words, when
from napari_nh2st.viewer.kit.texts import Sentence, paragraphs

_EVERY_MS = 2000
_LINES_IN_SIGHT = 5
_COLUMNS = {
    "begun": "When it was started or resumed last",
    "name": "Its folder",
    "state": "Where it stands",
    "PCC": "Mean correlation on what was held out; before the end, the best so far on inner blocks",
}


class RunsPart(QWidget):
    """A table of runs, the last one first, with buttons for the one that is chosen.

    Parameters
    ----------
    background : Background
        Runs are looked at there: their files may lie on slow storage.
    """

    opened = Signal(object)
    resumed = Signal(object)
    used = Signal(object)
    changed = Signal()

    def __init__(self, background: Background) -> None:
        super().__init__()
        self._background = background
        self._jobs: dict[Path, RunProcess] = {}
        self._looking = self._again = False
        self.lines: list[RunLine] = []
        self._timer = QTimer(self, interval=_EVERY_MS)
        self._timer.timeout.connect(self.refresh)
        self._make()
        layout = column(self, spacing=4)
        layout.addWidget(self.table)
        layout.addLayout(row(self.open, self.resume, self.use, self.forget, stretch=2))
        layout.addWidget(self.note)
        self._show()

    def _make(self) -> None:
        self.table = QTableWidget(0, len(_COLUMNS))
        for at, (name, tip) in enumerate(_COLUMNS.items()):
            item = QTableWidgetItem(name)
            item.setToolTip(tip)
            self.table.setHorizontalHeaderItem(at, item)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setTabKeyNavigation(False)
        self.table.setWordWrap(False)
        self.table.verticalHeader().setVisible(False)
        self.table.horizontalHeader().setHighlightSections(False)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.itemSelectionChanged.connect(self._update_buttons)
        self.table.itemDoubleClicked.connect(lambda _: self.opened.emit(self.chosen))
        self.open, self.resume = QPushButton("Open"), QPushButton("Resume")
        self.use, self.forget = QPushButton("Use model"), QPushButton("Forget")
        self.open.clicked.connect(lambda: self.opened.emit(self.chosen))
        self.resume.clicked.connect(lambda: self.resumed.emit(self.chosen))
        self.use.clicked.connect(lambda: self.used.emit(self.chosen))
        self.forget.clicked.connect(self._forget)
        self.note = Sentence()

    @property
    def chosen(self) -> RunLine | None:
        """The run whose row is selected."""
        rows = self.table.selectionModel().selectedRows()
        return self.lines[rows[0].row()] if rows and rows[0].row() < len(self.lines) else None

    def at_work(self, beside: Path) -> list[Path]:
        """Return the folders of the runs that are at work or wait, but for one."""
        mine = beside.expanduser().resolve()
        return [line.folder for line in self.lines if line.active and line.folder != mine]

    def begun(self, folder: Path) -> None:
        """Put a run that was just started on the list."""
        try:
            runs.remember(folder)
        except OSError as error:
            self.note.say(f"The run goes on, but the list of runs cannot be written: {error}")
        first = RunLine(folder.expanduser().resolve(), "starting", time.time())
        self.lines = [first, *(line for line in self.lines if line.folder != first.folder)]
        self._show()
        self.refresh()

    def refresh(self) -> None:
        """Look at all runs, in the background."""
        if self._looking:
            self._again = True
            return
        self._looking, self._again = True, False
        self._background.call(self._look, then=self._found, failed=self._failed)

    def shut(self) -> None:
        """Look no more."""
        self._timer.stop()

    def _look(self) -> list[RunLine]:
        return [runs.line_of(self._jobs.setdefault(folder, RunProcess(folder))) for folder in runs.known_runs()]

    def _found(self, lines: list[RunLine]) -> None:
        self._looking = False
        if self._again:
            self.refresh()
        elif lines != self.lines:
            self.lines = lines
            self._show()
        if any(line.active for line in self.lines):
            self._timer.start()
        else:
            self._timer.stop()

    def _failed(self, error: Exception) -> None:
        self._looking = False
        self.note.say(f"The list of runs cannot be read: {error_words(error)}")

    def _show(self) -> None:
        chosen, now = self.chosen_folder(), time.time()
        self.table.blockSignals(True)
        self.table.setRowCount(len(self.lines))
        for at, line in enumerate(self.lines):
            best = "" if line.best is None else f"{line.best:.3f}"
            texts = (when(line.started, now), line.folder.name, run_state(line.state), best)
            self._show_row(at, texts, paragraphs([str(line.folder), *([line.message] if line.message else [])]))
            if line.folder == chosen:
                self.table.selectRow(at)
        self.table.blockSignals(False)
        self._fit()
        self._update_buttons()
        self.changed.emit()

    def chosen_folder(self) -> Path | None:
        """Return the folder of the selected row, by what the table shows."""
        rows = self.table.selectionModel().selectedRows()
        return Path(self.table.item(rows[0].row(), 0).data(Qt.ItemDataRole.UserRole)) if rows else None

    def _show_row(self, at: int, texts: Sequence[str], tip: str) -> None:
        for place, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(tip)
            item.setData(Qt.ItemDataRole.UserRole, str(self.lines[at].folder))
            self.table.setItem(at, place, item)

    def _update_buttons(self) -> None:
        line = self.chosen
        nothing = "" if line else "Choose a run in the list first"
        ended = not line or not line.active
        whys = (
            (self.open, "Show this run above: its curves, and its log where it ended early", nothing),
            (
                self.resume,
                "Go on from the last finished epoch, with the settings that the run was started with",
                nothing
                or ("" if ended else "This run is at work already")
                or ("This run has ended" if line and line.state == "done" else "")
                or ("" if line and line.resumable else "Nothing of this run was kept to go on from"),
            ),
            (
                self.use,
                "Choose the trained model in the NH2ST dock",
                nothing or ("" if line and line.model else "This run has no model yet"),
            ),
            (
                self.forget,
                "Take the run off this list; its files stay",
                nothing or ("" if ended else "This run is at work: stop it first"),
            ),
        )
        for button, tip, why_not in whys:
            button.setEnabled(not why_not)
            button.setToolTip(why_not or tip)

    def _forget(self) -> None:
        line = self.chosen
        if line is None:
            return
        try:
            runs.forget(line.folder)
        except OSError as error:
            self.note.say(f"The list of runs cannot be written: {error}")
        self.refresh()

    def changeEvent(self, event: QEvent) -> None:
        """Keep rows as high as their text when the font or the theme changes."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange) and hasattr(self, "note"):
            self._fit()

    def _fit(self) -> None:
        """Make room for a few rows, no more than there are, and for none where no run is known."""
        line = self.table.fontMetrics().height() + 6
        self.table.verticalHeader().setDefaultSectionSize(line)
        shown = min(max(len(self.lines), 1), _LINES_IN_SIGHT)
        head = self.table.horizontalHeader().sizeHint().height()
        self.table.setFixedHeight(head + shown * line + 2 * self.table.frameWidth())
