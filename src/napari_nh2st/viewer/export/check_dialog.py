"""A dialog with the report of `nh2st doctor`, to be read, copied and saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import QApplication, QDialog, QFileDialog, QPlainTextEdit, QWidget

from napari_nh2st.viewer.export.installation_check import InstallationCheck
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.texts import Sentence

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide

_SIZE = (760, 560)
_NOT_YET = "The report is not there yet"


class CheckDialog(QDialog):
    """Looks at the installation and shows what it found.

    Parameters
    ----------
    parent : QWidget
    background : Threads
    slide : Slide, optional
        The slide that the dock shows.
    """

    def __init__(self, parent: QWidget, background: Threads, slide: Slide | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Check this installation")
        self.resize(*_SIZE)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.sentence = Sentence()
        self.copy = action_button("Copy", "Put the report on the clipboard", self._copy)
        self.save = action_button("Save…", "Write the report into a file", self._ask_save)
        self.shut = action_button("Close", "Close this window", self.reject)
        layout = column(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.sentence)
        layout.addWidget(self.text, 1)
        layout.addLayout(row(QWidget(), self.copy, self.save, self.shut, stretch=0))
        for button in (self.copy, self.save):
            button.set_reason_off(_NOT_YET)
        self.check = check = InstallationCheck(background, self, slide)
        self.finished.connect(lambda: check.stop())
        self.destroyed.connect(lambda: check.stop())
        check.start()

    def say(self, text: str) -> None:
        """Say how far it is."""
        self.sentence.say(text)

    def show_report(self, text: str) -> None:
        """Show the report, which can now be copied and saved."""
        self.text.setPlainText(text)
        for button in (self.copy, self.save):
            button.set_reason_off("")

    def _copy(self) -> None:
        QApplication.clipboard().setText(self.text.toPlainText())
        self.say("Copied")

    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the report", "nh2st-report.txt", "Text (*.txt)")
        if path:
            self.check.save(path if Path(path).suffix else f"{path}.txt")
