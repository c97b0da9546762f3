"""What is shown instead of the prediction, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points

from napari_nh2st.viewer.layers.instead import INSTEAD, InsteadOfPrediction
from napari_nh2st.viewer.layers.roles import KEY, Kind, Role


class Scene:
    """A slide with a layer of each kind of some, all in sight, and a layer of the user's."""

    def __init__(self, *kinds: Kind) -> None:
        self.viewer = ViewerModel()
        for kind in (Kind.SLIDE, *kinds):
            metadata = {KEY: Role(kind=kind, fingerprint="f")}
            if kind in (Kind.MEASURED, Kind.DIFFERENCE):
                self.viewer.add_layer(Points(np.zeros((1, 2)), name=kind.value, metadata=metadata))
            elif kind is Kind.DOMAINS:
                self.viewer.add_layer(Labels(np.zeros((2, 2), int), name=kind.value, metadata=metadata))
            else:
                self.viewer.add_layer(Image(np.zeros((2, 2)), name=kind.value, metadata=metadata))
        self.viewer.add_image(np.zeros((2, 2)), name="mine")
        self.instead = InsteadOfPrediction(self.viewer)

    def layer(self, kind: Kind):
        return self.viewer.layers[kind.value]

    @property
    def in_sight(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers if layer.visible and layer.name not in ("slide", "mine")]


@pytest.mark.parametrize("kind", INSTEAD)
def test_one_thing_is_in_sight_and_the_prediction_comes_back(kind: Kind) -> None:
    scene = Scene(Kind.HEATMAP, Kind.PINNED, Kind.NOVELTY, *INSTEAD)
    scene.layer(Kind.PINNED).visible = False
    scene.instead.show(scene.layer(kind))
    assert scene.in_sight == ["unlike the training", kind.value]
    scene.instead.back()
    assert scene.in_sight == ["heatmap", "unlike the training"]
    assert scene.viewer.layers["mine"].visible
    assert scene.layer(Kind.SLIDE).visible


def test_domains_do_not_cover_what_is_shown_and_the_way_back_leads_to_the_prediction() -> None:
    scene = Scene(Kind.HEATMAP, Kind.SPREAD, Kind.DOMAINS)
    scene.layer(Kind.HEATMAP).visible = False
    scene.instead.remember(scene.layer(Kind.HEATMAP))  # as finding domains does
    scene.instead.show(scene.layer(Kind.SPREAD))
    assert scene.in_sight == ["spread"]
    scene.instead.back()
    assert scene.in_sight == ["heatmap"]


def test_what_would_cover_it_is_put_away_too() -> None:
    scene = Scene(Kind.HEATMAP, Kind.SPREAD, Kind.NOVELTY, Kind.MEASURED, Kind.DIFFERENCE)
    scene.layer(Kind.DIFFERENCE).visible = False
    scene.instead.show(scene.layer(Kind.SPREAD), covered_by=(Kind.NOVELTY, Kind.MEASURED, Kind.DIFFERENCE))
    assert scene.in_sight == ["spread"]
    scene.instead.back()
    assert scene.in_sight == ["heatmap", "unlike the training", "measured spots"]


def test_from_one_to_another_the_way_back_leads_to_the_prediction() -> None:
    scene = Scene(Kind.HEATMAP, Kind.EFFECT, Kind.SPREAD)
    scene.instead.show(scene.layer(Kind.EFFECT))
    scene.layer(Kind.SPREAD).visible = True
    scene.instead.show(scene.layer(Kind.SPREAD))
    assert scene.in_sight == ["spread"]
    scene.instead.back()
    assert scene.in_sight == ["heatmap"]


def test_what_was_deleted_or_brought_out_meanwhile_is_left_alone() -> None:
    scene = Scene(Kind.HEATMAP, Kind.PINNED, Kind.EFFECT)
    scene.instead.show(scene.layer(Kind.EFFECT))
    scene.viewer.layers.remove("heatmap")
    scene.viewer.layers.remove("context effect")
    scene.instead.back()
    assert scene.in_sight == ["pinned gene"]
    scene.instead.show(scene.layer(Kind.PINNED))
    scene.layer(Kind.PINNED).visible = False
    scene.instead.forget()
    scene.instead.back()
    assert scene.in_sight == []
