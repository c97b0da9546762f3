"""The held-out spots as measured and as the run predicts them now, side by side."""

from __future__ import annotations

import numpy as np
from qtpy.QtWidgets import QWidget
from superqt.utils import signals_blocked

from napari_nh2st.viewer.finetune.gene_combo import GeneCombo
from napari_nh2st.viewer.finetune.held_out_map_presenter import Colours, GeneChoice, HeldOutMapPresenter
from napari_nh2st.viewer.finetune.spot_pictures import SpotPictures
from napari_nh2st.viewer.kit.combo import NarrowCombo, make_narrow, make_tight
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.state.preferences import stored_preferences

_TIP = (
    "Spots with values are held out: the run does not learn from them. The rings around them are spots that it learns "
    "from. Both pictures have the same colours, which span what was measured. PCC is the correlation of the two"
)


class HeldOutMap(QWidget):
    """A gene on the held-out spots, measured and predicted, as the run goes on.

    Parameters
    ----------
    presenter : HeldOutMapPresenter
    """

    def __init__(self, presenter: HeldOutMapPresenter) -> None:
        super().__init__()
        self.presenter = presenter
        self.genes = GeneCombo("The gene to show, the best predicted ones first. Type any part of its symbol")
        self.genes.gene_chosen.connect(self.presenter.choose_gene)
        self.section = NarrowCombo("The section to show, of those with held-out spots")
        make_narrow(self.section, 4)  # both lists fit beside their caption in 320 px
        for combo in (self.genes, self.section):
            make_tight(combo)
        self.section.activated.connect(self.presenter.choose_section)
        self.pictures, self.sentence = SpotPictures(), Sentence()
        self.sentence.setToolTip(_TIP)
        self._choices = QWidget()
        self._choices.setLayout(row(self.genes, self.section, label="Map of", stretch=0))
        layout = column(self, spacing=4)
        for part in (self._choices, self.pictures, self.sentence):
            layout.addWidget(part)
        self._connect()

    def _connect(self) -> None:
        state = self.presenter.state
        state.events.visible.connect(self._show)
        state.events.sections.connect(self._show_sections)
        state.events.choice.connect(self._show_choice)
        state.events.spots.connect(self.pictures.show_spots)
        state.events.sentence.connect(self.sentence.say)
        self.setVisible(state.visible)
        self.sentence.say(state.sentence)
        self._show_sections(state.sections)

    def _show(self, visible: bool) -> None:
        self.setVisible(visible)

    def _show_sections(self, names: tuple[str, ...]) -> None:
        self._choices.setVisible(bool(names))
        self.section.setVisible(len(names) > 1)
        with signals_blocked(self.section):
            self.section.clear()
            self.section.addItems(names)
            self.section.setCurrentIndex(self.presenter.state.section)

    def _show_choice(self, choice: GeneChoice) -> None:
        if choice.genes:
            self.genes.list_genes(choice.genes, choice.words, choice.gene)


def heatmap_colours() -> Colours:
    """Return the colours (256, 4) that heatmaps have."""
    from napari.utils.colormaps import ensure_colormap

    return np.asarray(ensure_colormap(stored_preferences().colormap).map(np.linspace(0, 1, 256)))
