"""A table in a window of its own, and the view of a frame that it shares with the dock."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QModelIndex, QObject, Qt, Signal
from qtpy.QtGui import QKeySequence, QMouseEvent, QShortcut
from qtpy.QtWidgets import QAbstractItemView, QDockWidget, QHeaderView, QTableView, QWidget
from superqt.utils import signals_blocked

from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.frame_model import FrameModel, WholeModel
from napari_nh2st.viewer.kit.layout import column, row

COPY_TIP = "Copy the whole table, to paste it into a spreadsheet (Ctrl+C)"
_SAMPLE = 50  # rows that say how wide a column is
_PADDING, _TIGHT, _ARROW = 10, 8, 16  # pixels; the arrow stands in the heading of the column that it is sorted by
_WIDEST = 18  # letters of the widest column
_SIZE = 520, 600


class FrameView(QTableView):
    """A view of a frame: a click on a head sorts it, a row that is chosen or clicked again is told.

    Parameters
    ----------
    like : FrameView, optional
        Another view of the same frame, which both sort.
    """

    row_chosen = Signal(int)

    def __init__(self, model: FrameModel | WholeModel, like: FrameView | None = None) -> None:
        super().__init__()
        self._pressed_on = -1
        self.setModel(model)
        if like is not None:
            self._sort_as(like)
            like._sort_as(self)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)  # Tab leaves the table
        self.verticalHeader().setVisible(False)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.horizontalHeader().setMinimumSectionSize(20)
        self.selectionModel().currentRowChanged.connect(self._moved)
        self.clicked.connect(self._clicked)

    def _sort_as(self, other: FrameView) -> None:
        """Mark the column by which another view of the same frame is sorted."""
        head, others = self.horizontalHeader(), other.horizontalHeader()

        def mark() -> None:
            with signals_blocked(head):
                head.setSortIndicator(others.sortIndicatorSection(), others.sortIndicatorOrder())
            head.viewport().update()

        others.sortIndicatorChanged.connect(mark)
        mark()

    def natural_widths(self, *, roomy: bool = True) -> list[int]:
        """Return how wide each column would be, in pixels, by its heading and its first rows.

        Parameters
        ----------
        roomy : bool
            Each heading has room for the arrow, not only that of the column by which the table is sorted.
        """
        model, cells, head = self.model(), self.fontMetrics(), self.horizontalHeader().fontMetrics()
        rows, widths = range(min(model.rowCount(), _SAMPLE)), []
        most = _WIDEST * cells.averageCharWidth()
        for at in range(model.columnCount()):
            heading = head.horizontalAdvance(str(model.headerData(at, Qt.Orientation.Horizontal)))
            if roomy or at == self.horizontalHeader().sortIndicatorSection():
                heading += _ARROW
            texts = [cells.horizontalAdvance(str(model.data(model.index(i, at)))) for i in rows]
            widths.append(min(max([heading, *texts]), most) + (_PADDING if roomy else _TIGHT))
        return widths

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Remember which row was current before."""
        self._pressed_on = self.currentIndex().row()
        super().mousePressEvent(event)

    def _moved(self, index: QModelIndex, before: QModelIndex) -> None:
        if index.isValid():
            self.row_chosen.emit(index.row())

    def _clicked(self, index: QModelIndex) -> None:
        if index.row() == self._pressed_on:  # else it has been told when the row became the current one
            self.row_chosen.emit(index.row())


class TableWindow(QWidget):
    """The table of a dock in a window of its own; it closes with the dock."""

    row_chosen = Signal(int)
    copied = Signal()
    saved = Signal()

    def __init__(self, owner: QWidget, view: FrameView) -> None:
        super().__init__(owner, Qt.WindowType.Window)
        self._whole = WholeModel(self)
        self._whole.setSourceModel(view.model())
        self.view = FrameView(self._whole, view)
        self.view.row_chosen.connect(self.row_chosen)
        self.copy = action_button("Copy", COPY_TIP, self.copied.emit)
        self.save = action_button("Save as CSV…", "Save the whole table", self.saved.emit)
        QShortcut(QKeySequence.StandardKey.Copy, self, self.copied.emit)
        QShortcut(QKeySequence("Esc"), self, self.close)
        layout = column(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.view)
        buttons = row(self.copy, self.save)
        buttons.addStretch(1)
        layout.addLayout(buttons)
        self.resize(*_SIZE)
        self._follow(owner)

    def show_frame(self, title: str) -> None:
        """Show what the dock's table shows; without rows the window closes."""
        self.setWindowTitle(title)
        if not self._whole.rowCount():
            self.close()
            return
        for at, width in enumerate(self.view.natural_widths()):
            self.view.setColumnWidth(at, width)

    def _follow(self, owner: QWidget) -> None:
        """Hear when the dock that the table stands in is closed: napari takes what is in it out of it."""
        part: QWidget | None = owner
        while part is not None and not isinstance(part, QDockWidget):
            part.installEventFilter(self)
            part = part.parentWidget()

    def eventFilter(self, part: QObject, event: QEvent) -> bool:
        """Close with the dock."""
        if event.type() == QEvent.Type.ParentChange:
            self.close()
        return False
