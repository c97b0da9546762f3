"""A tile and its eight neighbours as a picture, with a number on each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent, QPoint, QRect, Qt
from qtpy.QtGui import QBrush, QColor, QFont, QHelpEvent, QImage, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_nh2st.viewer.context.marks import Mark
from napari_nh2st.viewer.kit.texts import plain_tip

GAP, LINE = 4, 3  # pixels between the tiles, and of the frame round each
_WIDEST = 520
_STRIP, _TEXT, _GREY, _HATCH = QColor(0, 0, 0, 170), QColor("#ffffff"), QColor("#8a8a8a"), QColor("#5e5e5e")


class ContextPicture(QWidget):
    """Nine square pictures, three by three, as large as the dock is wide."""

    def __init__(self) -> None:
        super().__init__()
        self._images: list[QImage] = []
        self.marks = [Mark()] * 9
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setMinimumWidth(180)
        self.setMaximumWidth(_WIDEST)
        self.setAccessibleName("The tile and its neighbouring tiles")
        self.setVisible(False)

    def show_pictures(self, pictures: npt.NDArray[np.uint8] | None) -> None:
        """Show nine pictures (9, p, p, 3), or nothing."""
        self._images = []
        for pixels in () if pictures is None else np.ascontiguousarray(pictures):
            height, width = pixels.shape[:2]
            made = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            self._images.append(made.copy())  # else it ends with the array
        self.setVisible(bool(self._images))
        self.update()

    def show_marks(self, marks: list[Mark] | None) -> None:
        """Write on the nine tiles; None takes everything away."""
        self.marks = [Mark()] * 9 if marks is None else marks
        self.update()

    def hasHeightForWidth(self) -> bool:
        """Tell the layout that it is square."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Return its height for a width."""
        return min(width, _WIDEST)

    def resizeEvent(self, event: Any) -> None:
        """Stay square."""
        self.setFixedHeight(self.heightForWidth(self.width()))

    def box(self, index: int) -> QRect:
        """Return where one of the nine is drawn."""
        side = (min(self.width(), self.height()) - 2 * GAP) // 3
        row, column = divmod(index, 3)
        return QRect(column * (side + GAP), row * (side + GAP), side, side)

    def event(self, event: QEvent) -> bool:
        """Give each tile its own tooltip."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), plain_tip(self.tip_at(event.pos())), self)
            return True
        return bool(super().event(event))

    def tip_at(self, position: QPoint) -> str:
        """Return the tooltip of what is drawn at a position, empty between the tiles."""
        return next((mark.tip for i, mark in enumerate(self.marks) if self.box(i).contains(position)), "")

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the nine."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        font = QFont(self.font())
        font.setBold(True)
        painter.setFont(font)
        for i, image in enumerate(self._images):
            self._paint_one(painter, self.box(i), image, self.marks[i])
        painter.end()

    def _paint_one(self, painter: QPainter, box: QRect, image: QImage, mark: Mark) -> None:
        if mark.absent:
            painter.fillRect(box, _GREY)
            painter.fillRect(box, QBrush(_HATCH, Qt.BrushStyle.BDiagPattern))
        else:
            painter.drawImage(box, image)
        if mark.text:
            strip = QRect(box)
            strip.setTop(box.bottom() - painter.fontMetrics().height() - LINE)
            painter.fillRect(strip, _STRIP)
            painter.setPen(_TEXT)
            painter.drawText(strip.adjusted(0, 0, 0, -LINE), Qt.AlignmentFlag.AlignCenter, mark.text)
        if mark.colour:
            pen = QPen(QColor(mark.colour), LINE)
            pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
            painter.setPen(pen)
            half = LINE // 2
            painter.drawRect(box.adjusted(half, half, -half - 1, -half - 1))
