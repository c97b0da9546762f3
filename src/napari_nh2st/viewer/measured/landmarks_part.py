"""The part of *Measured* in which spots are laid on the slide: landmarks to drag, a snap, and a meter."""

from __future__ import annotations

from qtpy.QtWidgets import QFileDialog, QWidget
from superqt.utils import qdebounced

from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.measured.landmarks import LandmarksPresenter
from napari_nh2st.viewer.measured.messages import (
    ADD_MARK_TIP,
    LANDMARKS,
    LANDMARKS_OFF,
    LANDMARKS_TIP,
    SAVE_TRANSFORM_TIP,
    SNAP,
    SNAP_TIP,
)
from napari_nh2st.viewer.predict.workspace import Workspace

_METER_MS = 350


class LandmarksPart(QWidget):
    """Buttons; below, how far the marks are off, and how well the model predicts the spots where they lie."""

    presenter: LandmarksPresenter  # given by the section

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self.task = self.work = Task(workspace, workspace.slide_subjects)
        self.meter_soon = qdebounced(lambda: self.presenter.read_meter(), timeout=_METER_MS)
        workspace.when_closing(self.meter_soon.cancel)
        self.marks = action_button(LANDMARKS, LANDMARKS_TIP, lambda: self.presenter.toggle())
        self.snap = action_button(SNAP, SNAP_TIP, lambda: self.presenter.snap())
        self.add = action_button("Add", ADD_MARK_TIP, lambda: self.presenter.add())
        self.undo = action_button("Undo", "Go back by one step", lambda: self.presenter.undo())
        self.save = action_button("Save…", SAVE_TRANSFORM_TIP, self._save)
        self.residuals, self.meter = Sentence(), Sentence()
        self.tools = QWidget()
        column(self.tools).addLayout(row(self.add, self.undo, self.save, stretch=0))
        layout = column(self, spacing=4)
        layout.addLayout(row(self.marks, self.snap, stretch=0))
        for part in (self.tools, self.residuals, self.meter, self.task):
            layout.addWidget(part)

    def _save(self) -> None:
        proposed = str(self._workspace.save_folder.path_for("transform.json"))
        path, _ = QFileDialog.getSaveFileName(self, "Save where the spots lie", proposed, "Transform (*.json)")
        self.presenter.save(path)

    # what the presenter shows

    def show_landmarks(self, on: bool, undo: bool, residuals: str) -> None:
        """Show whether marks are on the canvas, whether a step can be undone, and how far the marks are off."""
        self.marks.set_action(LANDMARKS_OFF if on else LANDMARKS, LANDMARKS_TIP)
        self.tools.setVisible(on)
        self.undo.set_reason_off("" if undo else "Nothing has been moved yet")
        self.residuals.say(residuals)

    def show_meter(self, sentence: str) -> None:
        """Show how well the model predicts the spots where they lie."""
        self.meter.say(sentence)
