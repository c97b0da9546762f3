"""The dock with the presenters of "Several models" and views that remember what they show."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_nh2st.model.decoder import Decoder
from napari_nh2st.viewer.models.agreement import AgreementPresenter
from napari_nh2st.viewer.models.right_where import RightPresenter
from napari_nh2st.viewer.models.selection import Selection
from napari_nh2st.viewer.models.side_by_side import SidePresenter
from viewer.fakes import FakeServices, card
from viewer.without_window import Desk, FakeWork

# Of ERBB2, KRT8, CD3E and FLAT in x, y, 1 and 0 of a tile: the second model knows KRT8 as the first one does.
WEIGHTS = {
    "her2st": [[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]],
    "other": [[0, 1, 0, 0], [0, 3, 5, 0], [1, -1, 0, 0], [0, 0, 1, 0]],
    "third": [[-1, 0, 0, 0], [0, 1, 0, 0], [1, 2, 0, 0]],
}


class Services(FakeServices):
    """Three models; the third lacks a gene."""

    def __init__(self) -> None:
        super().__init__(chunk=1000)
        third = {"genes": ["ERBB2", "KRT8", "EXTRA"], "gene_means": [0.0] * 3, "evaluation": None}
        self.cards = {"her2st": card(), "other": card("other", evaluation=None), "third": card("third", **third)}

    def decoder(self, model: Any) -> Decoder:
        weight = np.array(WEIGHTS[model.card.name], np.float32)
        return Decoder(weight, np.zeros(len(weight), np.float32))


class FakeView:
    """All of the section."""

    def __init__(self) -> None:
        self.work, self.right_work = FakeWork(), FakeWork()
        self.pressed, self.side_off, self.no_same_limits, self.side_sentence = False, "", "", ""
        self.compare_off, self.compared, self.sentence = "", None, ""
        self.layer = self.right_layer = ("", False)
        self.right_off, self.right, self.right_sentence = "", None, ""
        self.asked_to_look = False

    def show_side_offer(self, reason_off: str, no_same_limits: str) -> None:
        self.side_off, self.no_same_limits = reason_off, no_same_limits

    def show_side_left(self) -> None:
        self.pressed = False

    def show_side_sentence(self, text: str) -> None:
        self.side_sentence = text

    def look_soon(self) -> None:
        self.asked_to_look = True

    def show_compare_offer(self, reason_off: str) -> None:
        self.compare_off = reason_off

    def show_agreement(self, compared: Any, sentence: str) -> None:
        self.compared, self.sentence = compared, sentence

    def show_layer_offer(self, reason_off: str, *, on: bool) -> None:
        self.layer = reason_off, on

    def show_right_offer(self, reason_off: str) -> None:
        self.right_off = reason_off

    def show_right(self, right: Any, sentence: str) -> None:
        self.right, self.right_sentence = right, sentence

    def show_right_layer(self, reason_off: str, *, on: bool) -> None:
        self.right_layer = reason_off, on


class Models(Desk):
    """A slide and the section "Several models"."""

    def __init__(self, slide: Any = None, services: Any = None, model: str = "her2st") -> None:
        super().__init__(slide, services or Services(), model)
        self.view = FakeView()
        self.view.work = FakeWork(self.workspace.slide_subjects)
        self.view.right_work = FakeWork(self.workspace.slide_subjects)
        self.selection = Selection(self.workspace)
        self.side = SidePresenter(self.workspace, self.selection, self.view)
        self.agreement = AgreementPresenter(self.workspace, self.selection, self.view)
        self.right = RightPresenter(self.workspace, self.selection, self.view)
        self.look()

    def look(self) -> None:
        """Do what the window does when the layers are done changing."""
        self.side.look()
        self.agreement.update()
        self.right.update()

    def predict_with(self, *models: str) -> None:
        for model in models:
            self.use_model(model)
            self.presenter.make_ready()
            self.predict()

    def toggle(self, on: bool) -> None:
        self.view.pressed = on
        self.side.toggle(on)

    @property
    def in_sight(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers if layer.visible]

    @property
    def cells(self) -> list[list[str]]:
        layers = self.viewer.layers
        boxes = [[layers[i] for i in inside] for _, inside in self.viewer.canvas.grid.iter_viewboxes(layers)]
        return [names for box in boxes if (names := [layer.name for layer in box if layer.visible])]
