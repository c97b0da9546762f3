"""Pinned genes as layers, without a window."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nh2st.viewer.predict.workspace import NO_MAP
from napari_nh2st.viewer.several.messages import NO_PINNED
from napari_nh2st.viewer.several.pinned import PinnedPresenter
from viewer.several.views import FakePinned
from viewer.without_window import Desk


class Pinned(Desk):
    """The dock with the part that draws pinned genes."""

    def __init__(self) -> None:
        super().__init__()
        self.view = FakePinned()
        self.part = PinnedPresenter(self.workspace, self.view)
        self.part.update()

    def pin(self, *genes: str) -> None:
        self.state.pinned = genes

    def in_sight(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers if layer.visible]


@pytest.fixture
def pinned() -> Pinned:
    return Pinned()


def test_before_a_prediction_it_says_what_is_missing(pinned: Pinned) -> None:
    assert (pinned.view.on, pinned.view.reason_off, pinned.view.sentence) == (False, NO_PINNED, NO_PINNED)
    pinned.pin("KRT8")
    assert (pinned.view.on, pinned.view.reason_off, pinned.view.sentence) == (False, NO_MAP, "")


def test_pinned_genes_become_layers_that_stay_with_their_gene(pinned: Pinned) -> None:
    pinned.predict()
    pinned.pin("KRT8", "CD3E", "NOPE")
    pinned.part.toggle(True)
    assert pinned.names() == [
        "C9",
        "C9 · ERBB2 · predicted",
        "C9 · KRT8 · predicted, pinned",
        "C9 · CD3E · predicted, pinned",
    ]
    assert pinned.in_sight() == pinned.names()[:2]
    assert "does not predict NOPE" in pinned.view.sentence
    krt8 = pinned.viewer.layers["C9 · KRT8 · predicted, pinned"]
    krt8.visible = True
    pinned.viewer.layers.selection.active = krt8
    pinned.state.choose_gene("FLAT")
    assert krt8.name == "C9 · KRT8 · predicted, pinned"
    np.testing.assert_array_equal(krt8.data, pinned.map.values("KRT8"))
    assert pinned.heatmap.layer.name == "C9 · FLAT · predicted"
    pinned.pin("CD3E")
    assert "C9 · KRT8 · predicted, pinned" not in pinned.viewer.layers
    pinned.part.toggle(False)
    assert pinned.names() == ["C9", "C9 · FLAT · predicted"]


def test_when_nothing_is_pinned_any_more_the_layers_can_still_be_taken_away(pinned: Pinned) -> None:
    pinned.predict()
    pinned.pin("KRT8")
    pinned.part.toggle(True)
    pinned.pin()
    assert (pinned.view.on, pinned.view.reason_off, pinned.view.sentence) == (True, NO_PINNED, NO_PINNED)
    assert pinned.names() == ["C9", "C9 · ERBB2 · predicted"]
    pinned.part.toggle(False)
    assert not pinned.view.on


def test_pinned_layers_fill_while_predicting(pinned: Pinned) -> None:
    pinned.predict()
    prediction_map = pinned.map
    pinned.pin("KRT8")
    pinned.part.toggle(True)
    some = np.flatnonzero(prediction_map.done)[:10]
    prediction_map._state.reshape(-1)[some] = 0
    prediction_map.count -= 10
    pinned.workspace.maps.draw()
    krt8 = pinned.viewer.layers["C9 · KRT8 · predicted, pinned"]
    assert np.isfinite(krt8.data).sum() == prediction_map.count
    pinned.predict()
    np.testing.assert_array_equal(krt8.data, prediction_map.values("KRT8"))
