"""The table of the runs that were started on this machine, and buttons for the run that is chosen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QAbstractItemView, QGridLayout, QHeaderView, QTableWidget, QTableWidgetItem, QWidget
from superqt.utils import signals_blocked

from napari_nh2st.training.run.runs import RunLine
from napari_nh2st.viewer.finetune.messages import run_state
from napari_nh2st.viewer.finetune.run_queue_presenter import RunQueuePresenter, reasons_off
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column
from napari_nh2st.viewer.kit.phrases import when
from napari_nh2st.viewer.kit.texts import Sentence, paragraphs, plain_tip

_EVERY_MS = 2000
_LINES_IN_SIGHT = 5
_COLUMNS = {
    "begun": "When it was last started or resumed",
    "name": "Its folder",
    "state": "What it is doing, or how it ended",
    "PCC": "Mean correlation on what was held out; before the end, the best so far on inner blocks",
}
OnRun = Callable[[RunLine], object]


class RunQueue(QWidget):
    """A table of runs, the last one first.

    Parameters
    ----------
    presenter : RunQueuePresenter
    on_open, on_resume, on_use : callable
        Called with the chosen run.
    """

    def __init__(self, presenter: RunQueuePresenter, *, on_open: OnRun, on_resume: OnRun, on_use: OnRun) -> None:
        super().__init__()
        self.presenter = presenter
        self.note = Sentence()
        self._poll = QTimer(self, interval=_EVERY_MS)
        self._poll.timeout.connect(presenter.refresh)
        self._make_table()
        self.open = action_button("Open", "Show this run above, with its curves and its log", self._calling(on_open))
        self.table.itemDoubleClicked.connect(lambda _: self._calling(on_open)())
        self.resume = action_button(
            "Resume",
            "Continue from the last finished epoch, with the settings that the run was started with",
            self._calling(on_resume),
        )
        self.use = action_button("Use model", "Choose the trained model in the NH2ST dock", self._calling(on_use))
        self.forget = action_button(
            "Remove from list", "Remove the run from this list. Its files stay", self._calling(presenter.forget)
        )
        layout = column(self, spacing=4)
        layout.addWidget(self.table)
        buttons = QGridLayout()  # in two rows: the dock is narrow
        buttons.setSpacing(6)
        for at, button in enumerate((self.open, self.resume, self.use, self.forget)):
            buttons.addWidget(button, at // 2, at % 2)
        layout.addLayout(buttons)
        layout.addWidget(self.note)
        presenter.state.events.lines.connect(self._show)
        presenter.state.events.note.connect(self.note.say)
        self._show()

    @property
    def chosen(self) -> RunLine | None:
        """The run whose row is selected."""
        folder = self._chosen_folder()
        return next((line for line in self.presenter.state.lines if line.folder == folder), None)

    def close_down(self) -> None:
        """Look at the runs no more."""
        self._poll.stop()

    def changeEvent(self, event: QEvent) -> None:
        """Keep rows as high as their text when the font or the theme changes."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange) and hasattr(self, "forget"):
            self._fit()

    def _make_table(self) -> None:
        self.table = QTableWidget(0, len(_COLUMNS))
        for at, (name, tip) in enumerate(_COLUMNS.items()):
            item = QTableWidgetItem(name)
            item.setToolTip(plain_tip(tip))
            self.table.setHorizontalHeaderItem(at, item)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setTabKeyNavigation(False)
        self.table.setWordWrap(False)
        self.table.verticalHeader().setVisible(False)
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.itemSelectionChanged.connect(self._update_buttons)

    def _calling(self, function: OnRun) -> Callable[[], object]:
        """Return a function that calls another one with the chosen run."""
        return lambda: function(self.chosen) if self.chosen is not None else None

    def _chosen_folder(self) -> Path | None:
        rows = self.table.selectionModel().selectedRows()
        return Path(self.table.item(rows[0].row(), 0).data(Qt.ItemDataRole.UserRole)) if rows else None

    def _show(self) -> None:
        lines, chosen, now = self.presenter.state.lines, self._chosen_folder(), time.time()
        with signals_blocked(self.table):
            self.table.setRowCount(len(lines))
            for at, line in enumerate(lines):
                best = "" if line.best is None else f"{line.best:z.3f}"
                self._show_row(
                    at, line, (when(line.started, now), line.folder.name, run_state(line.state, line.stage), best)
                )
                if line.folder == chosen:
                    self.table.selectRow(at)
        if self.presenter.state.active:
            self._poll.start()
        else:
            self._poll.stop()
        self._fit()
        self._update_buttons()

    def _show_row(self, at: int, line: RunLine, texts: Sequence[str]) -> None:
        tip = paragraphs([str(line.folder), *filter(None, (line.message, line.active and line.stage))])
        for place, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(plain_tip(tip))
            item.setData(Qt.ItemDataRole.UserRole, str(line.folder))
            self.table.setItem(at, place, item)

    def _update_buttons(self) -> None:
        reasons = reasons_off(self.chosen)
        self.open.set_reason_off(reasons.open)
        self.resume.set_reason_off(reasons.resume)
        self.use.set_reason_off(reasons.use)
        self.forget.set_reason_off(reasons.forget)

    def _fit(self) -> None:
        """Make room for a few rows, no more than there are."""
        line = self.table.fontMetrics().height() + 6
        self.table.verticalHeader().setDefaultSectionSize(line)
        rows = min(max(self.table.rowCount(), 1), _LINES_IN_SIGHT)
        head = self.table.horizontalHeader().sizeHint().height()
        self.table.setFixedHeight(head + rows * line + 2 * self.table.frameWidth())
