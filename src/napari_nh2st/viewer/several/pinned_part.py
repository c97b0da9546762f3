"""Pinned genes in the section *Several genes*: a box to tick for a layer a gene."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.kit.buttons import ActionBox
from napari_nh2st.viewer.kit.layout import column
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.several.messages import PINNED_TIP
from napari_nh2st.viewer.several.pinned import PinnedPresenter


class PinnedPart(QWidget):
    """A box to tick, and a sentence."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.box = ActionBox("Pinned genes as layers", PINNED_TIP)
        self.sentence = Sentence(dim=True)
        layout = column(self, spacing=2)
        layout.addWidget(self.box)
        layout.addWidget(self.sentence)
        self.presenter = PinnedPresenter(workspace, self)
        self.box.toggled.connect(self.presenter.toggle)
        self.presenter.update()

    def show_offer(self, reason_off: str, *, on: bool) -> None:
        """Offer the layers, or say why none can be drawn."""
        self.box.set_reason_off(reason_off, can_be_cleared=on)

    def show_sentence(self, text: str) -> None:
        """Say what to do, or what the layers are."""
        self.sentence.say(text)
