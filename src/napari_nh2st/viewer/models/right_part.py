"""Which model is right where: a button, a box for the layer, what the figures are worth, a table of genes."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.kit.buttons import ActionBox, action_button
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Banner, Note, Sentence
from napari_nh2st.viewer.models.messages import LAYER_TIP, RIGHT_TIP, UNTRAINED, nearer_tips, trained_words
from napari_nh2st.viewer.models.right_where import RightPresenter, RightWhere
from napari_nh2st.viewer.models.selection import Selection
from napari_nh2st.viewer.predict.workspace import Workspace

_SAVED_ALONE = ["difference", "low", "high", "spots"]  # columns for which the dock has no room


class RightPart(QWidget):
    """Holds the ticked models against the slide's measurement.

    Parameters
    ----------
    before_drawing : callable
        Called before the layer is brought out.
    """

    def __init__(self, workspace: Workspace, selection: Selection, before_drawing: Callable[[], None]) -> None:
        super().__init__()
        self._before_drawing = before_drawing
        self._shown: RightWhere | None = None
        self.task = self.right_work = Task(workspace, workspace.slide_subjects)
        self.button = action_button("Which is right where", RIGHT_TIP, lambda: self.presenter.ask())
        self.why_not = Sentence(dim=True)
        self.banner, self.worth, self.sentence = Banner(), Note(), Sentence()
        self.banner.setVisible(False)
        self.layer = ActionBox("the nearer model at each spot", LAYER_TIP)
        self.table = GeneTable("right", workspace.save_folder)
        layout = column(self, spacing=4)
        for part in (self.button, self.why_not, self.task, self.banner, self.worth, self.sentence, self.layer):
            layout.addWidget(part)
        layout.addWidget(self.table)
        self.presenter = RightPresenter(workspace, selection, self)
        self.layer.clicked.connect(self._layer_clicked)
        self.table.gene_clicked.connect(self.presenter.show_gene_of_table)
        self.presenter.update()

    def _layer_clicked(self, on: bool) -> None:
        if on:
            self._before_drawing()
        self.presenter.toggle_layer(on)

    def show_right_offer(self, reason_off: str) -> None:
        """Offer to predict at the measured spots, or say why not."""
        self.button.set_reason_off(reason_off)
        self.why_not.say(reason_off)

    def show_right(self, right: RightWhere | None, sentence: str) -> None:
        """Show the table of genes and a sentence about the one in sight, or nothing."""
        self.sentence.say(sentence)
        self.layer.setVisible(right is not None)
        if right is self._shown:
            return
        self._shown = right
        if right is None:
            self.banner.say("")
            self.worth.say("")
            self.table.show_frame(None)
            return
        spots = right.spots
        trained = trained_words(spots.names, spots.section, spots.trained_as)
        self.banner.say(trained)
        self.worth.say("\n".join([UNTRAINED] * (not trained) + list(spots.doubts)))
        self.table.what = f"{spots.section}, {' and '.join(spots.names)}"
        frame = right.table.drop(columns=_SAVED_ALONE, errors="ignore").round({"nearer": 2})
        saved = right.table.reset_index()
        self.table.show_frame(frame, sort_by=spots.names[0], tips=nearer_tips(spots.names), saved=saved)

    def show_right_layer(self, reason_off: str, *, on: bool) -> None:
        """Offer the layer, or say why not; tick it where it is in sight."""
        self.layer.set_reason_off(reason_off)
        self.layer.setChecked(on)
