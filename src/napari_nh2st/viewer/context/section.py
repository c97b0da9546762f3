"""The section *Context*: a tile and its neighbours, and a layer of what the surroundings change over the slide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.context.marks import Mark
from napari_nh2st.viewer.context.messages import (
    DONE_PICKING,
    EVERY_TILE,
    LINKS_TIP,
    PICK,
    PICK_TIP,
    SHOW,
    SHOW_LINKS,
    SHOW_TIP,
    TABLE_TIPS,
)
from napari_nh2st.viewer.context.picture import ContextPicture
from napari_nh2st.viewer.context.presenter import ContextPresenter, Pictures, SlideOffer
from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column, row, rule
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.kit.tool_button import ToolButton
from napari_nh2st.viewer.predict.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

_DRAWN_MS = 500


class ContextSection(QWidget):
    """Nine pictures with numbers, a table of genes, and a button for the whole slide."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.task = self.tile_work = Task(workspace)
        self.effect_task = self.slide_work = Task(workspace)
        self.sentence, self.legend = Sentence(), Sentence(EVERY_TILE)
        self.picture = ContextPicture()
        self.table = GeneTable("genes of a tile", workspace.save_folder)
        self.table.gene_clicked.connect(workspace.state.request_gene)
        self._drawing = QTimer(self, interval=_DRAWN_MS)
        self.show_button = action_button(SHOW, SHOW_TIP, lambda: self.presenter.toggle())
        self.more = action_button(
            "Go on", "Compute it for the tiles that were predicted since", lambda: self.presenter.compute()
        )
        self.links_button = action_button(SHOW_LINKS, LINKS_TIP, lambda: self.presenter.toggle_links())
        self.presenter = ContextPresenter(workspace, self)
        self.pick = ToolButton(PICK, PICK_TIP, DONE_PICKING, self.presenter.picker, workspace.tools)
        self._lay_out()
        self._drawing.timeout.connect(self.presenter.draw_arrived)
        self.presenter.show_hint()
        self.presenter.show_state()

    def _lay_out(self) -> None:
        layout = column(self)
        for part in (self.pick, self.picture, self.sentence, self.task, self.table, rule(), self.legend):
            layout.addWidget(part)
        buttons = row(self.show_button, self.more, self.links_button)
        buttons.addStretch(1)
        layout.addLayout(buttons)
        layout.addWidget(self.effect_task)

    @property
    def sentence_text(self) -> str:
        """The current sentence."""
        return self.sentence.text()

    def show_sentence(self, text: str) -> None:
        """Say what to do, or what the surroundings change."""
        self.sentence.say(text)

    def show_pictures(self, nine: Pictures | None) -> None:
        """Show the tile and its neighbours, or nothing."""
        self.picture.show_pictures(nine)

    def show_marks(self, marks: Sequence[Mark] | None) -> None:
        """Write on the nine tiles, or nothing."""
        self.picture.show_marks(None if marks is None else list(marks))

    def show_table(self, table: pd.DataFrame | None) -> None:
        """Show the genes of the tile, or nothing."""
        if table is None:
            self.table.show_frame(None)
        else:
            self.table.show_frame(table, sort_by="z", tips=TABLE_TIPS)

    def show_slide_offer(self, offer: SlideOffer) -> None:
        """Offer what can be done over the whole slide."""
        self.legend.say(offer.legend)
        self.show_button.set_action(offer.button, offer.tip)
        self.show_button.set_reason_off("" if offer.on else offer.tip)
        self.more.setVisible(offer.more)

    def show_links_offer(self, button: str | None) -> None:
        """Offer to show or hide the links between places, or nothing."""
        self.links_button.setVisible(button is not None)
        if button is not None:
            self.links_button.set_action(button, LINKS_TIP)

    def draw_while_working(self, on: bool) -> None:
        """Draw what arrives now and then, or no longer."""
        if on:
            self._drawing.start()
        else:
            self._drawing.stop()
