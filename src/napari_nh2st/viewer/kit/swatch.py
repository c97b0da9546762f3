"""A small square of one colour: the key in front of a line of a list."""

from __future__ import annotations

from qtpy.QtGui import QColor, QIcon, QPixmap

SIDE = 14  # pixels


def swatch(colour: str) -> QIcon:
    """Return an icon of one colour, "#rrggbb"."""
    square = QPixmap(SIDE, SIDE)
    square.fill(QColor(colour))
    return QIcon(square)
