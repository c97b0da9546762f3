"""A button that stays pressed while models lie side by side, and a box for the same colours."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget
from superqt.utils import qdebounced

from napari_nh2st.viewer.kit.buttons import ActionBox, ActionButton
from napari_nh2st.viewer.kit.layout import column, row
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.models.messages import SAME_LIMITS_TIP, SIDE_BY_SIDE_TIP
from napari_nh2st.viewer.models.selection import Selection
from napari_nh2st.viewer.models.side_by_side import SidePresenter
from napari_nh2st.viewer.predict.workspace import Workspace


class SidePart(QWidget):
    """A button, a box and a sentence."""

    def __init__(self, workspace: Workspace, selection: Selection) -> None:
        super().__init__()
        self.button = ActionButton("Models side by side", SIDE_BY_SIDE_TIP)
        self.button.setCheckable(True)
        self.same_limits = ActionBox("same colours", SAME_LIMITS_TIP)
        self.sentence = Sentence()
        layout = column(self, spacing=4)
        line = row(self.button, self.same_limits)
        line.addStretch(1)
        layout.addLayout(line)
        layout.addWidget(self.sentence)
        self.presenter = SidePresenter(workspace, selection, self)
        self._settled = qdebounced(self.presenter.look, timeout=0, parent=self)
        workspace.when_closing(self._settled.cancel)
        self.button.toggled.connect(self.presenter.toggle)
        self.same_limits.toggled.connect(self.presenter.share_limits)
        self.presenter.look()

    def show_side_offer(self, reason_off: str, no_same_limits: str) -> None:
        """Offer to lay models side by side, and the same limits for all, or say why not."""
        self.button.set_reason_off(reason_off)
        self.same_limits.set_reason_off(no_same_limits)

    def show_side_left(self) -> None:
        """Release the button."""
        self.button.setChecked(False)

    def show_side_sentence(self, text: str) -> None:
        """Say what to know while models lie side by side."""
        self.sentence.say(text)

    def look_soon(self) -> None:
        """Look at the layers when they are done changing."""
        self._settled()
