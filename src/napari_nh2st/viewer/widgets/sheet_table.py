"""The sections of a sample sheet: what each of them brings, and whether a run can be made with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_nh2st.expression.sheet import Sample
from napari_nh2st.viewer.widgets.parts import paragraphs

if TYPE_CHECKING:
    from napari_nh2st.training.sections import SectionFacts

COLUMNS = {
    "sample": "Name of the section in the sheet",
    "patient": "Whose tissue it is: sections of one patient are alike",
    "spots": "Measured spots that lie over tissue",
    "genes": "Measured genes",
    "µm/px": "Micrometres per pixel of the slide, from the sheet or from the slide itself",
    "state": "good; look: something to know before the run; stop: a run would not start. Point at a row to read why",
}
_LINES_IN_SIGHT = 6
# Of the Okabe and Ito colours, readable on dark and on light: ground and ink.
_COLOURS = {"look": ("#f2c14e", "#201a05"), "stop": ("#d55e00", "#ffffff")}
_UNKNOWN = "…"


class SheetTable(QTableWidget):
    """One line a section; read only."""

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        for column, (name, tip) in enumerate(COLUMNS.items()):
            item = QTableWidgetItem(name)
            item.setToolTip(tip)
            self.setHorizontalHeaderItem(column, item)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWordWrap(False)
        self.verticalHeader().setVisible(False)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(10)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.show_samples([])

    def show_samples(self, samples: Sequence[Sample]) -> None:
        """Show sections of which no more than the sheet's lines is known yet."""
        self.setRowCount(len(samples))
        for row, sample in enumerate(samples):
            size = _UNKNOWN if sample.mpp is None else f"{sample.mpp:.4g}"
            texts = (sample.sample, sample.patient, _UNKNOWN, _UNKNOWN, size, _UNKNOWN)
            self._show_row(row, texts, [sample.sample, "Not looked at yet"])
        self._fit()

    def show_facts(self, row: int, facts: SectionFacts) -> None:
        """Show what was found of one section."""
        known = facts.on_tissue if facts.on_tissue is not None else facts.spots
        spots = "" if known is None else f"{known:,}"
        genes = f"{len(facts.genes):,}" if facts.genes else ""
        size = "" if facts.mpp is None else f"{facts.mpp:.4g}"
        sample = facts.sample
        said = [_summary(facts), *(f"{text[:1].upper()}{text[1:]}" for text in facts.says)]
        self._show_row(row, (sample.sample, sample.patient, spots, genes, size, facts.state), said)
        colours = _COLOURS.get(facts.state)
        if colours is not None:
            state = self.item(row, len(COLUMNS) - 1)
            state.setBackground(QColor(colours[0]))
            state.setForeground(QColor(colours[1]))

    def changeEvent(self, event: QEvent) -> None:
        """Keep rows as high as their text when the font or the theme changes."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def _show_row(self, row: int, texts: Sequence[str], said: list[str]) -> None:
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(paragraphs(said))
            if 2 <= column <= 4:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, column, item)

    def _fit(self) -> None:
        """Make room for a few rows, no more than there are."""
        line = self.fontMetrics().height() + 6
        self.verticalHeader().setDefaultSectionSize(line)
        rows = min(max(self.rowCount(), 2), _LINES_IN_SIGHT)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows * line + 2 * self.frameWidth())


def _summary(facts: SectionFacts) -> str:
    parts = [facts.sample.sample]
    if facts.spots is not None:
        over = "" if facts.on_tissue is None else f", {facts.on_tissue:,} of them over tissue"
        parts.append(f"{facts.spots:,} spots{over}")
    if facts.depth is not None:
        parts.append(f"{facts.depth:,.0f} counts in the median spot")
    if facts.pitch_um:
        parts.append(f"spots {facts.pitch_um:.0f} µm apart")
    if facts.mpp is not None:
        parts.append(f"pixel size from {facts.mpp_source}")
    return "; ".join(parts)
