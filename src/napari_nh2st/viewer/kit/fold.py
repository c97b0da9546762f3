"""A section of the dock that folds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_nh2st.viewer.kit.layout import column
from napari_nh2st.viewer.kit.texts import plain_tip

_LOOK = "QPushButton { text-align: left; border: none; background: transparent; padding: 4px 2px; }"


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
    chosen = Signal(bool)  # opened or closed by a person

    def __init__(self, title: str, tooltip: str, make: Callable[[], QWidget]) -> None:
        super().__init__()
        self.title, self._make = title, make
        self._section: QWidget | None = None
        self.button = QPushButton(f"▸  {title}")
        self.button.setToolTip(plain_tip(tooltip))
        self.button.setCheckable(True)
        self.button.setStyleSheet(_LOOK)
        self.button.toggled.connect(self._toggled)
        self.button.clicked.connect(self.chosen)
        self._layout = column(self, spacing=4)
        self._layout.addWidget(self.button)

    @property
    def section(self) -> Any:
        """The folded widget; it is made on first use."""
        if self._section is None:
            self._section = self._make()
            self._section.setVisible(self.button.isChecked())
            self._layout.addWidget(self._section)
        return self._section

    def make(self) -> None:
        """Make what is folded, and leave it folded."""
        assert self.section is not None

    def open(self, on: bool = True) -> Any:
        """Open or close it, and return what is in it."""
        self.button.setChecked(on)
        return self.section

    def _toggled(self, on: bool) -> None:
        self.button.setText(f"{'▾' if on else '▸'}  {self.title}")
        if on or self._section is not None:
            self.section.setVisible(on)
        self.opened.emit(on)
