"""The tissue mask: shown as a Labels layer, edited with napari's brush, obeyed by the next prediction."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.state.services import Services

_HINT = "Paint with label 1 to add tissue, erase to take it away; the next prediction obeys."


class TissueSection(QWidget):
    """Show and edit where the tissue is."""

    failed = Signal(object)

    def __init__(self, viewer: Any, background: Background, services: Services) -> None:
        super().__init__()
        self._viewer, self._background, self._services = viewer, background, services
        self._layer: Any = None
        self._slide: Any = None
        self.button = QPushButton("Show and edit the tissue mask")
        self.button.setToolTip("Only tissue is predicted. See what counts as tissue, and correct it with the brush")
        self.button.clicked.connect(self._show)
        self.hint = Sentence()
        layout = column(self, spacing=2)
        layout.addLayout(row(self.button, stretch=0))
        layout.addWidget(self.hint)

    def set_slide(self, layer: Any, slide: Any) -> None:
        """Work on another slide."""
        self._layer, self._slide = layer, slide
        self.button.setEnabled(slide is not None)
        self.hint.say("")

    def mask(self, slide: Any) -> np.ndarray | None:
        """Return the edited mask, None while there is no layer of it."""
        layer = frames.tissue_layer_of(self._viewer, slide)
        return None if layer is None else np.asarray(layer.data) > 0

    def _show(self) -> None:
        found = frames.tissue_layer_of(self._viewer, self._slide)
        if found is not None:
            found.visible = True
            self._viewer.layers.selection.active = found
            return
        self.button.setEnabled(False)
        self.hint.say("Finding the tissue…")
        self._background.call(_find, self._slide, then=partial(self._found, self._slide), failed=self._give_up)

    def _found(self, slide: Any, tissue: Any) -> None:
        self.button.setEnabled(True)
        if slide is self._slide and self._layer in self._viewer.layers:
            frames.add_tissue_layer(self._viewer, slide, tissue, self._layer)
            self.hint.say(_HINT)

    def _give_up(self, error: Exception) -> None:
        self.button.setEnabled(True)
        self.hint.say("")
        self.failed.emit(error)


def _find(slide: Any) -> Any:
    found = slide.tissue()
    frames.prepare_labels(np.uint8)
    return found
