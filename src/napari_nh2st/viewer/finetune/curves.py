"""Loss and held-out correlation of a run as it goes on, drawn with Qt alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_nh2st.training.run.run_metrics import RunMetrics
from napari_nh2st.viewer.finetune.run_curves import EPOCHS, SHARE, STEPS, Floats, RunCurves, smooth, thin
from napari_nh2st.viewer.kit.colours import BLUE, GREEN, ORANGE
from napari_nh2st.viewer.kit.layout import column

_TIP = (
    "<qt><p>How the run goes, over its epochs. Faint: every step, or every epoch. Solid: smoothed, the mean of "
    f"{EPOCHS} epochs around each, for the training loss of {100 // SHARE}% of the steps ({STEPS} at least).</p>"
    "<p>PCC is the mean over genes of the correlation of predicted and measured expression. It is taken on a block of "
    "each section that is left out of the training: the model is that of the epoch where it was best, the ring. "
    "Held-out sections are shown and choose nothing.</p>"
    "<p>At a thin upright line a second training begins, on all spots of the training sections: nothing is left there "
    "to score it by.</p></qt>"
)
_LOSS_SPAN, _PCC_SPAN = (0.5, 99.5), (0.0, 0.1)  # percentiles of the steps; values in sight at the least
_ROOM, _FAINT = 0.06, 80  # above and below, in spans; opacity of what is not smoothed, of 255


@dataclass(frozen=True, eq=False)
class _Line:
    colour: str
    x: Floats
    y: Floats
    smoothed: Floats


class Curves(QWidget):
    """The loss above the correlation, over one axis of epochs, under a line that says which colour is what."""

    def __init__(self) -> None:
        super().__init__()
        self.told = RunCurves()
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        self.legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self._axes = _Axes()
        self.setToolTip(_TIP)
        self.setAccessibleName("Loss and held-out correlation of the run")
        layout = column(self, spacing=2)
        layout.addWidget(self.legend)
        layout.addWidget(self._axes)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw yet."""
        return not any(curve.y for curve in self.told.curves.values())

    def show_metrics(self, metrics: RunMetrics) -> None:
        """Draw what a run has told so far."""
        total = metrics.total_epochs or 0
        if not self.told.take(metrics.rows) and total == self._axes.total:
            return
        self._axes.total, self._axes.second, self._axes.best = total, self.told.second, self.told.best
        self._axes.loss = self._lines(("train_loss", BLUE), ("val_loss", ORANGE), ("test_loss", GREEN))
        self._axes.pcc = self._lines(("val_pcc", ORANGE), ("test_pcc", GREEN))
        self._say_which()
        self._axes.update()

    def _lines(self, *names: tuple[str, str]) -> list[_Line]:
        lines = []
        for name, colour in names:
            x, y = self.told.curves[name].arrays()
            if not len(x):
                continue
            n = max(STEPS, len(x) // SHARE | 1) if name == "train_loss" else EPOCHS
            parts = [slice(None)] if self.told.second is None else [x <= self.told.second, x > self.told.second]
            lines += [_Line(colour, x[part], y[part], smooth(y[part], n)) for part in parts if len(x[part])]
        return lines

    def _say_which(self) -> None:
        apart = bool(self.told.curves["test_pcc"].y)
        names = {"training": BLUE, "inner blocks" if apart else "held-out blocks": ORANGE}
        if apart:
            names["held-out sections"] = GREEN
        said = [f'<span style="color:{colour}">▬</span>&nbsp;{_whole(name)}' for name, colour in names.items()]
        if self.told.best is not None:
            epoch, pcc = self.told.best
            said.append(f'<span style="color:{ORANGE}">◯</span>&nbsp;{_whole(f"best: epoch {epoch:g}, {pcc:.3f}")}')
        self.legend.setText(" &nbsp; ".join(said))


def _whole(text: str) -> str:
    """Keep an entry of the legend on one line."""
    return text.replace(" ", "&nbsp;").replace("-", "&#8209;")


class _Axes(QLabel):  # napari's style sheet gives a label the font of its settings
    """Two pairs of axes, one above the other."""

    def __init__(self) -> None:
        super().__init__()
        self.loss: list[_Line] = []
        self.pcc: list[_Line] = []
        self.total, self.second, self.best = 0, None, None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return a height that follows the font."""
        return QSize(200, 14 * self.fontMetrics().height())

    minimumSizeHint = sizeHint

    def changeEvent(self, event: QEvent) -> None:
        """Take another height with another font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self.updateGeometry()

    def paintEvent(self, event: object) -> None:
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = painter.fontMetrics().height()
        half = (self.height() - line) / 2  # below both: the epochs
        last = max([float(self.total), 1.0, *(of.x[-1] for of in (*self.loss, *self.pcc))])
        self._paint(painter, "loss", self.loss, _span_of_loss(self.loss), QRectF(0, 0, self.width(), half), last)
        below = QRectF(0, half, self.width(), half)
        self._paint(painter, "PCC", self.pcc, _span(self.pcc, _PCC_SPAN), below, last)
        painter.setPen(self.palette().windowText().color())
        foot = QRectF(self._left(), self.height() - line, self.width() - self._left() - 2, line)
        painter.drawText(foot, Qt.AlignmentFlag.AlignLeft, "0")
        painter.drawText(foot, Qt.AlignmentFlag.AlignHCenter, "epochs")
        if self.total:
            painter.drawText(foot, Qt.AlignmentFlag.AlignRight, f"{last:g}")
        painter.end()

    def _left(self) -> int:
        return self.fontMetrics().horizontalAdvance("-0.00") + 6

    def _paint(
        self, painter: QPainter, title: str, lines: list[_Line], span: tuple[float, float], area: QRectF, last: float
    ) -> None:
        high = painter.fontMetrics().height()
        box = area.adjusted(self._left(), 0.3 * high, -2, -0.3 * high)
        ink = self.palette().windowText().color()
        faint = QColor(ink)
        faint.setAlpha(90)
        painter.setPen(QPen(faint, 1))
        painter.drawRect(box)
        painter.setPen(ink)
        for y, value in ((box.top(), span[1]), (box.bottom() - high, span[0])):
            if lines:
                painter.drawText(QRectF(0, y, box.left() - 4, high), _RIGHT, f"{value:.2f}")
        painter.drawText(QRectF(0, box.center().y() - high / 2, box.left() - 4, high), _RIGHT, title)
        if not lines:
            painter.setPen(faint)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "nothing yet")
            return
        painter.setClipRect(box)
        if self.second is not None:
            at = box.left() + self.second / last * box.width()
            painter.setPen(QPen(ink, 1, Qt.PenStyle.DashLine))
            painter.drawLine(QPointF(at, box.top()), QPointF(at, box.bottom()))
        for of in lines:
            self._paint_line(painter, of, box, span, last)
        painter.setClipping(False)
        if title == "PCC" and self.best is not None:
            painter.setPen(QPen(QColor(ORANGE), 1.5))
            painter.drawEllipse(_at(box, span, last, *self.best), 4.0, 4.0)

    def _paint_line(self, painter: QPainter, of: _Line, box: QRectF, span: tuple[float, float], last: float) -> None:
        faint, columns = QColor(of.colour), max(1, int(box.width()))
        faint.setAlpha(_FAINT)
        raw = [_at(box, span, last, *point) for point in zip(*thin(of.x, of.y, columns), strict=True)]
        solid = [_at(box, span, last, *point) for point in zip(*thin(of.x, of.smoothed, columns), strict=True)]
        if len(raw) == 1:
            painter.setPen(QPen(QColor(of.colour), 5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawPoint(raw[0])
            return
        painter.setPen(QPen(faint, 1))
        painter.drawPolyline(QPolygonF(raw))
        if len(raw) < columns / 8:
            painter.setPen(QPen(faint, 4, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawPoints(QPolygonF(raw))
        painter.setPen(QPen(QColor(of.colour), 2))
        painter.drawPolyline(QPolygonF(solid))


_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


def _at(box: QRectF, span: tuple[float, float], last: float, x: Any, y: Any) -> QPointF:
    low, high = span
    return QPointF(
        box.left() + float(x) / last * box.width(), box.bottom() - (float(y) - low) / (high - low) * box.height()
    )


def _span_of_loss(lines: list[_Line]) -> tuple[float, float]:
    """Leave out the few steps that would press all others flat."""
    if not lines:
        return 0.0, 1.0
    raw = np.concatenate([of.y for of in lines])
    low, high = np.percentile(raw, _LOSS_SPAN)
    return _span(lines, (float(low), float(high)), raw=False)


def _span(lines: list[_Line], at_least: tuple[float, float], *, raw: bool = True) -> tuple[float, float]:
    values = np.concatenate([np.asarray(at_least), *(of.y if raw else of.smoothed for of in lines)])
    low, high = float(values.min()), float(values.max())
    room = _ROOM * (high - low) or 0.5
    return low - room, high + room
