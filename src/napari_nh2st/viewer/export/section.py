"""The foot of the dock: export, copy, figures and views; and the row that says what computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QAction, QDesktopServices
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu, QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_nh2st.viewer.export.choice_dialog import ChoiceDialog
from napari_nh2st.viewer.export.presenter import NOTHING, ExportPresenter
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import FixedSentence, plain_tip
from napari_nh2st.viewer.predict.workspace import Workspace

if TYPE_CHECKING:
    from napari_nh2st.viewer.export.check_dialog import CheckDialog

_DEVICES = "What computes. Automatic takes a graphics card where there is a usable one"
_EXPORT = "Save what is predicted, all genes or some, for scanpy, Python, R, QuPath or a spreadsheet"
_COMMAND = (
    "Copy the command line that predicts the same, and one that draws what the window shows, for scripts and servers"
)


class ExportSection(QWidget):
    """Export, copy the command line, figures and views.

    Attributes
    ----------
    device_row : QWidget
        What computes. It stands at the end of the dock's column, above the foot.
    """

    tour_wanted = Signal()

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.devices = NarrowCombo(_DEVICES)
        self.devices.addItem("automatic", "auto")
        self.export = action_button("Export…", _EXPORT, lambda: self.ask_export())
        self.command = action_button("Copy command line", _COMMAND, lambda: self.presenter.copy_command())
        self.more = QPushButton("More…")
        self.more.setToolTip(
            "Python code, a figure for print, a report, views that can be saved and loaded, and a check of this "
            "installation"
        )
        self._make_menu()
        self.note = FixedSentence()
        self.note.setVisible(False)
        self.device_row = QWidget()
        self.device_row.setLayout(row(self.devices, label="Runs on", stretch=0))
        layout = column(self)
        layout.setContentsMargins(8, 6, 8, 8)
        self.task = self.work = Task(workspace, says=False)
        layout.addWidget(self.task)
        layout.addWidget(self.note)
        layout.addLayout(row(self.export, self.command, self.more, stretch=1))
        self._workspace = workspace
        self.presenter = ExportPresenter(workspace, self)
        self.devices.currentIndexChanged.connect(lambda: self.presenter.choose_device(str(self.devices.currentData())))

    def _make_menu(self) -> None:
        menu = QMenu(self.more)
        menu.setToolTipsVisible(True)

        def entry(text: str, tip: str, call: Callable[[], None]) -> QAction:
            action = menu.addAction(text)
            action.setToolTip(plain_tip(tip))
            action.triggered.connect(lambda: call())
            return action

        self.python = entry(
            "Copy as Python", "Copy a script that gives the same numbers", lambda: self.presenter.copy_python()
        )
        self.figure = entry(
            "Save figure…",
            "Draw what the window shows for print: with a scale bar, a colour bar and the tissue below",
            self.ask_figure,
        )
        self.report = entry(
            "Report…",
            "Write one page about this slide: maps, trust in each gene, regions, origin; for a browser or for print",
            self.ask_report,
        )
        self.save_view = entry(
            "Save view…", "Save gene, colours, limits and the part of the slide that is in sight", self.ask_save_view
        )
        self.load_view = entry(
            "Load view…", "Show the gene, the colours and the part of the slide that were saved", self.ask_load_view
        )
        menu.addSeparator()
        self.check = entry(
            "Check this installation…",
            "Look for what is wrong with the installation, the display or the slide, and write a report for a bug",
            self.ask_check,
        )
        entry("Take the tour", "See the five parts that you need first", self.tour_wanted.emit)
        menu.aboutToShow.connect(self._show_what_can_be_done)
        self.more.setMenu(menu)

    def _show_what_can_be_done(self) -> None:
        for action in (self.figure, self.report, self.save_view):
            action.setEnabled(self.presenter.is_shown)

    # what is asked

    def ask_figure(self) -> ChoiceDialog | None:
        """Ask for the genes, the size and the file of a figure."""
        form = self.presenter.figure_form()
        return None if form is None else self._open(ChoiceDialog(self, "Save figure", form, self.presenter.save_figure))

    def ask_export(self) -> ChoiceDialog | None:
        """Ask for the format, the genes and the file of an export."""
        form = self.presenter.export_form()
        return None if form is None else self._open(ChoiceDialog(self, "Export", form, self.presenter.save_table))

    def ask_report(self) -> ChoiceDialog | None:
        """Ask for the genes and the file of a report."""
        form = self.presenter.report_form()
        return None if form is None else self._open(ChoiceDialog(self, "Report", form, self.presenter.save_report))

    def ask_check(self) -> CheckDialog:
        """Look for what is wrong with the installation, the display and the slide."""
        from napari_nh2st.viewer.export.check_dialog import CheckDialog  # all checks are loaded for it

        dialog = CheckDialog(self, self._workspace.background, self._workspace.state.slide)
        dialog.show()
        return dialog

    def _open(self, dialog: ChoiceDialog) -> ChoiceDialog:
        dialog.open()
        return dialog

    def ask_save_view(self) -> None:
        """Ask for the file of a view."""
        if not self.presenter.is_shown:
            self.say(f"{NOTHING}.")
            return
        name = str(self._workspace.save_folder.path_for(f"{self.presenter.stem}-view.json"))
        path, _ = QFileDialog.getSaveFileName(self, "Save this view", name, "View (*.json)")
        if path:
            self._workspace.save_folder.saved(path)
            self.presenter.save_view(path if Path(path).suffix else f"{path}.json")

    def ask_load_view(self) -> None:
        """Ask for a view that was saved."""
        folder = str(self._workspace.save_folder.folder)
        path, _ = QFileDialog.getOpenFileName(self, "Load a view", folder, "View (*.json);;All files (*)")
        if path:
            self.presenter.load_view(path)

    # what the presenter shows

    def show_devices(self, names: Sequence[str]) -> None:
        """Offer devices beside "auto", which takes the first of them."""
        for name in names:
            self.devices.addItem(name, name)
        self.devices.setItemText(0, f"auto ({names[0]})")

    def show_device(self, name: str) -> None:
        """Show which device is chosen."""
        with signals_blocked(self.devices):
            self.devices.setCurrentIndex(self.devices.findData(name))

    def turn_export(self, reason_off: str) -> None:
        """Turn the export off for a reason; empty turns it on."""
        self.export.set_reason_off(f"{_EXPORT}. {reason_off}" if reason_off else "")

    def turn_copying(self, reason_off: str) -> None:
        """Turn copying commands and Python off for a reason; empty turns it on."""
        self.command.set_reason_off(f"{_COMMAND}. {reason_off}" if reason_off else "")
        self.python.setEnabled(not reason_off)

    def put_on_clipboard(self, text: str) -> None:
        """Put a text on the clipboard."""
        QApplication.clipboard().setText(text)

    def open_file(self, path: Path) -> None:
        """Open a file with the program that the system has for it."""
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.absolute())))

    def say(self, text: str) -> None:
        """Say what came of it."""
        self.note.say(text)
        self.note.setVisible(bool(text))
