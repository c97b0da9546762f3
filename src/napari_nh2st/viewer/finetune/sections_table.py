"""The sections of a run: what each of them brings, and whether a run can be made with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QModelIndex, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QKeyEvent, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_nh2st.expression import Sample
from napari_nh2st.viewer.finetune.sections_state import Editable
from napari_nh2st.viewer.kit.texts import paragraphs, plain_tip

if TYPE_CHECKING:
    from napari_nh2st.training.sections.section_check import SectionFacts

NAME, PATIENT, SPOTS, GENES, SIZE, STATE = range(6)
_EDIT = "double-click or press F2 to change it"
COLUMNS = {
    "sample": f"Name of the section; {_EDIT}",
    "patient": f"Whose tissue it is: sections of one patient are alike; {_EDIT}",
    "spots": "Measured spots that lie over tissue",
    "genes": "Measured genes",
    "µm/px": f"Micrometres per pixel of the slide, from the sheet or from the slide itself; {_EDIT}",
    "state": (
        "good: nothing is wrong. look: something to know before the run. stop: the run would not start. Point at a row "
        "to read why"
    ),
}
_EDITABLE: dict[int, Editable] = {NAME: "sample", PATIENT: "patient", SIZE: "mpp"}
_LINES_IN_SIGHT = 6
# Of the Okabe and Ito colours, readable on dark and on light: ground and ink.
_COLOURS = {"look": ("#f2c14e", "#201a05"), "stop": ("#d55e00", "#ffffff")}
_UNKNOWN = "…"
_FILLED = "filled"


class _Editing(QStyledItemDelegate):
    """Edits a cell within its bounds, and leaves alone what is being typed.

    Qt fills an editor anew whenever anything of its cell changes.
    """

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: QModelIndex) -> QWidget:
        editor = super().createEditor(parent, option, index)
        editor.setStyleSheet("QLineEdit { padding: 0px; margin: 0px; min-height: 0px; border-radius: 0px; }")
        return editor

    def setEditorData(self, editor: QWidget, index: QModelIndex) -> None:
        if not editor.property(_FILLED):
            super().setEditorData(editor, index)
            editor.setProperty(_FILLED, True)


class SectionsTable(QTableWidget):
    """One line a section; its name, patient and pixel size can be changed, lines can be chosen and removed."""

    edited = Signal(int, str, str)  # row, field, what was typed
    removing = Signal()  # the key for it was pressed

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        for column, (name, tip) in enumerate(COLUMNS.items()):
            item = QTableWidgetItem(name)
            item.setToolTip(plain_tip(tip))
            self.setHorizontalHeaderItem(column, item)
        trigger = QAbstractItemView.EditTrigger
        self.setEditTriggers(trigger.DoubleClicked | trigger.EditKeyPressed | trigger.AnyKeyPressed)
        self.setItemDelegate(_Editing(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # patients differ at the ends of their names
        self.verticalHeader().setVisible(False)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setStyleSheet("QHeaderView::section { padding: 2px 1px; }")  # else 320 px leave no room for names
        header.setMinimumSectionSize(10)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(PATIENT, QHeaderView.ResizeMode.Stretch)
        self.itemChanged.connect(self._changed)
        self.show_sections([])

    @property
    def chosen(self) -> list[int]:
        """The rows that are selected."""
        return sorted(index.row() for index in self.selectionModel().selectedRows())

    def show_sections(self, sections: Sequence[tuple[Sample, SectionFacts | None]]) -> None:
        """Show sections with what is known of them, None where they are not checked yet."""
        with signals_blocked(self):
            self.setRowCount(len(sections))
            for row, (sample, facts) in enumerate(sections):
                if facts is None:
                    size = _UNKNOWN if sample.mpp is None else f"{sample.mpp:.4g}"
                    texts = (sample.sample, sample.patient, _UNKNOWN, _UNKNOWN, size, _UNKNOWN)
                    self._show_row(row, texts, [sample.sample, "Not checked yet"])
                else:
                    notes = [f"{text[:1].upper()}{text[1:]}" for text in facts.says]
                    self._show_row(row, _texts(facts), [_summary(facts), *notes])
        self._fit()

    def _changed(self, item: QTableWidgetItem) -> None:
        self.edited.emit(item.row(), _EDITABLE[item.column()], item.text().strip())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ask for the chosen rows to be removed."""
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.removing.emit()
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Keep rows as high as their text when the font or the theme changes."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Share the room anew between names and patients."""
        super().resizeEvent(event)
        self._share()

    def _share(self) -> None:
        """Give names and patients what they need; a long one must not push the other out of sight."""
        header = self.horizontalHeader()
        name, patient = (max(self.sizeHintForColumn(c), header.sectionSizeHint(c)) for c in (NAME, PATIENT))
        room = self.viewport().width() - sum(header.sectionSize(column) for column in range(SPOTS, len(COLUMNS)))
        header.resizeSection(NAME, max(min(name, room - patient), min(name, room // 2)))

    def _show_row(self, row: int, texts: Sequence[str], said: list[str]) -> None:
        for column, text in enumerate(texts):
            item = self.item(row, column)
            if item is None:
                item = _new_item(column)
                self.setItem(row, column, item)
            item.setText(text)
            item.setToolTip(paragraphs(said))
        lacking = "" if texts[PATIENT] else "stop"
        for column, state in ((STATE, texts[STATE]), (PATIENT, lacking)):
            ground, ink = (QBrush(QColor(c)) for c in _COLOURS[state]) if state in _COLOURS else (QBrush(), QBrush())
            self.item(row, column).setBackground(ground)
            self.item(row, column).setForeground(ink)

    def _fit(self) -> None:
        """Make room for a few rows, no more than there are."""
        line = self.fontMetrics().height() + 6
        self.verticalHeader().setDefaultSectionSize(line)
        rows = min(max(self.rowCount(), 2), _LINES_IN_SIGHT)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows * line + 2 * self.frameWidth())
        self._share()


def _new_item(column: int) -> QTableWidgetItem:
    item = QTableWidgetItem()
    if column not in _EDITABLE:
        item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
    if SPOTS <= column <= SIZE:
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return item


def _texts(facts: SectionFacts) -> tuple[str, ...]:
    known = facts.on_tissue if facts.on_tissue is not None else facts.spots
    spots = "" if known is None else f"{known:,}"
    genes = f"{len(facts.genes):,}" if facts.genes else ""
    size = facts.mpp if facts.mpp is not None else facts.sample.mpp
    return (
        facts.sample.sample,
        facts.sample.patient,
        spots,
        genes,
        "" if size is None else f"{size:.4g}",
        facts.state,
    )


def _summary(facts: SectionFacts) -> str:
    parts = [facts.sample.sample]
    if facts.spots is not None:
        over = "" if facts.on_tissue is None else f", {facts.on_tissue:,} of them over tissue"
        parts.append(f"{facts.spots:,} spots{over}")
    if facts.depth is not None:
        parts.append(f"{facts.depth:z,.0f} counts in the median spot")
    if facts.pitch_um:
        parts.append(f"spots {facts.pitch_um:z.0f} µm apart")
    if facts.mpp is not None:
        parts.append(f"pixel size from {facts.mpp_source}")
    return "; ".join(parts)
