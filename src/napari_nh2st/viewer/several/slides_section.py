"""The section *Several slides*: a button that stays pressed while slides lie side by side."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget
from superqt.utils import qdebounced

from napari_nh2st.viewer.kit.buttons import ActionButton
from napari_nh2st.viewer.kit.layout import column
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.several.messages import SIDE_BY_SIDE_TIP
from napari_nh2st.viewer.several.slides import SlidesPresenter


class SlidesSection(QWidget):
    """A button, and a sentence."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.button = ActionButton("Slides side by side", SIDE_BY_SIDE_TIP)
        self.button.setCheckable(True)
        self.sentence = Sentence()
        layout = column(self, spacing=2)
        layout.addWidget(self.button)
        layout.addWidget(self.sentence)
        self.presenter = SlidesPresenter(workspace, self)
        self._settled = qdebounced(self.presenter.look, timeout=0, parent=self)
        workspace.when_closing(self._settled.cancel)
        self.button.toggled.connect(self.presenter.toggle)
        self.presenter.look()

    def show_offer(self, reason_off: str) -> None:
        """Offer to lay slides side by side, or say why not."""
        self.button.set_reason_off(reason_off)

    def show_left(self) -> None:
        """Release the button."""
        self.button.setChecked(False)

    def show_sentence(self, text: str) -> None:
        """Say what to know while slides lie side by side."""
        self.sentence.say(text)

    def look_soon(self) -> None:
        """Look at the layers when they are done changing."""
        self._settled()
