"""Open slides side by side, without a window."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nh2st.viewer.several.messages import LAYING_OUT, TOO_FEW_SLIDES
from napari_nh2st.viewer.several.slides import SlidesPresenter
from viewer.several.views import FakeSlides, slide
from viewer.without_window import Desk


class Slides(Desk):
    """The dock with slide A and the presenter of "Several slides"."""

    def __init__(self) -> None:
        super().__init__(slide("A"))
        self.view = FakeSlides()
        self.section = SlidesPresenter(self.workspace, self.view)
        self.section.look()

    def choose(self, name: str) -> None:
        self.presenter.choose_slide(self.viewer.layers[name])

    def toggle(self, on: bool) -> None:
        self.view.pressed = on
        self.section.toggle(on)

    def settle(self) -> None:
        """Do what the window does when the layers are done changing."""
        assert self.view.asked_to_look
        self.view.asked_to_look = False
        self.section.look()

    def heatmap_of(self, name: str):
        return next(heatmap for heatmap in self.workspace.maps if heatmap.map.slide["fingerprint"] == name * 4)

    @property
    def in_sight(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers if layer.visible]

    @property
    def cells(self) -> list[list[str]]:
        layers = self.viewer.layers
        boxes = [[layers[i] for i in inside] for _, inside in self.viewer.canvas.grid.iter_viewboxes(layers)]
        return [[layer.name for layer in box if layer.visible] for box in boxes]


@pytest.fixture
def slides() -> Slides:
    return Slides()


@pytest.fixture
def compared(slides: Slides) -> Slides:
    """Both slides predicted, A chosen."""
    slides.open(slide("B", (1920, 1600)))
    slides.predict()
    slides.choose("A")
    slides.predict()
    return slides


def test_one_slide_alone_has_nothing_beside_it(slides: Slides) -> None:
    assert slides.view.reason_off == TOO_FEW_SLIDES
    slides.open(slide("B"))
    slides.settle()
    assert slides.view.reason_off == ""


def test_side_by_side_and_back(compared: Slides) -> None:
    viewer = compared.viewer
    viewer.add_points([[3, 4]], name="mine")
    order, in_sight, camera = list(viewer.layers), compared.in_sight, viewer.scene.camera.center
    compared.toggle(True)
    heatmaps = [compared.heatmap_of(name) for name in "AB"]
    cells = [["A", heatmaps[0].layer.name], ["B", heatmaps[1].layer.name]]
    assert compared.cells == cells
    limits = [tuple(heatmap.layer.contrast_limits) for heatmap in heatmaps]
    assert limits[0] == limits[1]
    both = np.concatenate([h.values[np.isfinite(h.values)] for h in heatmaps])
    assert limits[0] == pytest.approx(np.percentile(both, (1, 99)), rel=1e-5)
    assert (compared.state.limits.low, compared.state.limits.high) == pytest.approx(limits[0], rel=1e-5)
    compared.state.choose_gene("KRT8")
    assert [heatmap.layer.name.split(" · ")[1] for heatmap in heatmaps] == ["KRT8", "KRT8"]
    assert heatmaps[0].limits == heatmaps[1].limits
    heatmaps[0].layer.contrast_limits = (0.2, 0.3)  # by hand: the same colours still mean the same
    assert tuple(heatmaps[1].layer.contrast_limits) == (0.2, 0.3)
    compared.choose("B")
    assert len(compared.cells) == 2
    compared.choose("A")
    compared.toggle(False)
    assert not viewer.canvas.grid.enabled
    assert list(viewer.layers) == order
    assert compared.in_sight == [name.replace("ERBB2", "KRT8") for name in in_sight]
    assert viewer.scene.camera.center == camera
    compared.state.choose_gene("CD3E")
    assert heatmaps[0].limits != heatmaps[1].limits


def test_leaving_through_naparis_own_button_or_by_a_layer_that_goes(compared: Slides) -> None:
    viewer = compared.viewer
    compared.toggle(True)
    viewer.canvas.grid.enabled = False
    compared.settle()
    assert not compared.view.pressed
    assert "B" not in compared.in_sight
    compared.toggle(True)
    assert viewer.canvas.grid.enabled
    viewer.layers.remove("B")
    compared.settle()
    assert not compared.view.pressed
    assert not viewer.canvas.grid.enabled
    assert compared.view.reason_off == TOO_FEW_SLIDES


def test_slides_without_a_prediction(slides: Slides) -> None:
    slides.open(slide("B", (1920, 1600)))
    slides.toggle(True)
    assert slides.cells == [["A"], ["B"]]
    slides.toggle(False)
    slides.predict()
    slides.open(slide("C"))
    slides.choose("B")
    slides.toggle(True)
    assert slides.cells == [["B", slides.heatmap.layer.name], ["A"]]
    assert "nothing is predicted there yet: C." in slides.view.sentence
    slides.workspace.close()
    assert not slides.viewer.canvas.grid.enabled
    assert slides.in_sight == ["B", slides.heatmap.layer.name]


def test_slides_are_laid_out_step_by_step_and_may_be_put_back_in_between(compared: Slides) -> None:
    waiting: list = []
    compared.pace.later = waiting.append
    in_sight, grid = compared.in_sight, compared.viewer.canvas.grid
    changes: list[int] = []
    for layer in compared.viewer.layers:
        layer.events.visible.connect(lambda event: changes.append(len(waiting)))
    compared.toggle(True)
    assert compared.view.sentence == LAYING_OUT
    assert changes == []  # the sentence is seen first, then one layer at a time comes or goes
    compared.settle()
    assert compared.section.on
    while waiting:
        before = len(changes)
        waiting.pop(0)()
        assert len(changes) - before <= 1
    assert grid.enabled
    assert len(compared.cells) == 2
    assert compared.view.sentence != LAYING_OUT
    compared.toggle(False)
    compared.toggle(True)
    compared.toggle(False)
    while waiting:
        waiting.pop(0)()
    assert not grid.enabled
    assert compared.in_sight == in_sight
