"""A pandas frame as a Qt model that can be sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QIdentityProxyModel, QModelIndex, Qt
from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.kit.texts import plain_tip

if TYPE_CHECKING:
    import pandas as pd

_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_LETTERS = 9  # of a heading where there is no room: of a model's name, say
_SHORT = {"spread": "SD", "difference": "diff.", "elsewhere": "rest", "adjusted p": "adj. p", "measured": "meas."}


class FrameModel(QAbstractTableModel):
    """A pandas frame: its index is the first column."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.frame: Any = None
        self.tips: dict[str, str] = {}
        self.digits = 2
        self.short = False  # headings and numbers, where there is no room

    def set_frame(self, frame: pd.DataFrame | None) -> None:
        """Show another frame, or the same in another order."""
        self.beginResetModel()
        self.frame = frame
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, the signature is Qt's
        """Return how many genes there are."""
        return 0 if self.frame is None or parent.isValid() else len(self.frame)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return how many columns there are, that of the names among them."""
        return 0 if self.frame is None or parent.isValid() else self.frame.shape[1] + 1

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a heading or its tooltip."""
        if orientation != Qt.Orientation.Horizontal or self.frame is None or section > self.frame.shape[1]:
            return None
        name = self.heading(section)
        if role == Qt.ItemDataRole.DisplayRole:
            return shortened(name) if self.short else name
        if role == Qt.ItemDataRole.ToolTipRole:
            said = self.tips.get(name, "")
            if self.short and shortened(name) != name:
                said = f"{name}: {said[:1].lower()}{said[1:]}"
            return plain_tip(said)
        return None

    def heading(self, column: int) -> str:
        """Return the whole name of a column."""
        return str(self.frame.index.name or "gene") if column == 0 else str(self.frame.columns[column - 1])

    def words(self, row: int, column: int) -> str:
        """Return what a cell shows where there is room."""
        if column == 0:
            return str(self.frame.index[row])
        return written(self.frame.iat[row, column - 1], self.digits)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows, its alignment or its tooltip."""
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
        return (
            written(value, min(self.digits, 2) if self.short else self.digits)
            if role == Qt.ItemDataRole.DisplayRole
            else None
        )

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort the frame by a column; what is not known comes last."""
        if self.frame is None or not 0 <= column <= self.frame.shape[1]:
            return
        up = order == Qt.SortOrder.AscendingOrder
        if column == 0:
            self.set_frame(self.frame.sort_index(ascending=up, kind="stable", key=lambda names: names.str.casefold()))
        else:
            name = self.frame.columns[column - 1]
            self.set_frame(self.frame.sort_values(name, ascending=up, kind="stable", na_position="last"))


class WholeModel(QIdentityProxyModel):
    """The same frame where there is room: whole headings, all digits."""

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a column's whole name."""
        source = self.sourceModel()
        if (
            role == Qt.ItemDataRole.DisplayRole
            and orientation == Qt.Orientation.Horizontal
            and source.frame is not None
        ):
            return source.heading(section)
        return super().headerData(section, orientation, role)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if role == Qt.ItemDataRole.DisplayRole and index.isValid():
            return self.sourceModel().words(index.row(), index.column())
        return super().data(index, role)


def shortened(heading: str) -> str:
    """Return a heading for a column with little room."""
    if heading in _SHORT or len(heading) <= _LETTERS:
        return _SHORT.get(heading, heading)
    return f"{heading[: _LETTERS - 1]}…"


def written(value: Any, digits: int = 2) -> str:
    """Write a value for a cell."""
    if isinstance(value, float | np.floating):
        odd = abs(value) < 10.0**-digits or abs(value) >= 1000
        return "" if np.isnan(value) else f"{value:.3g}" if odd else f"{value:z.{digits}f}"
    return str(value)
