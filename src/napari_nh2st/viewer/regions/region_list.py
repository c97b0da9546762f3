"""The list of regions: their names, which can be changed, and how much of each is predicted."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem
from superqt.utils import signals_blocked

from napari_nh2st.viewer.kit.swatch import swatch
from napari_nh2st.viewer.kit.texts import plain_tip
from napari_nh2st.viewer.regions.messages import area_words
from napari_nh2st.viewer.regions.presenter import Listed

_ROWS = 5  # in sight
_EDITABLE = Qt.ItemFlag.ItemIsEditable


class RegionList(QTableWidget):
    """One row a region: a click chooses it, a double click renames it."""

    chosen = Signal(str)
    renamed = Signal(str, str)

    def __init__(self) -> None:
        super().__init__(0, 3)
        self.setHorizontalHeaderLabels(["region", "predicted", "mm²"])
        self.setToolTip("Click a region to see its genes; double-click its name to change it")
        self.verticalHeader().setVisible(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        head = self.horizontalHeader()
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            head.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self._names: list[str] = []
        self.itemSelectionChanged.connect(self._selected)
        self.itemChanged.connect(self._edited)
        self.setVisible(False)

    @property
    def region(self) -> str:
        """The chosen region, empty where there is none."""
        at = self.currentRow()
        return self._names[at] if 0 <= at < len(self._names) else ""

    def show_regions(self, regions: list[Listed], choose: str = "") -> None:
        """List regions and choose one by its name; else the chosen one stays, or the first is chosen."""
        if self.state() == QAbstractItemView.State.EditingState:
            return  # somebody is typing a name; it is listed anew when it is there
        kept = choose or self.region
        with signals_blocked(self):
            self._names = [region.name for region in regions]
            self.setRowCount(len(regions))
            for at, region in enumerate(regions):
                area = "" if region.area is None else area_words(region.area)
                cells = [QTableWidgetItem(text) for text in (region.name, region.predicted, area)]
                cells[0].setIcon(swatch(region.colour))
                for i, cell in enumerate(cells):
                    cell.setToolTip(plain_tip(cell.text()))
                    if i:
                        cell.setFlags(cell.flags() & ~_EDITABLE)
                    self.setItem(at, i, cell)
            if regions:
                self.selectRow(self._names.index(kept) if kept in self._names else 0)
        self.setVisible(bool(regions))
        self._fit()

    def changeEvent(self, event: QEvent) -> None:
        """Keep rows as high as their text when the font or the theme changes."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def _fit(self) -> None:
        height = self.fontMetrics().height() + 8
        self.verticalHeader().setDefaultSectionSize(height)
        rows = max(1, min(self.rowCount(), _ROWS)) * height
        self.setFixedHeight(rows + self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth())

    def _selected(self) -> None:
        if self.region:
            self.chosen.emit(self.region)

    def _edited(self, item: QTableWidgetItem) -> None:
        old, new = self._names[item.row()], item.text().strip()
        if item.column() == 0 and new != old:
            if new:
                self._names[item.row()] = new
                self.renamed.emit(old, new)
            else:
                item.setText(old)
