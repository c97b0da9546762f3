"""The context inspector without a window: a tile, its neighbours, and the effect over the slide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_nh2st.errors import Cancelled
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.model.heads.tissue_graph import TissueGraph
from napari_nh2st.viewer.context.inspected import OUTLINE, pictures, squares, widths
from napari_nh2st.viewer.context.messages import (
    ALONE_ANYWAY,
    HIDE_LINKS,
    NOT_PREDICTED,
    OPEN_ITS_SLIDE,
    PICK_A_TILE,
    SHOW,
    SHOW_LINKS,
)
from napari_nh2st.viewer.context.presenter import ContextPresenter
from napari_nh2st.viewer.layers.context_effect import effect_of, symmetric_limit
from napari_nh2st.viewer.layers.links import TITLE
from napari_nh2st.viewer.layers.roles import Kind, role_of
from napari_nh2st.viewer.predict.workspace import NO_MAP
from viewer.fakes import FakeServices, FakeSlide, card, hidden_at
from viewer.without_window import Desk, FakeWork


class FakeView:
    """Remembers what the section shows."""

    def __init__(self) -> None:
        self.tile_work, self.slide_work = FakeWork(), FakeWork()
        self.sentence_text, self.drawing = "", False
        self.nine = self.marks = self.table = self.offer = self.links_button = None

    def show_sentence(self, text) -> None:
        self.sentence_text = text

    def show_pictures(self, nine) -> None:
        self.nine = nine

    def show_marks(self, marks) -> None:
        self.marks = marks

    def show_table(self, table) -> None:
        self.table = table

    def show_slide_offer(self, offer) -> None:
        self.offer = offer

    def show_links_offer(self, button) -> None:
        self.links_button = button

    def draw_while_working(self, on) -> None:
        self.drawing = on


class Context(Desk):
    """The dock with its section *Context*."""

    def __init__(self, services: Any = None) -> None:
        super().__init__(services=services)
        self.view = FakeView()
        self.section = ContextPresenter(self.workspace, self.view)
        self.section.show_hint()
        self.section.show_state()

    def middle(self, row: int, column: int) -> np.ndarray:
        """Where the middle of a cell is, um (y, x)."""
        x, y = self.map.tiles(np.array([row * self.map.columns + column])).centres[0]
        return np.array(self.state.slide_layer.data_to_world((y - 0.5, x - 0.5)))

    def inspect(self, row: int, column: int) -> None:
        self.viewer.cursor.position = tuple(self.middle(row, column))
        self.section.inspect_under_cursor()

    def outline(self) -> Any:
        return next((layer for layer in self.viewer.layers if layer.name == f"C9 · {OUTLINE}"), None)

    def effect(self) -> Any:
        return next((layer for layer in self.viewer.layers if effect_of(layer) is not None), None)

    @property
    def session(self) -> Any:
        return self.controller._inputs[1].session


@pytest.fixture
def context() -> Context:
    return Context()


def test_the_tile_under_the_cursor_and_why_there_is_none(context: Context) -> None:
    context.viewer.cursor.position = (100.0, 100.0)
    context.section.inspect_under_cursor()
    assert context.view.sentence_text == NO_MAP
    context.predict()
    assert context.view.sentence_text == PICK_A_TILE
    context.inspect(2, 0)  # left of the tissue
    assert context.view.sentence_text == NOT_PREDICTED
    context.inspect(2, 3)
    here = context.map.values("ERBB2")[2, 3]
    assert context.view.sentence_text.endswith(f"Without surroundings: {here - 0.8:.2f} (0.80 lower).")
    assert len(context.view.nine) == 9
    assert context.view.table.loc["CD3E", "alone"] == pytest.approx(-1.6, abs=2e-3)  # it hangs on both numbers
    context.state.choose_gene("CD3E")
    assert context.view.marks[0].text == "-0.20"


def test_the_outline_may_be_renamed_and_deleted(context: Context) -> None:
    context.predict()
    context.inspect(2, 3)
    outline = context.outline()
    outline.name = "here"
    context.viewer.add_shapes(ndim=2)
    context.inspect(2, 4)
    assert context.outline() is None
    assert context.viewer.layers[-1] is outline
    assert outline.extent.world.mean(axis=0) == pytest.approx(context.middle(2, 4), abs=0.5)
    context.viewer.layers.remove(outline)
    context.inspect(2, 5)
    assert context.outline() is not None


def test_the_effect_over_the_slide(context: Context) -> None:
    context.predict()
    heatmap = context.heatmap.layer
    assert context.view.offer.on
    context.section.toggle()
    layer = context.effect()
    assert layer.name == "C9 · ERBB2 · context effect"
    done = context.map.done.reshape(layer.data.shape)
    assert np.allclose(layer.data[done], 0.8, atol=2e-3)  # eight neighbours of 0.1
    assert np.isnan(layer.data[~done]).all()
    limit = symmetric_limit(layer.data)
    assert layer.contrast_limits == pytest.approx([-limit, limit])
    assert layer.colorbar.visible
    assert (layer.visible, heatmap.visible) == (True, False)
    assert "Orange" in context.view.offer.legend
    assert not context.view.offer.more
    context.state.choose_gene("CD3E")
    assert layer.name == "C9 · CD3E · context effect"
    assert np.allclose(layer.data[done], 1.6, atol=4e-3)
    assert len(context.services.sessions) == 1
    context.section.toggle()
    assert (layer.visible, heatmap.visible) == (False, True)
    layer.name = "mine"
    context.state.choose_gene("FLAT")
    context.section.toggle()
    assert context.effect() is layer
    assert layer.name == "mine"
    assert np.allclose(layer.data[done], 0)
    assert layer.contrast_limits == [-0.5, 0.5]


def test_tiles_that_come_later_are_gone_on_with(context: Context) -> None:
    context.predict()
    kept = np.flatnonzero(context.map.done)
    context.map.shrink(0)
    context.map.add(kept[:6], hidden_at(context.map.tiles(kept[:6]).centres))
    context.section.toggle()
    assert int(np.isfinite(context.effect().data).sum()) == 6
    assert not context.view.offer.more
    context.predict()
    assert context.heatmap.layer.visible  # the prediction is what was asked for
    assert not context.effect().visible
    asked, hidden = [], context.session.hidden
    context.session.hidden = lambda places, **more: asked.append(len(places)) or hidden(places, **more)
    context.section.toggle()
    assert int(np.isfinite(context.effect().data).sum()) == context.map.count
    assert sum(asked) == context.map.count - 6
    more = np.flatnonzero(~context.map.done)[:2]
    context.map.add(more, hidden_at(context.map.tiles(more).centres))  # as the live view does
    context.workspace.maps.draw()
    assert context.view.offer.more
    assert "2 tiles to go" in context.view.offer.legend
    context.section.compute()
    assert not context.view.offer.more
    assert int(np.isfinite(context.effect().data).sum()) == context.map.count


def test_what_was_computed_before_a_cancel_stays(context: Context, monkeypatch) -> None:
    monkeypatch.setattr("napari_nh2st.analysis.context.SQUARE", 300)
    context.predict()
    asked, hidden = [], context.session.hidden

    def stops(places, *, absent=None, cancelled=None):
        asked.append(len(places))
        if len(asked) == 2:
            raise Cancelled("stopped")
        return hidden(places, absent=absent)

    context.session.hidden = stops
    context.section.toggle()
    assert int(np.isfinite(context.effect().data).sum()) == asked[0] < context.map.count
    assert context.view.offer.more
    context.session.hidden = hidden
    context.section.compute()
    assert int(np.isfinite(context.effect().data).sum()) == context.map.count


def test_layers_may_be_deleted_at_any_time(context: Context) -> None:
    context.predict()
    context.inspect(2, 3)
    context.section.toggle()
    context.viewer.layers.remove(context.effect())
    assert context.view.offer.button == SHOW
    context.state.choose_gene("KRT8")
    assert context.effect() is None  # it stays away until it is asked for
    context.section.toggle()
    assert context.effect().name == "C9 · KRT8 · context effect"
    context.viewer.layers.remove(context.heatmap.layer)
    context.inspect(2, 4)
    context.viewer.layers.clear()
    context.state.choose_gene("ERBB2")
    assert context.outline() is None
    assert context.effect() is None


def test_a_map_from_a_file_without_its_slide(context: Context) -> None:
    context.predict()
    prediction_map = context.map
    context.viewer.layers.remove(context.state.slide_layer)
    context.presenter.choose_slide(None)
    context.controller.adopt(prediction_map)
    context.section.inspect_under_cursor()
    assert context.view.sentence_text == OPEN_ITS_SLIDE
    context.section.toggle()
    assert context.view.slide_work.said == OPEN_ITS_SLIDE
    assert context.effect() is None


def test_another_model_puts_it_all_away(context: Context) -> None:
    context.predict()
    context.inspect(2, 3)
    context.section.toggle()
    layer = context.effect()
    context.use_model("demo")
    assert context.outline() is None
    assert context.view.nine is None
    assert not layer.visible
    assert context.view.sentence_text == NO_MAP
    context.use_model("her2st")
    assert context.view.sentence_text == PICK_A_TILE
    context.section.toggle()
    assert layer.visible
    assert not context.view.offer.more  # nothing is computed anew


def test_a_model_that_looks_at_tiles_alone_says_so() -> None:
    services = FakeServices()
    paper = Architecture(variant="paper", dim=8, hidden=4, stride=16)
    services.cards["her2st"] = card(architecture=paper)
    context = Context(services)
    context.predict()
    context.session.hidden = lambda places, **_: hidden_at(places.centres)  # as the engine does for such a model
    context.inspect(2, 3)
    assert context.view.sentence_text.endswith(f"(no change). {ALONE_ANYWAY}")
    assert {mark.text for i, mark in enumerate(context.view.marks) if i != SELF} == {"+0.00"}
    assert (context.view.offer.on, context.view.offer.tip) == (False, ALONE_ANYWAY)


def test_the_outline_is_nine_squares_at_the_pitch_of_the_model() -> None:
    pixels, step = squares(pitch=16, patch=14)
    assert step == 1
    assert pixels.shape == (46, 46, 4)
    shown = pixels[..., 3] > 0
    assert list(np.flatnonzero(shown[7])) == [0, 13, 16, 29, 32, 45]
    assert list(np.flatnonzero(shown[16, 16:30])) == list(range(14))
    large, step = squares(pitch=128, patch=112)
    assert large.shape == (120, 120, 4)
    assert step == pytest.approx(368 / 120)
    own = np.flatnonzero(large[60, :, 3])
    assert own[own > 40][0] == round(128 / step)
    assert (np.diff(own[(own > 40) & (own < 60)]) == 1).all()  # thicker than those of its neighbours
    assert len(own[(own > 40) & (own < 60)]) == 3


def test_lines_of_the_outline_are_seen_at_any_zoom() -> None:
    for side in (15.0, 22.0, 100.0, 500.0):  # of a tile on the screen
        own, neighbour = widths(side)
        assert own > neighbour
        assert neighbour * side >= 2
    assert widths(3.0)[0] < 0.3  # the tile itself stays in sight


def test_the_outline_gets_wider_lines_where_a_person_zooms_out() -> None:
    context = Context(FakeServices())
    context.predict()
    context.inspect(2, 3)
    outline = next(layer for layer in context.viewer.layers if layer.name.endswith(OUTLINE))
    context.viewer.scene.camera.zoom = 20.0
    near = (outline.data[..., 3] > 0).sum()
    context.viewer.scene.camera.zoom = 0.1
    assert (outline.data[..., 3] > 0).sum() > 1.2 * near


def test_pictures_are_at_the_resolution_of_the_slide() -> None:
    slide = FakeSlide()
    centres = np.array([[400.0, 320.0], [-300.0, -300.0]])
    found = pictures(slide, centres, 224.0)
    assert found.shape == (2, 224, 224, 3)  # no more than the slide has
    assert np.array_equal(found[0], slide.levels[0][208:432, 288:512])
    assert (found[1] == 255).all()
    assert pictures(slide, centres, 600.0).shape == (2, 256, 256, 3)


def test_the_links_of_a_head_are_drawn_and_taken_away() -> None:
    services = FakeServices()
    arch = Architecture(variant="merge", dim=8, hidden=4, stride=16)
    services.cards["her2st"] = card(architecture=arch)
    context = Context(services)
    context.predict()
    assert context.view.links_button == SHOW_LINKS
    at = np.array([[100.0, 50], [120, 50], [140, 50], [600, 400], [620, 400], [640, 400]])
    graph = TissueGraph.of(at, np.array([[0.0], [9], [9.1], [9.2], [0.1], [0.2]]), near=2, alike=2)
    context.session.graph = lambda cancelled: (at, graph)
    context.section.toggle_links()
    layer = context.section.links.layer
    assert layer.name == f"C9 · {TITLE}"
    ends = np.round(layer.data.cumsum(axis=1) + 0.5)[..., ::-1]
    found = {frozenset(int(np.flatnonzero((at == end).all(axis=1))[0]) for end in line) for line in ends}
    assert found == {frozenset(link) for link in [(0, 1), (2, 1), (3, 4), (5, 4), (0, 4), (1, 2), (3, 2), (4, 2)]} | {
        frozenset((1, 4))
    }
    frame = context.state.slide_layer
    assert np.allclose(layer.data_to_world((49.5, 99.5)), frame.data_to_world((49.5, 99.5)))
    assert role_of(layer).kind is Kind.LINKS
    assert context.view.links_button == HIDE_LINKS
    context.section.toggle_links()
    assert not context.section.links.present
    assert context.view.links_button == SHOW_LINKS


def test_a_head_without_a_graph_offers_no_links(context: Context) -> None:
    context.predict()
    assert context.view.links_button is None
