"""The section *Regions*: what is drawn, listed and described as soon as it changes; two regions compared; domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut, QShowEvent
from qtpy.QtWidgets import QFileDialog, QWidget
from superqt.utils import qdebounced

from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column, row, rule
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.kit.tool_button import ToolButton
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.regions.comparison_part import ComparisonPart
from napari_nh2st.viewer.regions.domains_part import DomainsPart
from napari_nh2st.viewer.regions.messages import (
    DELETE_TIP,
    DONE_DRAWING,
    DRAW,
    DRAW_TIP,
    NO_REGIONS,
    NOTHING_REMOVED,
    OPEN_TIP,
    REGION_TIPS,
    SAVE_TIP,
    UNDO_TIP,
)
from napari_nh2st.viewer.regions.presenter import Listed, Regions, RegionsPresenter
from napari_nh2st.viewer.regions.region_list import RegionList
from napari_nh2st.viewer.regions.save_dialog import ask_file

if TYPE_CHECKING:
    import pandas as pd

_OPENED = "Regions (*.geojson *.json *.xml *.ndpa);;All files (*)"
_DRAWN_MS = 400  # a shape that has not changed for so long is done


class RegionsSection(QWidget):
    """A button to draw, the list of regions, the genes of one, a comparison of two, and domains."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._refresh = qdebounced(lambda: self.presenter.refresh(), timeout=_DRAWN_MS)
        self.presenter = RegionsPresenter(workspace, self)
        self.draw = ToolButton(DRAW, DRAW_TIP, DONE_DRAWING, self.presenter.pen, workspace.tools)
        self.delete = action_button(
            "Delete", DELETE_TIP, lambda: self.presenter.delete(self.list.region), reason_off=NO_REGIONS
        )
        self.undo = action_button("Undo", UNDO_TIP, self.presenter.undo, reason_off=NOTHING_REMOVED)
        self.open = action_button("Open…", OPEN_TIP, self.ask_open)
        self.save = action_button("Save…", SAVE_TIP, self.ask_save, reason_off=NO_REGIONS)
        self._save_folder = workspace.save_folder
        shortcut = QShortcut(QKeySequence.StandardKey.Undo, self, self.presenter.undo)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self.sentence = Sentence()
        self.list = RegionList()
        self.table = GeneTable("regions", workspace.save_folder)
        self.comparison = ComparisonPart(workspace)
        self.domains = DomainsPart(workspace)
        for table in (self.table, self.comparison):
            table.gene_clicked.connect(self.domains.presenter.show_gene)
        layout = column(self)
        layout.addLayout(row(self.draw, self.delete, self.undo, stretch=0))
        layout.addLayout(row(self.open, self.save))
        for part in (self.sentence, self.list, self.table, self.comparison, rule(), self.domains):
            layout.addWidget(part)
        self.list.chosen.connect(lambda name: self.presenter.show_genes())
        self.list.renamed.connect(self.presenter.rename)
        workspace.when_closing(self._refresh.cancel)
        self._refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """Look at what was drawn while the section was folded."""
        super().showEvent(event)
        self.presenter.look_again()

    def ask_open(self) -> None:
        """Ask for a file of regions."""
        path, _ = QFileDialog.getOpenFileName(self, "Open regions", str(self._save_folder.folder), _OPENED)
        if path:
            self.presenter.open(path)

    def ask_save(self) -> None:
        """Ask where the regions are saved."""
        path = ask_file(self, "regions", self._save_folder)
        if path:
            self.presenter.save(path)

    @property
    def folded(self) -> bool:
        """True if nobody can see the section."""
        return self.isHidden()

    @property
    def region(self) -> str:
        """The region that is chosen in the list."""
        return self.list.region

    def show_sentence(self, text: str) -> None:
        """Say what to do, or what went wrong."""
        self.sentence.say(text)

    def show_regions(self, listed: list[Listed], regions: Regions, choose: str = "") -> None:
        """List regions, choose the one of a name, and offer them to be compared."""
        self.list.show_regions(listed, choose)
        for button in (self.delete, self.save):
            button.set_reason_off("" if listed else NO_REGIONS)
        self.comparison.presenter.set_regions(regions)

    def show_undo(self, steps: int) -> None:
        """Offer to bring back what was removed, where there is something."""
        self.undo.set_reason_off("" if steps else NOTHING_REMOVED)

    def show_genes(self, genes: pd.DataFrame | None, saved: pd.DataFrame | None) -> None:
        """Show the genes of the chosen region."""
        if genes is None:
            self.table.show_frame(None)
        else:
            self.table.show_frame(genes, sort_by="difference", tips=REGION_TIPS, saved=saved)

    def refresh_soon(self) -> None:
        """Read what is drawn when drawing has rested."""
        self._refresh()

    def refresh_later(self) -> None:
        """Wait no longer."""
        self._refresh.cancel()
