"""What is kept when another slide is chosen, without a window."""

from __future__ import annotations

import numpy as np
import pytest

from viewer.several.views import slide
from viewer.without_window import Desk


@pytest.fixture
def desk() -> Desk:
    """Slides A and B, which was opened last."""
    made = Desk(slide("A"))
    made.open(slide("B", (1920, 1600)))
    return made


def choose(desk: Desk, name: str) -> None:
    desk.presenter.choose_slide(desk.viewer.layers[name])


def in_sight(desk: Desk) -> list[str]:
    return [layer.name for layer in desk.viewer.layers if layer.visible]


def test_the_chosen_slide_is_in_sight_and_the_other_one_is_put_away(desk: Desk) -> None:
    assert in_sight(desk) == ["B"]  # the one that was opened last
    choose(desk, "A")
    assert in_sight(desk) == ["A"]
    desk.predict()
    assert in_sight(desk) == ["A", "A · ERBB2 · predicted"]
    choose(desk, "B")
    assert in_sight(desk) == ["B"]
    assert desk.heatmap is None
    desk.predict()
    assert in_sight(desk) == ["B", "B · ERBB2 · predicted"]
    choose(desk, "A")
    assert in_sight(desk) == ["A", "A · ERBB2 · predicted"]
    assert desk.heatmap.layer is desk.viewer.layers["A · ERBB2 · predicted"]


def test_what_the_user_hid_stays_hidden_and_their_own_layers_are_left_alone(desk: Desk) -> None:
    choose(desk, "A")
    desk.predict()
    shapes = desk.viewer.add_shapes([np.array([[0, 0], [9, 9]])], name="drawn")
    desk.heatmap.layer.visible = False
    choose(desk, "B")
    assert in_sight(desk) == ["B", "drawn"]
    choose(desk, "A")
    assert in_sight(desk) == ["A", "drawn"]
    assert shapes.visible


def test_each_slide_is_looked_at_where_it_was_left(desk: Desk) -> None:
    choose(desk, "A")
    camera = desk.viewer.scene.camera
    camera.center, camera.zoom = (0, 100, 200), 5.0
    choose(desk, "B")
    assert camera.zoom < 5.0  # all of it
    assert camera.center[-2:] == pytest.approx((480, 400), abs=5)
    camera.zoom = 7.0
    choose(desk, "A")
    assert (camera.center[-2:], camera.zoom) == ((100, 200), 5.0)
    choose(desk, "B")
    assert camera.zoom == 7.0


def test_a_slide_that_was_shown_by_hand_stays_whatever_is_chosen(desk: Desk) -> None:
    desk.predict()  # on B
    desk.open(slide("C"))
    assert in_sight(desk) == ["C"]
    for layer in ("B", "B · ERBB2 · predicted"):  # the eyes in napari's list
        desk.viewer.layers[layer].visible = True
    choose(desk, "A")
    assert in_sight(desk) == ["A", "B", "B · ERBB2 · predicted"]
    choose(desk, "C")
    assert in_sight(desk) == ["B", "B · ERBB2 · predicted", "C"]
    desk.viewer.layers["B"].visible = False
    choose(desk, "A")
    assert in_sight(desk) == ["A"]  # hidden by hand, it waits again
    choose(desk, "B")
    assert in_sight(desk) == ["B", "B · ERBB2 · predicted"]


def test_choosing_a_slide_that_is_in_sight_already_changes_nothing(desk: Desk) -> None:
    desk.predict()  # on B
    desk.viewer.layers["A"].visible = True
    desk.viewer.layers["A"].translate = (0, 3000)  # laid beside the other one
    camera = desk.viewer.scene.camera
    camera.center, camera.zoom = (0, 480, 1500), 0.4
    before = in_sight(desk)
    for name in ("A", "B", "A"):
        choose(desk, name)
        assert (in_sight(desk), camera.zoom) == (before, 0.4)
    desk.predict()
    assert in_sight(desk) == [before[0], "A · ERBB2 · predicted", *before[1:]]
