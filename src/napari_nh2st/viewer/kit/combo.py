"""Combo boxes for a narrow dock."""

from __future__ import annotations

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_nh2st.viewer.kit.texts import plain_tip


def make_narrow(combo: QComboBox, letters: int = 6) -> None:
    """Have a combo box shorten what it shows, down to so many letters, instead of widening the dock."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setIconSize(QSize(0, 0))  # room for one is kept otherwise
    combo.setMinimumContentsLength(letters)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)


def make_tight(combo: QComboBox) -> None:
    """Take away most of the room that napari leaves around the text of a combo box, where two share a row."""
    combo.setStyleSheet(
        "QComboBox { padding: 3px 0px 3px 4px; } QComboBox::drop-down { width: 14px; margin: 0px; border: none; }"
        "QComboBox::down-arrow { width: 10px; height: 10px; }"
    )


class NarrowCombo(QComboBox):
    """A combo box that shortens what it shows instead of widening the dock."""

    def __init__(self, tooltip: str = "") -> None:
        super().__init__()
        make_narrow(self)
        self.setToolTip(plain_tip(tooltip))
