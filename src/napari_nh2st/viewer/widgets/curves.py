"""Two small live curves, drawn with Qt alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

Points = Sequence[tuple[float, float]]
# From Okabe and Ito: told apart by colour-blind eyes, visible on dark and light.
BLUE, ORANGE = "#56b4e9", "#e69f00"
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 20, 18


@dataclass
class Panel:
    """One set of axes: its title, its curves by name, and what the vertical axis spans at the least."""

    title: str
    curves: dict[str, Points] = field(default_factory=dict)
    at_least: tuple[float, float] | None = None


class Curves(QWidget):
    """Panels one above the other, with a common axis of epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.panels: list[Panel] = []
        self.total = 0
        self.setMinimumHeight(210)
        self.setToolTip("How the run goes. Held-out PCC is measured on parts of the sections it does not train on")

    def show_panels(self, panels: list[Panel], total_epochs: int) -> None:
        """Draw these curves over an axis up to so many epochs."""
        self.panels, self.total = panels, total_epochs
        self.update()

    def paintEvent(self, event: object) -> None:
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        height = self.height() / max(1, len(self.panels))
        for i, panel in enumerate(self.panels):
            self._paint_panel(painter, panel, QRectF(0, i * height, self.width(), height))
        painter.end()

    def _paint_panel(self, painter: QPainter, panel: Panel, area: QRectF) -> None:
        box = area.adjusted(_LEFT, _TOP, -_RIGHT, -_BOTTOM)
        ink = self.palette().windowText().color()
        faint = QColor(ink)
        faint.setAlpha(90)
        painter.setPen(QPen(faint, 1))
        painter.drawRect(box)
        points = [p for curve in panel.curves.values() for p in curve]
        self._paint_legend(painter, panel, area, ink)
        if not points:
            painter.setPen(faint)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "nothing yet")
            return
        low, high = _span([y for _, y in points] + list(panel.at_least or ()))
        last = max(self.total - 1, *(x for x, _ in points), 1)
        painter.setPen(ink)
        for y, value in ((box.top(), high), (box.bottom(), low)):
            painter.drawText(QRectF(0, y - 8, _LEFT - 4, 16), _RIGHT_MIDDLE, f"{value:.2f}")
        painter.drawText(QRectF(box.left(), box.bottom() + 2, 60, 14), Qt.AlignmentFlag.AlignLeft, "epoch 0")
        painter.drawText(QRectF(box.right() - 60, box.bottom() + 2, 60, 14), Qt.AlignmentFlag.AlignRight, f"{last:g}")
        for colour, curve in zip((BLUE, ORANGE), panel.curves.values(), strict=False):
            self._paint_curve(painter, curve, box, (low, high), last, colour)

    def _paint_legend(self, painter: QPainter, panel: Panel, area: QRectF, ink: QColor) -> None:
        x = area.left() + _LEFT
        painter.setPen(ink)
        painter.drawText(QPointF(x, area.top() + 14), panel.title)
        x += painter.fontMetrics().horizontalAdvance(panel.title) + 14
        if len(panel.curves) < 2:
            return
        for colour, name in zip((BLUE, ORANGE), panel.curves, strict=False):
            painter.setPen(QPen(QColor(colour), 2))
            painter.drawLine(QPointF(x, area.top() + 10), QPointF(x + 14, area.top() + 10))
            painter.setPen(ink)
            painter.drawText(QPointF(x + 18, area.top() + 14), name)
            x += painter.fontMetrics().horizontalAdvance(name) + 32

    def _paint_curve(
        self, painter: QPainter, curve: Points, box: QRectF, span: tuple[float, float], last: float, colour: str
    ) -> None:
        low, high = span
        places = [
            QPointF(box.left() + x / last * box.width(), box.bottom() - (y - low) / (high - low) * box.height())
            for x, y in curve
        ]
        painter.setPen(QPen(QColor(colour), 2))
        if len(places) == 1:
            painter.drawEllipse(places[0], 1.5, 1.5)
        else:
            painter.drawPolyline(QPolygonF(places))


_RIGHT_MIDDLE = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


def _span(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high - low < 1e-9:
        return low - 0.5, high + 0.5
    return low, high


def by_epoch(points: Points) -> list[tuple[float, float]]:
    """Average a curve that is told every few steps, so that each epoch has one point."""
    sums: dict[float, list[float]] = {}
    for x, y in points:
        sums.setdefault(x, []).append(y)
    return [(x, sum(ys) / len(ys)) for x, ys in sums.items()]
