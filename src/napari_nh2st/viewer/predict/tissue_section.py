"""The tissue mask: shown as a Labels layer, edited with napari's brush, obeyed by the next prediction."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from qtpy.QtWidgets import QPushButton, QWidget

from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.long_work import Cancelled, Tell
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.layers.label_colours import prepare_labels
from napari_nh2st.viewer.layers.tissue import add_tissue_layer, tissue_layer_of
from napari_nh2st.viewer.predict.workspace import Workspace

_HINT = "Paint with label 1 to add tissue, erase to take it away; the next prediction obeys."


class TissueSection(QWidget):
    """Show and edit where the tissue is."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self.button = QPushButton("Show and edit the tissue mask")
        self.button.setToolTip("Only tissue is predicted. See what counts as tissue, and correct it with the brush")
        self.button.clicked.connect(self._show)
        self.task = Task(workspace, workspace.slide_subjects)
        layout = column(self, spacing=2)
        layout.addLayout(row(self.button, stretch=0))
        layout.addWidget(self.task)
        workspace.state.events.slide.connect(self._slide_changed)
        self._slide_changed()

    def _slide_changed(self) -> None:
        self.button.setEnabled(self._workspace.slide is not None and not self.task.running)

    def _show(self) -> None:
        slide, viewer = self._workspace.slide, self._workspace.viewer
        if slide is None:
            return
        layer = tissue_layer_of(viewer, slide)
        if layer is not None:
            layer.visible = True
            viewer.layers.selection.active = layer
            return
        self.task.start("Finding the tissue", partial(_find, slide), partial(self._add, slide), self._slide_changed)
        self._slide_changed()

    def _add(self, slide: Any, tissue: Any) -> None:
        add_tissue_layer(self._workspace.viewer, slide, tissue, self._workspace.state.slide_layer)
        self.task.say(_HINT)


def _find(slide: Any, tell: Tell, cancelled: Cancelled) -> Any:
    found = slide.tissue(tell=tell, cancelled=cancelled)
    prepare_labels(np.uint8)
    return found
