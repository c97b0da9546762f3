"""The menu beside the list of slides: close the slide, clear what was predicted on it."""

from __future__ import annotations

from qtpy.QtWidgets import QMenu, QMessageBox, QToolButton

from napari_nh2st.viewer.predict.closing import Closing

_CLOSE = "Close this slide with all that lies on it; its file stays as it is"
_CLEAR = "Take the maps of this slide and model away, and what was worked out from them; the cache stays"


class SlideMenu(QToolButton):
    """*Close slide* and *Clear results*; it asks only where something made by hand would be lost."""

    def __init__(self, closing: Closing) -> None:
        super().__init__()
        self._closing = closing
        self.setText("…")
        self.setToolTip("Close the slide, or clear its results")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.close_slide = menu.addAction("Close slide")
        self.close_slide.setToolTip(_CLOSE)
        self.close_slide.triggered.connect(lambda: self.ask_to_close())
        self.clear_results = menu.addAction("Clear results")
        self.clear_results.setToolTip(_CLEAR)
        self.clear_results.triggered.connect(lambda: self.clear())
        menu.aboutToShow.connect(self._offer)
        self.setMenu(menu)

    def _offer(self) -> None:
        self.close_slide.setEnabled(self._closing.can_close)
        self.clear_results.setEnabled(self._closing.can_clear)

    def ask_to_close(self) -> QMessageBox | None:
        """Close the slide; where something made by hand would be lost, return the question first."""
        question = self._closing.question
        if not question:
            self._closing.close_slide()
            return None
        box = QMessageBox(QMessageBox.Icon.Question, "Close slide", question, parent=self)
        close = box.addButton("Close slide", QMessageBox.ButtonRole.DestructiveRole)
        close.clicked.connect(lambda: self._closing.close_slide())
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        box.open()
        return box

    def clear(self) -> None:
        """Clear the results of the slide."""
        self._closing.clear_results()
