"""A slider from few domains to many, a button, and the genes that set each domain apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QSlider, QWidget

from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.combo import NarrowCombo
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.swatch import SIDE, swatch
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Label, Note, Sentence
from napari_nh2st.viewer.layers.domains import colour_of
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.regions.domains import RESOLUTIONS, DomainsPresenter
from napari_nh2st.viewer.regions.messages import ALIKE, DOMAIN_TIPS, FIND_TIP, NO_DOMAINS, SAVE_DOMAINS_TIP
from napari_nh2st.viewer.regions.save_dialog import ask_file

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Layer


class DomainsPart(QWidget):
    """Domains and their genes."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, len(RESOLUTIONS) - 1)
        self.slider.setValue(2)
        self.slider.setPageStep(1)
        self.slider.setToolTip("Few large domains, or many small ones")
        self.button = action_button("Find domains", FIND_TIP, lambda: self.presenter.find())
        self.save = action_button("Save…", SAVE_DOMAINS_TIP, self.ask_save, reason_off=NO_DOMAINS)
        self._save_folder = workspace.save_folder
        self.task = self.work = Task(workspace)
        self.sentence = Sentence()
        self.choice = NarrowCombo("The domain whose genes the table shows, with its share of what is predicted")
        self.choice.setIconSize(QSize(SIDE, SIDE))
        self.table = GeneTable("markers", workspace.save_folder)
        self.note = Note()
        layout = column(self)
        layout.addLayout(row(Label("few domains"), self.slider, Label("many"), stretch=1))
        layout.addLayout(row(self.button, self.save, stretch=0))
        for part in (self.task, self.sentence, self.choice, self.table, self.note):
            layout.addWidget(part)
        self.presenter = DomainsPresenter(workspace, self)
        self.choice.activated.connect(lambda index: self.presenter.choose_domain())
        self.table.gene_clicked.connect(self.presenter.show_gene)
        self.presenter.begin()

    def ask_save(self) -> None:
        """Ask where the domains are saved."""
        path = ask_file(self, "domains", self._save_folder)
        if path:
            self.presenter.save(path)

    @property
    def layer(self) -> Layer | None:
        """The layer of the domains that were found last."""
        return None if self.presenter.layer is None else self.presenter.layer.layer

    @property
    def fineness(self) -> int:
        """The place of the slider."""
        return int(self.slider.value())

    @property
    def domain(self) -> int:
        """The domain whose genes the table shows, from 1 on."""
        return int(self.choice.currentData() or 1)

    def show_button(self, tip: str, *, on: bool) -> None:
        """Offer to find domains, or say why not."""
        self.button.set_reason_off("" if on else tip)

    def show_sentence(self, text: str) -> None:
        """Say what was found."""
        self.sentence.say(text)

    def list_domains(self, shares: list[float]) -> None:
        """List domains by their shares of the tissue."""
        self.save.set_reason_off("" if shares else NO_DOMAINS)
        self.choice.clear()
        for number, share in enumerate(shares, 1):
            self.choice.addItem(swatch(colour_of(number)), f"{number}: {100 * share:z.0f} % of the tissue", number)

    def show_markers(self, genes: pd.DataFrame | None, saved: pd.DataFrame | None, title: str = "") -> None:
        """Show the genes of the chosen domain."""
        self.choice.setVisible(genes is not None)
        self.note.say("" if genes is None else ALIKE)
        if genes is None:
            self.table.show_frame(None)
            return
        self.table.what = title
        self.table.show_frame(genes, sort_by="score", tips=DOMAIN_TIPS, saved=saved)
