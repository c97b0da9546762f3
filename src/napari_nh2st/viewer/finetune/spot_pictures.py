"""One gene on the spots of a section, measured beside predicted in the same colours, drawn with Qt alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent, QLineF, QPoint, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QLinearGradient, QMouseEvent, QPainter, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolTip

_GAP, _MARGIN = 6, 2.0  # pixels between the two; spacings of spots around what is shown
_LOWEST, _HIGHEST = 0.6, 1.6  # height of a picture, in its widths
_DOT = 0.94  # of the spacing: neighbours do not touch
_GROUND, _AROUND = QColor("#b4b4b4"), QColor(70, 70, 70, 90)  # both ends of the colours are seen on it
_LEAST, _ROUND = 1.6, 5.0  # pixels of a dot; that is drawn as one
_MIDDLE = Qt.AlignmentFlag.AlignVCenter
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Spots:
    """What is drawn.

    Attributes
    ----------
    xy : (m, 2) float32
        Places of the spots, x and y in whatever unit, y downwards.
    around : (k, 2) float32
        Other spots of the section, without values.
    spacing : float
        Distance of neighbouring spots, in that unit.
    values : pair of (m,) float32
        Measured, predicted.
    limits : (low, high)
        Values at the two ends of the colours.
    colours : (256, 4) float
        RGBA between 0 and 1.
    unit : str
    """

    xy: Floats
    around: Floats
    spacing: float
    values: tuple[Floats, Floats]
    limits: tuple[float, float]
    colours: npt.NDArray[Any]
    unit: str


class SpotPictures(QLabel):  # napari's style sheet gives a label the font of its settings
    """Two pictures side by side as wide as the dock, and a colour bar for both."""

    def __init__(self) -> None:
        super().__init__()
        self.spots: Spots | None = None
        self.pointed: int | None = None
        self._drawn: QPixmap | None = None
        self.setMouseTracking(True)
        self.setMinimumWidth(180)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("The gene on the held-out spots, measured and predicted")
        self.setVisible(False)

    def show_spots(self, spots: Spots | None) -> None:
        """Draw these, or nothing."""
        self.spots, self._drawn = spots, None
        if self.pointed is not None and (spots is None or self.pointed >= len(spots.xy)):
            self.pointed = None
        self._fit()
        self.setVisible(spots is not None)
        self.update()

    def resizeEvent(self, event: Any) -> None:
        """Keep the shape of the section."""
        self._drawn = None
        self._fit()

    def changeEvent(self, event: QEvent) -> None:
        """Keep room for the words in another font."""
        super().changeEvent(event)
        self._drawn = None
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def leaveEvent(self, event: Any) -> None:
        """Point at nothing."""
        self.pointed = None
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Ring the spot under the mouse in both pictures, and say its values."""
        pointed = self.spot_at(event.pos())
        if pointed != self.pointed:
            self.pointed = pointed
            self.update()
            QToolTip.showText(event.globalPos(), self.tip(pointed), self)

    def spot_at(self, position: QPoint) -> int | None:
        """Return which spot is drawn at a position in either picture; None where none is."""
        if self.spots is None or not len(self.spots.xy):
            return None
        for box in self._boxes():
            if box.contains(QPointF(position)):
                away = np.hypot(*(self._places(box, self.spots.xy) - (position.x(), position.y())).T)
                nearest = int(away.argmin())
                return nearest if away[nearest] <= max(self._scale(box) * self.spots.spacing / 2, 3.0) else None
        return None

    def tip(self, spot: int | None) -> str:
        """Say the values of a spot."""
        if spot is None or self.spots is None:
            return ""
        measured, predicted = (float(of[spot]) for of in self.spots.values)
        return f"measured {measured:.2f}, predicted {predicted:.2f} {self.spots.unit}"

    def place_of(self, spot: int, *, predicted: bool = False) -> QPoint:
        """Return where a spot is drawn."""
        assert self.spots is not None
        x, y = self._places(self._boxes()[predicted], self.spots.xy[spot : spot + 1])[0]
        return QPoint(round(x), round(y))

    def _span(self) -> tuple[Floats, Floats]:
        assert self.spots is not None
        margin = _MARGIN * self.spots.spacing
        return self.spots.xy.min(axis=0) - margin, self.spots.xy.max(axis=0) + margin

    def _fit(self) -> None:
        if self.spots is None:
            return
        low, high = self._span()
        wide, tall = (float(v) for v in high - low)
        shape = min(max(tall / max(wide, 1e-9), _LOWEST), _HIGHEST)
        # a line above the pictures, two and a half for the colours below
        height = round((self.width() - _GAP) / 2 * shape + 3.6 * self.fontMetrics().height())
        if height != self.height():
            self.setFixedHeight(height)

    def _boxes(self) -> tuple[QRectF, QRectF]:
        line = self.fontMetrics().height()
        wide, tall = (self.width() - _GAP) / 2, self.height() - 3.6 * line
        return QRectF(0, 1.1 * line, wide, tall), QRectF(wide + _GAP, 1.1 * line, wide, tall)

    def _scale(self, box: QRectF) -> float:
        low, high = self._span()
        wide, tall = (max(float(v), 1e-9) for v in high - low)
        return float(min(box.width() / wide, box.height() / tall))

    def _places(self, box: QRectF, xy: Floats) -> npt.NDArray[np.float64]:
        """Return pixels (n, 2) of places, what is shown being in the middle of the box."""
        low, high = self._span()
        middle = np.array([box.center().x(), box.center().y()])
        return np.asarray(middle + (xy - (low + high) / 2) * self._scale(box), dtype=np.float64)

    def paintEvent(self, event: object) -> None:
        """Draw, anew only where something is another: the mouse moves often, and spots may be many."""
        if self.spots is None or not len(self.spots.xy):
            return
        self._drawn = self._drawn or self._draw()
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._drawn)
        if self.pointed is not None:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            for box in self._boxes():
                self._paint_ring(painter, box, self.pointed)
        painter.end()

    def _draw(self) -> QPixmap:
        assert self.spots is not None
        ratio = self.devicePixelRatioF()
        drawn = QPixmap(round(self.width() * ratio), round(self.height() * ratio))
        drawn.setDevicePixelRatio(ratio)
        drawn.fill(Qt.GlobalColor.transparent)
        painter = QPainter(drawn)
        painter.setFont(self.font())
        line, ink = self.fontMetrics().height(), self.palette().windowText().color()
        for box, title, values in zip(self._boxes(), ("measured", "predicted"), self.spots.values, strict=True):
            painter.setPen(ink)
            painter.drawText(QRectF(box.left(), 0, box.width(), line), Qt.AlignmentFlag.AlignCenter, title)
            self._paint_picture(painter, box, values)
        painter.setPen(ink)
        self._paint_bar(painter, line)
        painter.end()
        return drawn

    def _dot(self, box: QRectF) -> float:
        assert self.spots is not None
        return max(_DOT * self._scale(box) * self.spots.spacing, _LEAST)

    def _paint_picture(self, painter: QPainter, box: QRectF, values: Floats) -> None:
        assert self.spots is not None
        painter.save()
        painter.setClipRect(box)
        painter.fillRect(box, _GROUND)
        dot, around = self._dot(box), self._places(box, self.spots.around)
        _paint_dots(painter, around, dot, _AROUND, box)
        if dot >= _ROUND:  # rings: what is not seen of a smaller dot
            _paint_dots(painter, around, dot - 2, _GROUND, box)
        places, (low, high) = self._places(box, self.spots.xy), self.spots.limits
        of = np.clip((values - low) / (high - low) * 255, 0, 255).round().astype(int)
        for i in np.unique(of):
            _paint_dots(painter, places[of == i], dot, QColor.fromRgbF(*map(float, self.spots.colours[i][:3])), box)
        painter.restore()

    def _paint_ring(self, painter: QPainter, box: QRectF, spot: int) -> None:
        assert self.spots is not None
        (place,), side = self._places(box, self.spots.xy[spot : spot + 1]), self._dot(box) / 2 + 1
        for colour, width in (("#ffffff", 4), ("#000000", 2)):
            painter.setPen(QPen(QColor(colour), width))
            painter.drawEllipse(QPointF(*place), side, side)

    def _paint_bar(self, painter: QPainter, line: int) -> None:
        assert self.spots is not None
        low, high = (f"{v:.1f}" for v in self.spots.limits)
        metrics = painter.fontMetrics()
        top = self.height() - 2.3 * line
        left, right = (metrics.horizontalAdvance(said) + 6 for said in (low, high))
        bar = QRectF(left, top + 0.25 * line, max(self.width() - left - right, 10), 0.55 * line)
        fill = QLinearGradient(bar.left(), 0, bar.right(), 0)
        for i in range(0, 256, 15):
            fill.setColorAt(i / 255, QColor.fromRgbF(*(float(v) for v in self.spots.colours[i][:3])))
        painter.fillRect(bar, fill)
        painter.drawText(QRectF(0, top, left, line), Qt.AlignmentFlag.AlignLeft | _MIDDLE, low)
        painter.drawText(QRectF(self.width() - right, top, right, line), Qt.AlignmentFlag.AlignRight | _MIDDLE, high)
        faint = QColor(painter.pen().color())
        painter.setPen(QPen(faint, 1))
        for x in (bar.left(), bar.right()):
            painter.drawLine(QLineF(x, bar.top(), x, bar.bottom()))
        unit = metrics.elidedText(self.spots.unit, Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(QRectF(0, top + 1.05 * line, self.width(), line), Qt.AlignmentFlag.AlignCenter, unit)


def _paint_dots(painter: QPainter, places: npt.NDArray[np.float64], dot: float, colour: QColor, box: QRectF) -> None:
    """Draw dots of a colour that lie in a box: round ones, squares where they are small and many."""
    low, high = (box.left() - dot, box.top() - dot), (box.right() + dot, box.bottom() + dot)
    seen = places[(places > low).all(axis=1) & (places < high).all(axis=1)]
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, dot >= _ROUND - 2)
    if dot >= _ROUND - 2:
        painter.setPen(QPen(colour, dot, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawPoints(QPolygonF([QPointF(x, y) for x, y in seen.tolist()]))
    else:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawRects([QRectF(x, y, dot, dot) for x, y in (seen - dot / 2).tolist()])
