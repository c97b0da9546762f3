"""A section of the dock that folds, and remembers whether it was open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QToolButton, QWidget

from napari_nh2st.viewer.widgets.model_section import settings
from napari_nh2st.viewer.widgets.parts import column

_REMEMBERED = "folds"


class Fold(QWidget):
    """A title with an arrow, and below it what is made when it is opened for the first time.

    Not superqt's QCollapsible: that one fixes the height of what it shows, which cuts off text that wraps.

    Parameters
    ----------
    title, tooltip : str
    make : callable
        Makes the widget.
    """

    opened = Signal(bool)

    def __init__(self, title: str, tooltip: str, make: Callable[[], QWidget]) -> None:
        super().__init__()
        self.title, self._make = title, make
        self._section: QWidget | None = None
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setToolTip(tooltip)
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setArrowType(Qt.ArrowType.RightArrow)
        self.button.toggled.connect(self._toggled)
        self._layout = column(self, spacing=4)
        self._layout.addWidget(self.button)

    @property
    def section(self) -> Any:
        """What is folded; it is made when it is first asked for."""
        if self._section is None:
            self._section = self._make()
            self._section.setVisible(self.button.isChecked())
            self._layout.addWidget(self._section)
        return self._section

    def restore(self) -> None:
        """Open it where it was open the last time."""
        self.button.setChecked(str(settings().value(f"{_REMEMBERED}/{self.title}", "")) == "open")

    def open(self, on: bool = True) -> Any:
        """Open or close it, and return what is in it."""
        self.button.setChecked(on)
        return self.section

    def _toggled(self, on: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        if on or self._section is not None:
            self.section.setVisible(on)
        settings().setValue(f"{_REMEMBERED}/{self.title}", "open" if on else "closed")
        self.opened.emit(on)
