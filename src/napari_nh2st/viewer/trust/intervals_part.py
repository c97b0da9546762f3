"""The intervals in the section *Trust*: a button for half-widths, and a box for marks where they say nothing."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.kit.buttons import ActionBox, action_button
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.trust.interval_presenter import IntervalPresenter
from napari_nh2st.viewer.trust.messages import HALF_WIDTH_TIP, MARK_TIP, SHOW_HALF_WIDTH
from napari_nh2st.viewer.trust.presenter import Offer


class IntervalsPart(QWidget):
    """Where the intervals come from, the two layers, and a sentence about the gene in sight."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.origin, self.sentence = Sentence(dim=True), Sentence()
        self.button = action_button(SHOW_HALF_WIDTH, HALF_WIDTH_TIP, lambda: self.presenter.toggle_half_width())
        self.mark = ActionBox("mark what is not informative", MARK_TIP)
        layout = column(self, spacing=4)
        layout.addWidget(self.origin)
        buttons = row(self.button)
        buttons.addStretch(1)
        layout.addLayout(buttons)
        for part in (self.mark, self.sentence):
            layout.addWidget(part)
        self.presenter = IntervalPresenter(workspace, self)
        self.mark.clicked.connect(self.presenter.mark)
        self.presenter.show_state()

    def show_intervals(self, offer: Offer, origin: str, sentence: str, *, marked: bool) -> None:
        """Offer the layers, and say what is known."""
        self.origin.say(origin)
        self.sentence.say(sentence)
        self.button.set_action(offer.text, offer.tip)
        for widget in (self.button, self.mark):
            widget.set_reason_off("" if offer.on else offer.tip)
        self.mark.setChecked(marked)
