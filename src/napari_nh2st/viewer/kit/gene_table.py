"""A table of genes: sorted by a click on its head, and a click on a row shows the gene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QEvent, QModelIndex, Qt, Signal
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QAbstractItemView, QFileDialog, QHeaderView, QPushButton, QTableView, QWidget

from napari_nh2st.atomic import finished_file
from napari_nh2st.reading import written_frame
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.texts import Sentence, plain_tip

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 8  # in sight
_LETTERS = 18  # of the widest column
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


class _Frame(QAbstractTableModel):
    """A pandas frame: its index is the first column."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.frame: Any = None
        self.tips: dict[str, str] = {}
        self.digits = 2

    def set_frame(self, frame: pd.DataFrame | None) -> None:
        self.beginResetModel()
        self.frame = frame
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, the signature is Qt's
        return 0 if self.frame is None or parent.isValid() else len(self.frame)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if self.frame is None or parent.isValid() else self.frame.shape[1] + 1

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or self.frame is None or section > self.frame.shape[1]:
            return None
        name = str(self.frame.index.name or "gene") if section == 0 else str(self.frame.columns[section - 1])
        if role == Qt.ItemDataRole.DisplayRole:
            return name
        return plain_tip(self.tips.get(name, "")) if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if self.frame is None or not index.isValid():
            return None
        if index.column() == 0:
            name = str(self.frame.index[index.row()])
            if role == Qt.ItemDataRole.ToolTipRole:  # a long name is cut off
                return plain_tip(name)
            return name if role == Qt.ItemDataRole.DisplayRole else None
        value = self.frame.iat[index.row(), index.column() - 1]
        number = isinstance(value, int | float | np.number)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if number else None
        return _words(value, self.digits) if role == Qt.ItemDataRole.DisplayRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if self.frame is None or not 0 <= column <= self.frame.shape[1]:
            return
        up = order == Qt.SortOrder.AscendingOrder
        if column == 0:
            self.set_frame(self.frame.sort_index(ascending=up, kind="stable", key=lambda names: names.str.casefold()))
        else:
            name = self.frame.columns[column - 1]
            self.set_frame(self.frame.sort_values(name, ascending=up, kind="stable", na_position="last"))


class _View(QTableView):
    """A table that remembers which row was current before a press of the mouse."""

    pressed_on = -1

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.pressed_on = self.currentIndex().row()
        super().mousePressEvent(event)


class GeneTable(QWidget):
    """A frame with one row a gene (its index), under a line of text, with a button that saves it.

    Sorting, and another frame with the same columns, keep the row that is chosen and the column that it is sorted by.

    Parameters
    ----------
    what : str
        Names the file that is proposed: "pcc of C5".
    """

    gene_clicked = Signal(str)

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self._saved: Any = None
        self._gene = ""
        self._model = _Frame(self)
        self.view = _View()
        self.view.setModel(self._model)
        self.view.setSortingEnabled(True)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setWordWrap(False)
        self.view.setTabKeyNavigation(False)  # Tab leaves the table
        self.view.verticalHeader().setVisible(False)
        self.view.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.view.horizontalHeader().setResizeContentsPrecision(50)
        self.view.setToolTip("Click a row to show the gene; click a column's head to sort by it")
        self.view.selectionModel().currentRowChanged.connect(self._moved)
        self.view.clicked.connect(self._clicked)
        self._model.modelReset.connect(self._choose_again)
        self.save = QPushButton("Save as CSV…")
        self.save.setToolTip("Save the whole table")
        self.save.clicked.connect(self._ask)
        self.note = Sentence(dim=True)
        layout = column(self, spacing=2)
        layout.addWidget(self.view)
        layout.addLayout(row(self.note, self.save, stretch=0))
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

    def _fit(self) -> None:
        """Make room for a few rows, no more than there are."""
        vertical, horizontal = self.view.verticalHeader(), self.view.horizontalHeader()
        vertical.setDefaultSectionSize(self.view.fontMetrics().height() + 6)
        horizontal.setMaximumSectionSize(_LETTERS * self.view.fontMetrics().averageCharWidth() + 12)
        rows = min(len(self.frame), _ROWS) * vertical.defaultSectionSize()
        below = self.view.horizontalScrollBar().sizeHint().height()
        self.view.setFixedHeight(rows + horizontal.sizeHint().height() + below + 2 * self.view.frameWidth())

    def _moved(self, index: QModelIndex, before: QModelIndex) -> None:
        if index.isValid():
            self._tell(index.row())

    def _clicked(self, index: QModelIndex) -> None:
        if index.row() == self.view.pressed_on:  # else it has been told when the row became the current one
            self._tell(index.row())

    def _tell(self, at: int) -> None:
        self._gene = str(self.frame.index[at])
        self.gene_clicked.emit(self._gene)

    def _choose_again(self) -> None:
        """Mark the row that was chosen before rows moved."""
        rows = [] if self.frame is None else np.flatnonzero(self.frame.index == self._gene)
        if not len(rows):
            return
        at = self._model.index(int(rows[0]), 0)
        self.view.selectionModel().blockSignals(True)
        self.view.setCurrentIndex(at)
        self.view.selectionModel().blockSignals(False)

    def _ask(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the table", f"{self.what}.csv", "table (*.csv)")
        if not path:
            return
        try:
            self.note.say(f"Saved {self.write(path)}")
        except OSError as error:
            self.note.say(f"Could not save: {error}")


def _words(value: Any, digits: int = 2) -> str:
    if isinstance(value, float | np.floating):
        odd = abs(value) < 10.0**-digits or abs(value) >= 1000
        return "" if np.isnan(value) else f"{value:.3g}" if odd else f"{value:z.{digits}f}"
    return str(value)
