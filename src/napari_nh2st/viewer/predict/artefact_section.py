"""Artefacts: where tissue is out of focus, folded, or under ink or a bubble; shown, and left out if asked."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from qtpy.QtWidgets import QWidget

from napari_nh2st.slides.artefacts import LIMIT, shares_in_words
from napari_nh2st.viewer.kit.buttons import ActionBox, ActionButton
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.long_work import Cancelled, Tell
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.layers.artefacts import add_artefact_layer, artefact_layer_of
from napari_nh2st.viewer.layers.label_colours import prepare_labels
from napari_nh2st.viewer.predict.messages import NO_MPP, NOTHING_OPEN
from napari_nh2st.viewer.predict.workspace import Workspace

_SHOW = "Find artefacts"
_TIP = "Find pen, folds, bubbles and what is out of focus, and show them as a layer. Takes some seconds"
_LEAVE_OUT = "Leave artefacts out"
_LEAVE_OUT_TIP = (
    f"Predict no tile of which artefacts cover more than {LIMIT:.0%}: the next prediction obeys. Tiles beside them are "
    "predicted as at an edge of the tissue"
)


class ArtefactSection(QWidget):
    """Show artefacts and their shares; choose whether they are left out of what is predicted."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self.button = ActionButton(_SHOW, _TIP)
        self.button.clicked.connect(self._show)
        self.leave_out = ActionBox(_LEAVE_OUT, _LEAVE_OUT_TIP)
        self.leave_out.toggled.connect(self._chosen)
        self.task = Task(workspace, workspace.slide_subjects)
        layout = column(self, spacing=2)
        layout.addLayout(row(self.button, self.leave_out, stretch=0))
        layout.addWidget(self.task)
        workspace.state.events.slide.connect(self._slide_changed)
        workspace.state.events.skip_artefacts.connect(self._show_choice)
        self._slide_changed()

    def _chosen(self, on: bool) -> None:
        self._workspace.state.skip_artefacts = on

    def _show_choice(self, on: bool) -> None:
        self.leave_out.setChecked(on)

    def _slide_changed(self) -> None:
        slide = self._workspace.slide
        missing = NOTHING_OPEN if slide is None else NO_MPP if slide.mpp is None else ""
        self.button.set_reason_off(missing or ("They are being looked for" if self.task.running else ""))

    def _show(self) -> None:
        slide, viewer = self._workspace.slide, self._workspace.viewer
        if slide is None:
            return
        layer = artefact_layer_of(viewer, slide)
        if layer is not None:
            layer.visible = True
            return
        self.task.start("Looking for artefacts", partial(_find, slide), partial(self._add, slide), self._slide_changed)
        self._slide_changed()

    def _add(self, slide: Any, artefacts: Any) -> None:
        if artefacts.kinds:
            add_artefact_layer(self._workspace.viewer, slide, artefacts, self._workspace.state.slide_layer)
        found = shares_in_words(artefacts)
        self.task.say(f"Of the tissue: {found}." if artefacts.labels.any() else f"{found[0].upper()}{found[1:]}.")


def _find(slide: Any, tell: Tell, cancelled: Cancelled) -> Any:
    found = slide.artefacts(tell=tell, cancelled=cancelled)
    prepare_labels(np.uint8)
    return found
