"""How far the ticked models agree: a button, a box for the layer, a sentence about the gene, a table of genes."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.kit.buttons import ActionBox, action_button
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.models.agreement import AgreementPresenter
from napari_nh2st.viewer.models.compared import Compared
from napari_nh2st.viewer.models.messages import COMPARE_TIP, DISAGREEMENT_TIP, TABLE_TIPS
from napari_nh2st.viewer.models.selection import Selection
from napari_nh2st.viewer.predict.workspace import Workspace


class AgreementPart(QWidget):
    """Compares the ticked models.

    Parameters
    ----------
    before_drawing : callable
        Called before the layer is brought out.
    """

    def __init__(self, workspace: Workspace, selection: Selection, before_drawing: Callable[[], None]) -> None:
        super().__init__()
        self._before_drawing = before_drawing
        self._shown: Compared | None = None
        self.task = self.work = Task(workspace, workspace.slide_subjects)
        self.button = action_button("Compare", COMPARE_TIP, lambda: self.presenter.compare())
        self.layer = ActionBox("where they disagree", DISAGREEMENT_TIP)
        self.sentence = Sentence()
        self.table = GeneTable("agreement", workspace.save_folder)
        layout = column(self, spacing=4)
        line = row(self.button, self.layer)
        line.addStretch(1)
        layout.addLayout(line)
        for part in (self.task, self.sentence, self.table):
            layout.addWidget(part)
        self.presenter = AgreementPresenter(workspace, selection, self)
        self.layer.clicked.connect(self._layer_clicked)
        self.table.gene_clicked.connect(self.presenter.show_gene_of_table)
        self.presenter.update()

    def _layer_clicked(self, on: bool) -> None:
        if on:
            self._before_drawing()
        self.presenter.toggle_layer(on)

    def show_compare_offer(self, reason_off: str) -> None:
        """Offer to compare, or say why not."""
        self.button.set_reason_off(reason_off)

    def show_agreement(self, compared: Compared | None, sentence: str) -> None:
        """Show the table of genes and a sentence about the one in sight, or nothing."""
        self.sentence.say(sentence)
        if compared is self._shown:
            return
        self._shown = compared
        if compared is None:
            self.table.show_frame(None)
            return
        self.table.what = f"agreement of {' and '.join(compared.names)}"
        frame = compared.table.round({"apart": 2})
        self.table.show_frame(frame, sort_by="PCC", tips=TABLE_TIPS, saved=compared.table.reset_index())

    def show_layer_offer(self, reason_off: str, *, on: bool) -> None:
        """Offer the layer of where they disagree, or say why not; tick it where it is in sight."""
        self.layer.set_reason_off(reason_off)
        self.layer.setChecked(on)
