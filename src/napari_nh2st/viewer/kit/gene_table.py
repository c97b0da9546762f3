"""A table of genes: sorted by a click on its head, and a click on a row shows the gene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget
from superqt.utils import signals_blocked

from napari_nh2st.atomic import finished_file
from napari_nh2st.reading import written_frame
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.frame_model import FrameModel
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.phrases import count
from napari_nh2st.viewer.kit.table_window import COPY_TIP, FrameView, TableWindow
from napari_nh2st.viewer.kit.texts import Sentence

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 8  # in sight
_LEAST_LETTERS = 6  # of a gene's name, where that keeps all columns in sight
_MOST_LETTERS = 12  # where columns are out of sight anyway


class Files(Protocol):
    """Knows in which folder files are saved."""

    def path_for(self, name: str) -> Path:
        """Return the path that a dialog proposes for a file's name."""

    def saved(self, path: str) -> None:
        """Remember where a file was saved."""


class GeneTable(QWidget):
    """A frame with one row a gene (its index), with buttons that enlarge, copy and save it.

    Sorting, and another frame with the same columns, keep the row that is chosen and the column that it is sorted by.

    Parameters
    ----------
    what : str
        Names the file that is proposed: "pcc of C5".
    files : Files, optional
        Knows the folder in which the dialog opens.
    """

    gene_clicked = Signal(str)

    def __init__(self, what: str, files: Files | None = None) -> None:
        super().__init__()
        self.what, self._files = what, files
        self._saved: Any = None
        self._gene = ""
        self._model = FrameModel(self)
        self._window: TableWindow | None = None
        self.view = FrameView(self._model)
        self.view.setToolTip("Click a row to show the gene; click a column's head to sort by it")
        self.view.row_chosen.connect(self._tell)
        self._model.modelReset.connect(self._choose_again)
        self.view.horizontalHeader().sortIndicatorChanged.connect(self._move_arrow)
        self.enlarge = action_button("Enlarge", "Show the table in a window of its own", self._enlarge)
        self.copy = action_button("Copy", COPY_TIP, self._copy)
        self.save = action_button("Save as CSV…", "Save the whole table", self._ask)
        self.note = Sentence(dim=True)
        layout = column(self, spacing=2)
        layout.addWidget(self.view)
        buttons = row(self.enlarge, self.copy, self.save)
        buttons.addStretch(1)
        layout.addLayout(buttons)
        layout.addWidget(self.note)
        self.setVisible(False)

    @property
    def frame(self) -> Any:
        """The table as it is shown, in its order; None if it is empty."""
        return self._model.frame

    def show_frame(
        self,
        frame: pd.DataFrame | None,
        *,
        sort_by: str | None = None,
        tips: dict[str, str] | None = None,
        digits: int = 2,
        saved: pd.DataFrame | None = None,
    ) -> None:
        """Show another frame, highest values of `sort_by` first; or nothing.

        Parameters
        ----------
        frame : DataFrame
            Its index names the genes and has a name; columns are numbers or short texts.
        sort_by : str, optional
            A column. Where the columns are those of before, what the user sorted by stays.
        tips : dict, optional
            Tooltips of columns by their names.
        digits : int
            After the point.
        saved : DataFrame, optional
            What is saved instead, without its index: all regions of which one is shown, say.
        """
        before = None if self.frame is None else list(self.frame.columns)
        self._model.tips, self._model.digits, self._saved = tips or {}, digits, saved
        self.setVisible(frame is not None and len(frame) > 0)
        self.note.say("")
        self._model.set_frame(frame)
        if frame is None or not len(frame):
            return
        header = self.view.horizontalHeader()
        if before == list(frame.columns) and 0 <= header.sortIndicatorSection() <= len(before):
            self._model.sort(header.sortIndicatorSection(), header.sortIndicatorOrder())
        elif sort_by is not None:
            self.view.sortByColumn(list(frame.columns).index(sort_by) + 1, Qt.SortOrder.DescendingOrder)
        self._fit()
        if self._window is not None:
            self._window.show_frame(self.what)

    def write(self, path: str | Path) -> Path:
        """Write the table as CSV, in the order in which it is shown; a file appears only when it is complete."""
        target = Path(path)
        with finished_file(target) as draft:
            if self._saved is None:
                written_frame(self.frame.reset_index()).to_csv(draft, index=False)
            else:
                written_frame(self._saved).to_csv(draft, index=False)
        return target

    def changeEvent(self, event: QEvent) -> None:
        """Keep rows as high as their text when the font or the theme changes."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange) and self.frame is not None:
            self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep all columns in sight."""
        super().resizeEvent(event)
        if self.frame is not None and event.size().width() != event.oldSize().width():
            self._fit_columns()

    def _fit(self) -> None:
        """Make room for a few rows, no more than there are, and for all columns."""
        vertical, horizontal = self.view.verticalHeader(), self.view.horizontalHeader()
        vertical.setDefaultSectionSize(self.view.fontMetrics().height() + 6)
        rows = min(len(self.frame), _ROWS) * vertical.defaultSectionSize()
        below = self.view.horizontalScrollBar().sizeHint().height()
        self.view.setFixedHeight(rows + horizontal.sizeHint().height() + below + 2 * self.view.frameWidth())
        self._fit_columns()

    def _fit_columns(self) -> None:
        """Shorten headings and numbers, then the names of genes, until all columns are in sight."""
        room = self.width() - self.view.verticalScrollBar().sizeHint().width() - 2 * self.view.frameWidth()
        for short in (False, True):
            self._model.short = short
            widths = self.view.natural_widths(roomy=not short)
            if sum(widths) <= room:
                break
        names, others = widths[0], sum(widths[1:])
        least, most = (
            min(names, self.view.fontMetrics().horizontalAdvance("X" * letters))
            for letters in (_LEAST_LETTERS, _MOST_LETTERS)
        )
        widths[0] = max(most if least + others > room else least, room - others)
        for column_, width in enumerate(widths):
            self.view.setColumnWidth(column_, width)

    def _move_arrow(self) -> None:
        """Make room for the arrow in the heading of another column, where there is none in all of them."""
        if self.frame is not None and self._model.short:
            self._fit_columns()

    def _enlarge(self) -> None:
        if self._window is None:
            self._window = TableWindow(self, self.view)
            self._window.row_chosen.connect(self._tell)
            self._window.copied.connect(self._copy)
            self._window.saved.connect(self._ask)
        self._window.show_frame(self.what)
        self._window.show()
        self._window.raise_()

    def _copy(self) -> None:
        QApplication.clipboard().setText(self.frame.reset_index().to_csv(sep="\t", index=False))
        self.note.say(f"Copied {count(len(self.frame), 'row')}.")

    def _tell(self, at: int) -> None:
        self._gene = str(self.frame.index[at])
        self.gene_clicked.emit(self._gene)

    def _choose_again(self) -> None:
        """Mark the row that was chosen before rows moved."""
        rows = [] if self.frame is None else np.flatnonzero(self.frame.index == self._gene)
        if not len(rows):
            return
        at = self._model.index(int(rows[0]), 0)
        with signals_blocked(self.view.selectionModel()):
            self.view.setCurrentIndex(at)

    def _ask(self) -> None:
        proposed = f"{self.what}.csv" if self._files is None else str(self._files.path_for(f"{self.what}.csv"))
        path, _ = QFileDialog.getSaveFileName(self, "Save the table", proposed, "table (*.csv)")
        if not path:
            return
        if self._files is not None:
            self._files.saved(path)
        try:
            self.note.say(f"Saved {self.write(path)}")
        except OSError as error:
            self.note.say(f"Could not save: {error}")
