"""What to do with a prediction, and what computes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QPushButton, QWidget

from napari_nh2st.viewer.predicted import PredictedMap
from napari_nh2st.viewer.services import Services
from napari_nh2st.viewer.widgets.parts import NarrowCombo, Sentence, column, row
from napari_nh2st.viewer.widgets.worker import Background
from napari_nh2st.viewer.words import error_words


class ResultSection(QWidget):
    """Export, copy as command, and the device."""

    copy = Signal()

    def __init__(self, background: Background, services: Services) -> None:
        super().__init__()
        self._background, self._services = background, services
        self._map: PredictedMap | None = None
        self._devices = NarrowCombo("What computes. Automatic takes a graphics card where there is a usable one")
        self._devices.addItem("automatic", "auto")
        self.export = QPushButton("Export…")
        self.export.setToolTip("Save what is predicted, all genes, as AnnData (.h5ad) or a table (.csv)")
        self.export.clicked.connect(self._ask)
        self.command = QPushButton("Copy as command")
        self.command.setToolTip("Copy the command line that predicts the same, for scripts and servers")
        self.command.clicked.connect(self.copy.emit)
        self.note = Sentence()
        layout = column(self)
        layout.addLayout(row(self._devices, label="Runs on", stretch=0))
        layout.addLayout(row(self.export, self.command))
        layout.addWidget(self.note)
        self.set_ready(False, can_copy=False)
        background.call(services.devices, then=self._found, failed=lambda error: None)

    @property
    def device(self) -> str:
        """Name of the chosen device, or "auto"."""
        return str(self._devices.currentData())

    def _found(self, names: list[str]) -> None:
        for name in names:
            self._devices.addItem(name, name)
        self._devices.setItemText(0, f"automatic ({names[0]})")

    def set_map(self, shown: PredictedMap) -> None:
        """Export this map from now on."""
        self._map = shown
        self.note.say("")

    def set_ready(self, ready: bool, *, can_copy: bool) -> None:
        """Tell whether there is something to export, and a command to copy."""
        self.export.setEnabled(ready)
        self.command.setEnabled(can_copy)

    def copied(self, command: str) -> None:
        """Put a command on the clipboard and say so."""
        QApplication.clipboard().setText(command)
        self.note.say(f"Copied: {command}")

    def _ask(self) -> None:
        if self._map is None:
            return
        from napari_nh2st.formats import EXPORTERS

        filters = {f"{e.description} (*{e.suffix})": e for e in EXPORTERS.values()}
        start = Path(str(self._map.slide.get("path", "slide"))).stem
        first = next(iter(filters.values()))
        path, chosen = QFileDialog.getSaveFileName(
            self, "Export the prediction", f"{start}{first.suffix}", ";;".join(filters)
        )
        if path:
            suffix = Path(path).suffix.lower()
            by_suffix = next((e for e in EXPORTERS.values() if e.suffix == suffix), None)
            self.write((by_suffix or filters[chosen]).name, path)

    def write(self, name: str, path: str) -> None:
        """Write the map in a format, off the GUI thread."""
        assert self._map is not None
        self.export.setEnabled(False)
        self.note.say("Writing…")
        prediction = self._map.prediction()  # a copy: what arrives meanwhile does not disturb the writer
        self._background.call(
            self._services.export, prediction, name, path, then=self._written, failed=self._not_written
        )

    def _written(self, path: Any) -> None:
        self.export.setEnabled(True)
        self.note.say(f"Saved {path}")

    def _not_written(self, error: Exception) -> None:
        self.export.setEnabled(True)
        self.note.say(f"Could not save: {error_words(error)}")
