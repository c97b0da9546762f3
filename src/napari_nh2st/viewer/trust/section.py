"""The section *Trust*: what the figures are, whether tissue is like that of the training, how far answers differ."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.kit.buttons import action_button
from napari_nh2st.viewer.kit.layout import column, row, rule
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.trust.intervals_part import IntervalsPart
from napari_nh2st.viewer.trust.messages import CHECK_TIP, LEGEND, TISSUE_IS, figures_words
from napari_nh2st.viewer.trust.presenter import Offer, TissueCheck
from napari_nh2st.viewer.trust.spread_part import SpreadPart


class TrustSection(QWidget):
    """Figures in words, then the intervals, the tissue check, and the spread."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._state = workspace.state
        self.figures, self.meaning = Sentence(), Sentence(dim=True)
        self.tissue = TissuePart(workspace)
        self.intervals = IntervalsPart(workspace)
        self.spread = SpreadPart(workspace)
        layout = column(self, spacing=8)
        for part in (self.figures, self.meaning, rule(), self.intervals, rule(), self.tissue, rule(), self.spread):
            layout.addWidget(part)
        for told in (self._state.events.model, self._state.map_chosen, self._state.events.gene):
            told.connect(self._show_figures)
        self._show_figures()

    def _show_figures(self) -> None:
        figure, *meaning = figures_words(self._state.shown_card, self._state.gene)
        self.figures.say(figure)
        self.meaning.say("\n".join(meaning))


class TissuePart(QWidget):
    """A button that marks the tiles that are unlike the training tissue, and how many they are."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.task = self.work = Task(workspace)
        self.button = action_button("Check the tissue", CHECK_TIP, lambda: self.presenter.check())
        self.more = action_button("Go on", "Check the tiles that were predicted since", lambda: self.presenter.check())
        self.share = Sentence()
        self.legend = Sentence(LEGEND, dim=True)
        layout = column(self, spacing=4)
        layout.addWidget(Sentence(TISSUE_IS, dim=True))
        buttons = row(self.button, self.more)
        buttons.addStretch(1)
        layout.addLayout(buttons)
        for part in (self.task, self.share, self.legend):
            layout.addWidget(part)
        self.presenter = TissueCheck(workspace, self)
        self.presenter.show_state()

    def show_tissue(self, offer: Offer, share: str, *, legend: bool) -> None:
        """Offer the check, and say how many tiles are unlike."""
        self.button.set_reason_off("" if offer.on else offer.tip)
        self.more.setVisible(bool(offer.more))
        self.more.setText(offer.more)
        self.share.say(share)
        self.legend.setVisible(legend)
