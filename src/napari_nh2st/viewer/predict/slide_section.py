"""The choice of the slide, and its pixel size."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget
from superqt.utils import signals_blocked

from napari_nh2st.slide_path import ENDINGS
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.layers.roles import fingerprint_of, is_opening, map_of, slide_of
from napari_nh2st.viewer.predict.closing import Closing
from napari_nh2st.viewer.predict.messages import picture_words, pictures_to_choose
from napari_nh2st.viewer.predict.pixel_size_form import PixelSizeForm
from napari_nh2st.viewer.predict.slide_menu import SlideMenu
from napari_nh2st.viewer.predict.workspace import Workspace


def is_slide_layer(layer: Any) -> bool:
    """Return True if a layer is a slide: one that our reader made, or a colour image from a file that ours can open."""
    if not isinstance(layer, Image) or map_of(layer) is not None:
        return False
    if slide_of(layer) is not None or is_opening(layer):
        return True
    return bool(layer.rgb and str(layer.source.path or "").lower().endswith(ENDINGS))


class SlideSection(QWidget):
    """A combo box of the slide layers, and the pixel size of the chosen one."""

    layer_changed = Signal(object)
    mpp_given = Signal(float, str)  # and its source
    picture_chosen = Signal(int)

    def __init__(self, workspace: Workspace, connections: Connections) -> None:
        super().__init__()
        viewer, state = self._viewer, self._state = workspace.viewer, workspace.state
        self._layers: list[Any] = []
        self.combo = NarrowCombo("The slide to predict on: one of the slides that are open")
        self.pictures = NarrowCombo("The pictures of this file: another section, say. Choosing one opens it as a slide")
        self.pictures_row = QWidget()
        self.pictures_row.setLayout(row(self.pictures, label="Picture", stretch=0))
        self.pictures_row.setVisible(False)  # until a slide is open
        self.pixel_size = PixelSizeForm(viewer, state, workspace.tools, self.mpp_given.emit)
        layout = column(self, spacing=2)
        self.menu = SlideMenu(Closing(workspace))
        layout.addLayout(row(self.combo, self.menu, label="Slide", stretch=0))
        layout.addWidget(self.pictures_row)
        layout.addWidget(self.pixel_size)
        self.combo.currentIndexChanged.connect(self._tell)
        self.pictures.activated.connect(lambda index: self.picture_chosen.emit(self.pictures.itemData(index)))
        for name in ("inserted", "removed", "reordered"):
            connections.add(getattr(viewer.layers.events, name), self.refresh)
        connections.add(viewer.layers.events.renamed, self._rename)
        state.events.slide_layer.connect(self.choose)
        state.events.slide.connect(self._show_slide)
        self.refresh()

    @property
    def layer(self) -> Any:
        """The chosen layer, None where no slide is open."""
        index = self.combo.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def choose(self, layer: Any) -> None:
        """Choose one of the open slides."""
        if layer in self._layers:
            self.combo.setCurrentIndex(self._layers.index(layer))
        elif layer is None:
            with signals_blocked(self.combo):
                self.combo.setCurrentIndex(-1)

    def refresh(self, event: Any = None) -> None:
        """List the slide layers anew, keeping the choice."""
        chosen, found = self.layer, [layer for layer in self._viewer.layers if is_slide_layer(layer)]
        if found == self._layers:
            return
        # a slide that has just been opened is the one a person means
        new = [layer for layer in found if layer not in self._layers]
        wanted = self._first(new) if new else chosen if chosen in found else found[-1] if found else None
        self._layers = found
        with signals_blocked(self.combo):
            self.combo.clear()
            self.combo.addItems([layer.name for layer in found])
            self.combo.setCurrentIndex(found.index(wanted) if wanted is not None else -1)
        self.combo.setEnabled(bool(found))
        if self.layer != chosen:
            self._tell()

    def _first(self, new: list[Any]) -> Any:
        """Return the slide that a person means: of several, the one they have selected a layer of, or see on top."""
        selected = fingerprint_of(self._viewer.layers.selection.active)
        of_selected = [layer for layer in new if selected is not None and fingerprint_of(layer) == selected]
        return (of_selected or [layer for layer in new if layer.visible] or new)[-1]

    def _rename(self, event: Any = None) -> None:
        for i, layer in enumerate(self._layers):
            self.combo.setItemText(i, layer.name)

    def _tell(self, index: int = 0) -> None:
        self.layer_changed.emit(self.layer)

    def _show_pictures(self) -> None:
        """List the pictures of the chosen slide's file, if there are others than its label and the like."""
        slide = self._state.slide
        listed = [] if slide is None else pictures_to_choose(slide)
        with signals_blocked(self.pictures):
            self.pictures.clear()
            for picture in listed:
                self.pictures.addItem(picture_words(picture), picture.number)
            self.pictures.setCurrentIndex(next((i for i, p in enumerate(listed) if p.number == slide.picture), -1))
        self.pictures_row.setVisible(bool(listed))

    def _show_slide(self) -> None:
        """Show the pixel size of the chosen slide; ask for it where it is not known."""
        self._show_pictures()
        self.pixel_size.presenter.show(self._state.slide)
