"""The empty dock: three big buttons, and a line that offers the tour."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from napari_nh2st.formats import EXPORTERS
from napari_nh2st.slide_path import ENDINGS
from napari_nh2st.viewer.kit.buttons import ActionButton, action_button
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.texts import Label, Sentence
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.start.beginning import Beginning

_FILTER = f"Slides ({' '.join(f'*{suffix}' for suffix in ENDINGS)});;All files (*)"
_ENDINGS = [f"*{suffix}" for exporter in EXPORTERS.values() if not exporter.folder for suffix in exporter.suffixes]
_EXPORTED = f"Exported predictions ({' '.join(_ENDINGS)});;All files (*)"
_HEIGHT = 44  # pixels of a big button; a larger font takes more


class EmptyDock(QWidget):
    """Offers ways to begin while nothing is open."""

    emptied = Signal(bool)  # nothing is open, or something is
    tour_wanted = Signal()

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.slide = _big("Open a slide…", "Choose a slide file. It opens where the last one lay", self._ask_slide)
        self.demo = _big("Try the demo tissue", "Open tissue with invented genes", lambda: self.presenter.open_demo())
        self.results = _big("Open earlier results…", "Choose what was predicted or exported before", lambda: None)
        menu = QMenu(self.results)
        self.results_folder = menu.addAction("A folder (.nh2st, .ome.zarr, .sdata.zarr)…", self._ask_folder)
        self.results_file = menu.addAction("An exported file…", self._ask_file)
        self.results.setMenu(menu)
        layout = column(self, spacing=4)
        for button, about in (
            (self.slide, "SVS, NDPI, TIFF, JPEG or PNG. You can also drop a file into the window."),
            (self.demo, "Tissue made by a program, with invented genes: see how it works in a minute."),
            (self.results, "A .nh2st folder or an exported file: look at its genes without computing again."),
        ):
            layout.addWidget(button)
            layout.addWidget(Sentence(about, dim=True))
            layout.addSpacing(10)
        self.sentence = Sentence()
        layout.addWidget(self.sentence)
        self.tour = action_button("Take the tour", "See the five parts you need first", self.tour_wanted.emit)
        self.no_tour = action_button("No, thanks", "Do not offer it again", lambda: self.presenter.decline_tour())
        self.offer = QWidget()
        offered = row(Label("New here?"), self.tour, self.no_tour)
        offered.addStretch(1)
        self.offer.setLayout(offered)
        layout.addWidget(self.offer)
        self.presenter = Beginning(workspace, self)

    def _ask_slide(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Open a slide", self.presenter.folder, _FILTER)
        self.presenter.open_slides(paths)

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open earlier results (.nh2st)", self.presenter.folder)
        if folder:
            self.presenter.open_results(folder)

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open an exported file", self.presenter.folder, _EXPORTED)
        if path:
            self.presenter.open_results(path)

    # what the presenter shows

    def show_empty(self, on: bool) -> None:
        """Offer the ways to begin while nothing is open."""
        self.setVisible(on)
        self.emptied.emit(on)

    def offer_tour(self, on: bool) -> None:
        """Ask in one line whether somebody would like the tour."""
        self.offer.setVisible(on)

    def say(self, text: str) -> None:
        """Say why something could not be opened."""
        self.sentence.say(text)


def _big(text: str, tooltip: str, on_click: Callable[[], object]) -> ActionButton:
    button = action_button(text, tooltip, on_click)
    button.setMinimumHeight(_HEIGHT)
    return button
