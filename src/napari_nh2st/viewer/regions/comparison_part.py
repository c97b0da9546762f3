"""Two lists of regions, a button, and the genes ranked by how they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Label, Note, Sentence
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.regions.comparison import ComparisonPresenter
from napari_nh2st.viewer.regions.messages import ALIKE, COMPARISON_TIPS, ELSEWHERE

if TYPE_CHECKING:
    import pandas as pd


class ComparisonPart(QWidget):
    """Hidden while there is no region."""

    gene_clicked = Signal(str)

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._first = NarrowCombo("The region that is compared")
        self._second = NarrowCombo("What it is compared with; “everything else” is all that is predicted outside it")
        self.button = action_button(
            "Compare", "Rank the genes by how they differ between the two", lambda: self.presenter.compare()
        )
        self.task = self.work = Task(workspace)
        self.outcome = Sentence()
        self.table = GeneTable("comparison", workspace.save_folder)
        self.table.gene_clicked.connect(self.gene_clicked)
        self.note = Note()
        layout = column(self)
        # no captions of a fixed width: they are cut off in a larger font
        layout.addLayout(row(self._first, Label("with"), stretch=0))
        layout.addLayout(row(self._second, self.button, stretch=0))
        for part in (self.task, self.outcome, self.table, self.note):
            layout.addWidget(part)
        self.setVisible(False)
        self.presenter = ComparisonPresenter(workspace, self)

    @property
    def first(self) -> str:
        """The region that is compared."""
        return str(self._first.currentText())

    @property
    def second(self) -> str | None:
        """The region that it is compared with; None is everything else."""
        # the entry after "everything else" may be a region of that name
        return str(self._second.currentText()) if self._second.currentIndex() else None

    def offer(self, names: list[str], *, same: bool) -> None:
        """Offer regions; hide everything where there is none."""
        self.setVisible(bool(names))
        if same:
            return
        for combo, entries in ((self._first, names), (self._second, [ELSEWHERE, *names])):
            kept = combo.currentText()
            combo.clear()
            combo.addItems(entries)
            combo.setCurrentIndex(max(0, combo.findText(kept)))

    def show_outcome(self, said: str, table: pd.DataFrame | None, title: str = "") -> None:
        """Show what came of a comparison, or take it away."""
        self.outcome.say(said)
        self.note.say("" if table is None else ALIKE)
        if table is None:
            self.table.show_frame(None)
            return
        self.table.what = title
        self.table.show_frame(table, sort_by="score", tips=COMPARISON_TIPS)

    def show_comparing(self, on: bool) -> None:
        """Leave the button off while a comparison is going on."""
        self.button.setEnabled(not on)
