"""Figures of several models beside one another: a bar and its interval each, drawn with Qt alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QLineF, QPoint, QRectF, Qt
from qtpy.QtGui import QColor, QHelpEvent, QPainter, QPen
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolTip

from napari_nh2st.viewer.kit.colours import BLUE
from napari_nh2st.viewer.kit.phrases import short

if TYPE_CHECKING:
    from napari_nh2st.training.run.summary import SummaryLine

_GREY = "#8c8c8c"
_LINE, _BAR = 1.95, 0.45  # of a model, and of its bar, in heights of the font
_MIDDLE = Qt.AlignmentFlag.AlignVCenter


class FigureBars(QLabel):  # napari's style sheet gives a label the font of its settings
    """A line a model: its name and figure, and below them a bar with its 95% interval; the last one stands out."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Sequence[SummaryLine] = ()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setVisible(False)

    def show_lines(self, lines: Sequence[SummaryLine]) -> None:
        """Draw these, or nothing."""
        self.lines = lines
        self.setAccessibleName("; ".join(f"{of.name} {words_of(of)}" for of in lines))
        self._fit()
        self.setVisible(bool(lines))
        self.update()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def event(self, event: QEvent) -> bool:
        """Say what each model is."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self.tip_at(event.pos()), self)
            return True
        return bool(super().event(event))

    def tip_at(self, position: QPoint) -> str:
        """Return the tooltip of the line at a position."""
        at = int(position.y() // self._height())
        if not 0 <= at < len(self.lines):
            return ""
        of = self.lines[at]
        return f"{of.about.rstrip('.')}. Mean PCC over genes with its 95% interval: {words_of(of)}"

    def _height(self) -> float:
        return _LINE * self.fontMetrics().height()

    def _fit(self) -> None:
        self.setFixedHeight(round(len(self.lines) * self._height()) + 2)

    def paintEvent(self, event: object) -> None:
        """Draw."""
        if not self.lines:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        low = min(0.0, *(of.low for of in self.lines))
        high = max(1e-6, *(of.high for of in self.lines))
        step = (self.width() - 4) / (high - low)
        for i, of in enumerate(self.lines):
            self._paint_line(painter, of, i * self._height(), 2 - low * step, step, last=i == len(self.lines) - 1)
        painter.end()

    def _paint_line(
        self, painter: QPainter, of: SummaryLine, top: float, zero: float, step: float, *, last: bool
    ) -> None:
        ink, high = self.palette().windowText().color(), painter.fontMetrics().height()
        font = painter.font()
        font.setBold(last)
        painter.setFont(font)
        painter.setPen(ink)
        words = QRectF(0, top, self.width(), high)
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | _MIDDLE, of.name)
        wide = painter.fontMetrics().horizontalAdvance
        fits = wide(f"{of.name}  {words_of(of)}") <= self.width()  # else the interval is seen on the bar
        painter.drawText(words, Qt.AlignmentFlag.AlignRight | _MIDDLE, words_of(of) if fits else short(of.pcc))
        bar = QRectF(zero, top + 1.1 * high, of.pcc * step, _BAR * high).normalized()
        painter.fillRect(bar, QColor(BLUE if last else _GREY))
        middle, tick = bar.center().y(), 0.25 * high
        ends = (zero + of.low * step, zero + of.high * step)
        painter.setPen(QPen(ink, 1.5))
        painter.drawLine(QLineF(ends[0], middle, ends[1], middle))
        for x in ends:
            painter.drawLine(QLineF(x, middle - tick, x, middle + tick))


def words_of(line: SummaryLine) -> str:
    """Write a figure with its interval."""
    return f"{short(line.pcc)} ({short(line.low)} to {short(line.high)})"
