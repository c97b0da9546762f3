"""Measured against predicted values of one gene, drawn with Qt alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QLineF, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.kit.colours import BLUE

_HEIGHT, _LINES = 220, 13
_DOT, _INSET = 4, 5  # pixels; no dot lies on the frame


class Scatter(QWidget):
    """A dot a spot: measured to the right, predicted upwards; a faint line where both are equal."""

    def __init__(self) -> None:
        super().__init__()
        self.measured = self.predicted = np.empty(0)
        self.title = self.unit = ""
        self.same_unit = True
        self.setToolTip(
            "One dot a spot. On the faint line predicted equals measured; predictions usually vary less than "
            "measurements do, which leaves the correlation (PCC) as it is"
        )
        self.setVisible(False)

    def show_values(self, measured: Any, predicted: Any, title: str, unit: str, *, same_unit: bool) -> None:
        """Draw a gene: measured and predicted (n,), both in `unit` where the units are the same."""
        self.measured, self.predicted = (np.asarray(v, dtype=float) for v in (measured, predicted))
        self.title, self.unit, self.same_unit = title, unit, same_unit
        self.setMinimumHeight(max(_HEIGHT, _LINES * self.fontMetrics().height()))
        self.setVisible(len(self.measured) > 0)
        self.update()

    def paintEvent(self, event: object) -> None:
        """Draw."""
        if not len(self.measured):
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = painter.fontMetrics().height()
        spans = [_span(v) for v in (self.measured, self.predicted)]
        box = QRectF(self.rect()).adjusted(1.2 * line + self._wide(spans[1]), 1.5 * line, -0.6 * line, -2.4 * line)
        ink = self.palette().windowText().color()
        faint = QColor(ink)
        faint.setAlpha(90)
        painter.setPen(QPen(faint, 1))
        painter.drawRect(box)
        self._paint_dots(painter, box.adjusted(_INSET, _INSET, -_INSET, -_INSET), spans, faint)
        painter.setPen(ink)
        self._paint_words(painter, box, spans, line)
        painter.end()

    def _wide(self, span: tuple[float, float]) -> int:
        return max(self.fontMetrics().horizontalAdvance(_number(v)) for v in span)

    def _paint_dots(self, painter: QPainter, box: QRectF, spans: list[tuple[float, float]], faint: QColor) -> None:
        (x0, x1), (y0, y1) = spans

        def at(x: float, y: float) -> QPointF:
            return QPointF(
                box.left() + (x - x0) / (x1 - x0) * box.width(), box.bottom() - (y - y0) / (y1 - y0) * box.height()
            )

        low, high = max(x0, y0), min(x1, y1)
        if self.same_unit and low < high:
            painter.setPen(QPen(faint, 1, Qt.PenStyle.DashLine))
            painter.drawLine(QLineF(at(low, low), at(high, high)))
        dot = QColor(BLUE)
        dot.setAlphaF(min(1.0, max(0.25, 150 / len(self.measured))))
        painter.setPen(QPen(dot, _DOT, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawPoints(QPolygonF([at(x, y) for x, y in zip(self.measured, self.predicted, strict=True)]))

    def _paint_words(self, painter: QPainter, box: QRectF, spans: list[tuple[float, float]], line: int) -> None:
        metrics, (x_span, y_span) = painter.fontMetrics(), spans
        top = QRectF(0, 0, self.width(), 1.3 * line)
        painter.drawText(top, _CENTRE, metrics.elidedText(self.title, Qt.TextElideMode.ElideRight, self.width()))
        for value, y in ((y_span[1], box.top()), (y_span[0], box.bottom() - line)):
            painter.drawText(QRectF(0, y, box.left() - 4, line), _RIGHT, _number(value))
        below = QRectF(box.left(), box.bottom() + 2, box.width(), line)
        painter.drawText(below, _LEFT, _number(x_span[0]))
        painter.drawText(below, _RIGHT, _number(x_span[1]))
        wide = QRectF(0, box.bottom() + 1.1 * line, self.width(), 1.2 * line)
        words = f"measured, {self.unit}"
        painter.drawText(wide, _CENTRE, metrics.elidedText(words, Qt.TextElideMode.ElideRight, int(wide.width())))
        painter.save()
        painter.translate(0, box.bottom())
        painter.rotate(-90)
        words = "predicted, same unit" if self.same_unit else "predicted, unit of the model"
        painter.drawText(
            QRectF(0, 0, box.height(), 1.2 * line),
            _CENTRE,
            metrics.elidedText(words, Qt.TextElideMode.ElideRight, int(box.height())),
        )
        painter.restore()


_MIDDLE = Qt.AlignmentFlag.AlignVCenter
_LEFT, _RIGHT = Qt.AlignmentFlag.AlignLeft | _MIDDLE, Qt.AlignmentFlag.AlignRight | _MIDDLE
_CENTRE = Qt.AlignmentFlag.AlignCenter


def _number(value: float) -> str:
    return f"{value:.1f}"


def _span(values: Any) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)
