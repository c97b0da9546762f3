"""What to do with a prediction, and what computes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu, QPushButton, QWidget

from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.display import Display, load_display, save_display
from napari_nh2st.viewer.export.on_screen import command_text, display_of_window, python_text, show_display
from napari_nh2st.viewer.export.repeat import figure_line, store_path
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.predict.workspace import Workspace

_EXPORT = "Save what is predicted, all genes, as AnnData (.h5ad) or a table (.csv)"
_COMMAND = (
    "Copy the command line that predicts the same, and one that draws what the window shows, for scripts and servers"
)
_NOTHING = "Nothing is predicted yet"
_NOT_READY = "Open a slide and choose a model first"
_FIGURES = {
    "PDF, for print (*.pdf)": ".pdf",
    "PNG (*.png)": ".png",
    "SVG (*.svg)": ".svg",
    "TIFF (*.tiff)": ".tiff",
}


class ExportSection(QWidget):
    """Export, copy as command, figures and views, and the device."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._wanted = workspace.preferences.device
        self._writing = False
        self.devices = NarrowCombo("What computes. Automatic takes a graphics card where there is a usable one")
        self.devices.addItem("automatic", "auto")
        self.export = QPushButton("Export…")
        self.export.clicked.connect(self._ask)
        self.command = QPushButton("Copy as command")
        self.command.clicked.connect(partial(self._copy, command_text))
        self._make_menu()
        self.note = Sentence()
        layout = column(self)
        layout.addLayout(row(self.devices, self.more, label="Runs on", stretch=0))
        layout.addLayout(row(self.export, self.command))  # three do not fit in large letters
        layout.addWidget(self.note)
        state = workspace.state
        for told in (*(state.events.slide, state.events.model), *(state.events.drawings, state.events.jobs_ended)):
            told.connect(self._offer)
        state.map_chosen.connect(self._map_changed)
        self.devices.currentIndexChanged.connect(self._device_chosen)
        self.devices.activated.connect(self._remember_device)
        workspace.preferences.events.device.connect(self.use_device)
        self._offer()
        workspace.background.call(workspace.services.devices, then=self._found, failed=lambda error: None)

    def _make_menu(self) -> None:
        self.more = QPushButton("More…")
        self.more.setToolTip("Python code, a figure for print, and views that can be saved and loaded")
        menu = QMenu(self.more)
        menu.setToolTipsVisible(True)

        def entry(text: str, tip: str, call: Callable[[], Any]) -> QAction:
            action = menu.addAction(text)
            action.setToolTip(tip)
            action.triggered.connect(lambda checked=False: call())
            return action

        self.python = entry(
            "Copy as Python", "Copy a script that gives the same numbers", partial(self._copy, python_text)
        )
        self.figure = entry(
            "Save figure…",
            "Draw what the window shows for print: with a scale bar, a colour bar and the tissue below",
            self._ask_figure,
        )
        self.save_view = entry(
            "Save view…", "Save gene, colours, limits and the part of the slide that is in sight", self._ask_save
        )
        self.load_view = entry(
            "Load view…", "Show the gene, the colours and the part of the slide that were saved", self._ask_load
        )
        menu.aboutToShow.connect(self._show_what_can_be_done)
        self.more.setMenu(menu)

    @property
    def device(self) -> str:
        """Name of the chosen device, or "auto"."""
        return str(self.devices.currentData())

    def use_device(self, name: str) -> None:
        """Choose a device, now or as soon as it is found; one that this machine lacks is left alone."""
        self._wanted = name
        index = self.devices.findData(name)
        if index >= 0:
            self.devices.setCurrentIndex(index)

    def _found(self, names: list[str]) -> None:
        for name in names:
            self.devices.addItem(name, name)
        self.devices.setItemText(0, f"automatic ({names[0]})")
        self.use_device(self._wanted)

    def _device_chosen(self) -> None:
        self._workspace.state.device = self.device

    def _remember_device(self) -> None:
        self._workspace.preferences.device = self.device

    def _map_changed(self) -> None:
        if self._workspace.map is not None:
            self.note.say("")
        self._offer()

    def _offer(self) -> None:
        """Offer what can be done with what is chosen and shown."""
        prediction_map = self._workspace.map
        predicted = prediction_map is not None and prediction_map.count > 0
        can_copy = prediction_map is not None or self._workspace.state.ready
        for button, on, says, why in (
            (self.export, predicted and not self._writing, _EXPORT, _NOTHING),
            (self.command, can_copy, _COMMAND, _NOT_READY),
        ):
            button.setEnabled(on)
            button.setToolTip(says if on else f"{says}. {why}")
        self.python.setEnabled(can_copy)

    def _copy(self, text_of: Callable[[Workspace], str], *_: Any) -> None:
        """Put a command or a script on the clipboard and say so."""
        try:
            text = text_of(self._workspace)
        except Nh2stError as error:
            self._workspace.notices.complain(error)
            return
        QApplication.clipboard().setText(text)
        self.note.say(f"Copied: {text.strip()}")

    def _show_what_can_be_done(self) -> None:
        shown = self._workspace.heatmap is not None and self._workspace.heatmap.present
        for action in (self.figure, self.save_view):
            action.setEnabled(shown)

    # files

    def _ask(self) -> None:
        if self._workspace.map is None:
            return
        from napari_nh2st.formats import EXPORTERS

        filters = {f"{e.description} (*{e.suffix})": e for e in EXPORTERS.values()}
        first = next(iter(filters.values()))
        path, chosen = QFileDialog.getSaveFileName(
            self, "Export the prediction", f"{self._stem()}{first.suffix}", ";;".join(filters)
        )
        if path:
            suffix = Path(path).suffix.lower()
            by_suffix = next((e for e in EXPORTERS.values() if e.suffix == suffix), None)
            self.write((by_suffix or filters[chosen]).name, path)

    def _stem(self) -> str:
        return Path(str(self._workspace.map.slide.get("path", "slide"))).stem if self._workspace.map else "view"

    def write(self, name: str, path: str) -> None:
        """Write the map in a format, off the GUI thread."""
        assert self._workspace.map is not None
        prediction = self._workspace.map.prediction()  # a copy: what arrives meanwhile does not disturb the writer
        self._write(self._workspace.services.export, prediction, name, path)

    def _write(self, call: Callable[..., Any], *args: Any) -> None:
        self._writing = True
        self._offer()
        self.note.say("Writing…")
        self._workspace.background.call(call, *args, then=self._written, failed=self._not_written)

    def _written(self, path: Any) -> None:
        self._writing = False
        self._offer()
        self.note.say(f"Saved {path}")

    def _not_written(self, error: Exception) -> None:
        self._writing = False
        self._offer()
        self.note.say(f"Could not save: {error_words(error)}")

    def _ask_figure(self) -> None:
        path, chosen = QFileDialog.getSaveFileName(
            self, "Save a figure of what the window shows", f"{self._stem()}.pdf", ";;".join(_FIGURES)
        )
        if path:
            known = Path(path).suffix.lower() in (*_FIGURES.values(), ".tif")
            self.write_figure(path if known else f"{path}{_FIGURES.get(chosen, '.pdf')}")

    def write_figure(self, path: str) -> None:
        """Draw what the window shows into a file, off the GUI thread."""
        try:
            display = display_of_window(self._workspace)
        except Nh2stError as error:
            self.note.say(str(error))
            return
        self._write(_figure, self._workspace.map.prediction(), display, path)

    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save this view", f"{self._stem()}-view.json", "View (*.json)")
        if path:
            self.write_view(path if Path(path).suffix else f"{path}.json")

    def write_view(self, path: str) -> None:
        """Save how the heatmap is shown."""
        try:
            self.note.say(f"Saved {save_display(display_of_window(self._workspace), path)}")
        except (Nh2stError, OSError) as error:
            self.note.say(f"Could not save: {error_words(error)}")

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load a view", "", "View (*.json);;All files (*)")
        if path:
            self.read_view(path)

    def read_view(self, path: str) -> None:
        """Show a saved view."""
        try:
            display = load_display(path)
        except Nh2stError as error:
            self.note.say(str(error))
            return
        note = show_display(self._workspace, display)
        self.note.say(f"Loaded {Path(path).name}. {note}".strip())


def _figure(prediction: Any, display: Display, path: str) -> str:
    """Write a figure, with the tissue where its slide is there; return what to say of it."""
    from napari_nh2st.formats.figure import write_figure
    from napari_nh2st.formats.picture import find_slide

    slide, reason = find_slide(prediction)
    command = figure_line(store_path(prediction.slide), display)
    try:
        written = write_figure(prediction, display, path, slide=slide, command=command)
    finally:
        if slide is not None:
            slide.close()
    return f"{written}, without tissue: {reason}" if reason else str(written)
