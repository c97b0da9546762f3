"""A combo box for a narrow dock."""

from __future__ import annotations

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QComboBox, QSizePolicy


class NarrowCombo(QComboBox):
    """A combo box that shortens what it shows instead of widening the dock."""

    def __init__(self, tooltip: str = "") -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setIconSize(QSize(0, 0))  # room for one is kept otherwise
        self.setMinimumContentsLength(6)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(tooltip)
