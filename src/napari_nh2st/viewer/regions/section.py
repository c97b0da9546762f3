"""The section *Regions*: what is drawn, listed and described as soon as it changes; two regions compared; domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QWidget
from superqt.utils import qdebounced

from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column, rule
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.kit.tool_button import ToolButton
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.regions.comparison_part import ComparisonPart
from napari_nh2st.viewer.regions.domains_part import DomainsPart
from napari_nh2st.viewer.regions.messages import DONE_DRAWING, DRAW, DRAW_TIP, REGION_TIPS
from napari_nh2st.viewer.regions.presenter import Regions, RegionsPresenter
from napari_nh2st.viewer.regions.region_list import RegionList

if TYPE_CHECKING:
    import pandas as pd

_DRAWN_MS = 400  # a shape that has not changed for so long is done


class RegionsSection(QWidget):
    """A button to draw, the list of regions, the genes of one, a comparison of two, and domains."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._refresh = qdebounced(lambda: self.presenter.refresh(), timeout=_DRAWN_MS)
        self.presenter = RegionsPresenter(workspace, self)
        self.draw = ToolButton(DRAW, DRAW_TIP, DONE_DRAWING, self.presenter.pen, workspace.tools)
        self.sentence = Sentence()
        self.list = RegionList()
        self.table = GeneTable("regions")
        self.comparison = ComparisonPart(workspace)
        self.domains = DomainsPart(workspace)
        for table in (self.table, self.comparison):
            table.gene_clicked.connect(self.domains.presenter.show_gene)
        layout = column(self)
        for part in (self.draw, self.sentence, self.list, self.table, self.comparison, rule(), self.domains):
            layout.addWidget(part)
        self.list.chosen.connect(lambda name: self.presenter.show_genes())
        self.list.renamed.connect(self.presenter.rename)
        workspace.when_closing(self._refresh.cancel)
        self._refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """Look at what was drawn while the section was folded."""
        super().showEvent(event)
        self.presenter.look_again()

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

    def show_regions(self, words: dict[str, str], regions: Regions) -> None:
        """List regions with a few words on each, and offer them to be compared."""
        self.list.show_regions(words)
        self.comparison.presenter.set_regions(regions)

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
