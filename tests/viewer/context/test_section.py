"""The fold "Context" in a real window: a click on a tile, its neighbours, and the effect over the slide."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_nh2st.errors import Cancelled
from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Architecture
from napari_nh2st.viewer.context.inspected import OUTLINE, pictures, squares
from napari_nh2st.viewer.context.messages import ALONE_ANYWAY, CLICK_A_TILE, NOT_PREDICTED, OPEN_ITS_SLIDE
from napari_nh2st.viewer.context.section import ContextSection
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.context_effect import effect_of, symmetric_limit
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict.workspace import NO_MAP
from napari_nh2st.viewer.predict_dock import PredictWidget
from viewer.fakes import FakeServices, FakeSlide, card, hidden_at

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Window:
    """A window with the dock, its fold "Context" open, and a slide."""

    def __init__(self, make_viewer, qtbot, services: FakeServices) -> None:
        self.viewer, self.qtbot, self.services = make_viewer(show=True), qtbot, services
        data, meta, _ = frames.slide_layer_data(FakeSlide())
        self.slide_layer = self.viewer.add_image(data, **meta)
        self.widget = PredictWidget(self.viewer, services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.section: ContextSection = self.widget.folds["Context"].open()
        self.canvas = self.viewer.window._qt_viewer.canvas.native

    @property
    def map(self):
        return self.widget.workspace.map

    def until(self, condition) -> None:
        self.qtbot.waitUntil(condition, timeout=10_000)

    def predict(self, where: str = "whole") -> None:
        self.qtbot.mouseClick(self.widget.where.buttons[where], LEFT)
        self.qtbot.mouseClick(self.widget.job.button, LEFT)
        self.until(lambda: self.widget.controller.status.state not in (State.RUNNING, State.IDLE))

    def pixel(self, row: int, column: int) -> QPoint:
        """Where the canvas shows the middle of a cell."""
        camera, world = self.viewer.scene.camera, self.middle(row, column)
        size = np.array([self.canvas.height(), self.canvas.width()])
        at = (world - np.asarray(camera.center)[-2:]) * camera.zoom + size / 2
        return QPoint(round(at[1]), round(at[0]))

    def click(self, row: int, column: int) -> None:
        self.qtbot.mouseClick(self.canvas, LEFT, pos=self.pixel(row, column))

    def inspect(self, row: int, column: int) -> None:
        self.click(row, column)
        self.until(lambda: not self.section.task.running and self.section.presenter.effects is not None)
        self.until(lambda: not self.section.picture.isHidden())

    def outline(self):
        return next((layer for layer in self.viewer.layers if layer.name == OUTLINE), None)

    def middle(self, row: int, column: int):
        """Where the middle of a cell is, um (y, x)."""
        x, y = self.map.tiles(np.array([row * self.map.columns + column])).centres[0]
        return np.array(self.slide_layer.data_to_world((y - 0.5, x - 0.5)))

    def centre(self, layer):
        return layer.extent.world.mean(axis=0)

    def effect_layer(self):
        return next((layer for layer in self.viewer.layers if effect_of(layer) is not None), None)


@pytest.fixture
def window(make_napari_viewer, qtbot) -> Window:
    return Window(make_napari_viewer, qtbot, FakeServices())


def test_a_click_shows_the_tile_its_neighbours_and_what_they_change(window: Window) -> None:
    section = window.section
    assert section.sentence.text() == NO_MAP
    assert not section.show_button.isEnabled()
    window.predict()
    assert section.sentence.text() == CLICK_A_TILE
    chosen = set(window.viewer.layers.selection)
    window.inspect(2, 3)
    here = window.map.values("ERBB2")[2, 3]
    present = section.presenter.effects.present
    assert section.sentence.text() == (
        f"ERBB2 {here:.2f} ln(1 + counts per 10,000). Without all of its surroundings: {here - 0.8:.2f} (-0.80)."
    )
    assert present.all()
    marks = section.picture.marks
    assert [m.text for m in marks] == ["-0.10"] * 4 + [f"{here:.2f}"] + ["-0.10"] * 4
    assert marks[1].tip == f"Above. Without it ERBB2 is {here - 0.1:.2f} (-0.10)"
    assert len(section.picture._images) == 9
    assert set(window.viewer.layers.selection) == chosen
    assert window.centre(window.outline()) == pytest.approx(window.middle(2, 3), abs=0.5)
    table = section.table.frame
    assert list(table.columns) == ["here", "mean", "z", "alone"]
    assert table.loc["ERBB2", "here"] == pytest.approx(here)
    assert table.loc["ERBB2", "mean"] == pytest.approx(float(np.nanmean(window.map.values("ERBB2"))), abs=1e-3)
    assert table.loc["CD3E", "alone"] == pytest.approx(-1.6, abs=2e-3)  # it hangs on both numbers
    assert table.loc["FLAT", "alone"] == 0


def test_the_numbers_follow_the_gene_without_the_model(window: Window) -> None:
    window.predict()
    window.inspect(2, 3)
    asked = []
    window.widget.workspace.controller.inputs_for = lambda *a: asked.append(a)
    rows = window.section.table.frame.index
    view = window.section.table.view
    index = view.model().index(list(rows).index("CD3E"), 0)
    window.qtbot.mouseClick(view.viewport(), LEFT, pos=view.visualRect(index).center())
    assert window.widget.workspace.state.gene == "CD3E"
    assert window.section.sentence.text().startswith("CD3E ")
    assert "(-1.60)" in window.section.sentence.text()
    assert window.section.picture.marks[0].text == "-0.20"
    assert not asked


def test_neighbours_without_tissue_are_hatched(window: Window) -> None:
    window.predict()
    column = int(np.flatnonzero(np.isfinite(window.map.values("ERBB2")[0]))[0])
    window.inspect(0, column)  # at the top of the slide
    marks = window.section.picture.marks
    assert [m.absent for m in marks[:3]] == [True] * 3
    assert marks[0].tip == "Above left: no tissue, or outside the slide. The model does not look at it"
    assert not marks[SELF].absent
    assert not marks[7].absent
    shown = window.section.picture.grab().toImage()
    middle = window.section.picture.box(1).center()
    assert shown.pixelColor(middle).saturation() < 30  # grey, not the white of what is off the slide
    assert window.section.picture.tip_at(window.section.picture.box(1).center()) == marks[1].tip


def test_clicks_that_are_none(window: Window) -> None:
    window.predict()
    start, end = window.pixel(2, 3), window.pixel(2, 3) + QPoint(40, 25)
    window.qtbot.mousePress(window.canvas, LEFT, pos=start)
    window.qtbot.mouseMove(window.canvas, end)
    window.qtbot.mouseRelease(window.canvas, LEFT, pos=end)
    assert window.outline() is None  # the view was moved
    shapes = window.viewer.add_shapes(name="mine")
    shapes.mode = "add_rectangle"
    window.click(2, 3)
    assert window.outline() is None  # something is being drawn
    window.viewer.layers.remove(shapes)
    window.viewer.layers.selection.active = window.slide_layer
    window.widget.folds["Context"].open(False)
    window.click(2, 3)
    assert window.outline() is None
    window.widget.folds["Context"].open()
    window.click(2, 0)  # left of the tissue
    assert window.section.sentence.text() == NOT_PREDICTED
    window.inspect(2, 3)
    assert window.outline() is not None


def test_a_second_click_replaces_the_first(window: Window) -> None:
    window.predict()
    session = window.widget.controller._inputs[1].session
    gate, asked, hidden = threading.Event(), [], session.hidden

    def slow(places, **more):
        asked.append(places.grid[0])
        if len(asked) == 1:
            gate.wait(10)
        return hidden(places, **more)

    session.hidden = slow
    window.click(2, 3)
    window.until(lambda: len(asked) == 1)
    window.click(3, 4)
    window.until(lambda: len(asked) == 2)
    window.until(lambda: window.section.presenter.effects is not None)
    gate.set()
    window.qtbot.wait(200)
    here = window.map.values("ERBB2")[3, 4]
    assert window.section.sentence.text().startswith(f"ERBB2 {here:.2f} ")
    assert window.section.presenter._cell == 3 * window.map.columns + 4


def test_the_outline_may_be_renamed_and_deleted(window: Window) -> None:
    window.predict()
    window.inspect(2, 3)
    outline = window.outline()
    outline.name = "here"
    window.inspect(2, 4)
    assert window.outline() is None
    assert outline in window.viewer.layers
    assert window.centre(outline) == pytest.approx(window.middle(2, 4), abs=0.5)
    window.viewer.layers.remove(outline)
    window.inspect(2, 5)
    assert window.outline() is not None


def test_the_effect_over_the_slide(window: Window) -> None:
    window.predict()
    section, heatmap = window.section, window.widget.heatmap.layer
    assert section.show_button.isEnabled()
    window.qtbot.mouseClick(section.show_button, LEFT)
    window.until(lambda: not section.effect_task.running)
    layer = window.effect_layer()
    assert layer.name == "ERBB2, context effect (her2st)"
    done = window.map.done.reshape(layer.data.shape)
    assert np.allclose(layer.data[done], 0.8, atol=2e-3)  # eight neighbours of 0.1
    assert np.isnan(layer.data[~done]).all()
    limit = symmetric_limit(layer.data)
    assert layer.contrast_limits == pytest.approx([-limit, limit])
    assert layer.colorbar.visible
    assert layer.visible
    assert not heatmap.visible
    assert "Orange" in section.legend.text()
    assert section.more.isHidden()
    window.widget.state.choose_gene("CD3E")
    assert layer.name == "CD3E, context effect (her2st)"
    assert np.allclose(layer.data[done], 1.6, atol=4e-3)
    assert len(window.services.sessions) == 1
    window.qtbot.mouseClick(section.show_button, LEFT)
    assert heatmap.visible
    assert not layer.visible
    layer.name = "mine"
    window.widget.state.choose_gene("FLAT")
    window.qtbot.mouseClick(section.show_button, LEFT)
    assert window.effect_layer() is layer
    assert layer.name == "mine"
    assert np.allclose(layer.data[done], 0)
    assert layer.contrast_limits == [-0.5, 0.5]


def test_tiles_that_come_later_are_gone_on_with(window: Window) -> None:
    window.services.chunk = 3
    gate = window.services.gate = threading.Event()
    window.qtbot.mouseClick(window.widget.where.buttons["whole"], LEFT)
    window.qtbot.mouseClick(window.widget.job.button, LEFT)
    for _ in range(2):
        gate.set()
        window.until(lambda: not gate.is_set())
    window.until(lambda: window.map is not None and window.map.count == 6)
    window.qtbot.keyClick(window.widget, Qt.Key.Key_Escape)
    window.until(lambda: window.widget.controller.status.state is State.CANCELLED)
    window.services.gate = None
    section = window.section
    window.qtbot.mouseClick(section.show_button, LEFT)
    window.until(lambda: not section.effect_task.running)
    before = int(np.isfinite(window.effect_layer().data).sum())
    assert before == window.map.count
    assert section.more.isHidden()
    window.predict()
    assert window.widget.heatmap.layer.visible  # the prediction is what was asked for
    assert not window.effect_layer().visible
    assert window.map.count > before
    asked = []
    session = window.widget.controller._inputs[1].session
    hidden = session.hidden
    session.hidden = lambda places, **more: asked.append(len(places)) or hidden(places, **more)
    window.qtbot.mouseClick(section.show_button, LEFT)
    window.until(lambda: not section.effect_task.running)
    assert int(np.isfinite(window.effect_layer().data).sum()) == window.map.count
    assert sum(asked) == window.map.count - before
    more = np.flatnonzero(~window.map.done)[:2]
    window.map.add(more, hidden_at(window.map.tiles(more).centres))  # as the live view does
    window.widget.workspace.maps.draw()
    assert not section.more.isHidden()
    assert "2 tiles not computed yet" in section.legend.text()
    window.qtbot.mouseClick(section.more, LEFT)
    window.until(lambda: not section.effect_task.running)
    assert section.more.isHidden()
    assert int(np.isfinite(window.effect_layer().data).sum()) == window.map.count


def test_what_was_computed_before_a_cancel_stays(window: Window, monkeypatch) -> None:
    monkeypatch.setattr("napari_nh2st.analysis.context.SQUARE", 300)
    window.predict()
    section, session = window.section, window.widget.controller._inputs[1].session
    asked, hidden = [], session.hidden

    def stops(places, *, absent=None, cancelled=None):
        asked.append(len(places))
        if len(asked) == 2:
            section.effect_task._stop.set()
        if cancelled():
            raise Cancelled("stopped")
        return hidden(places, absent=absent)

    session.hidden = stops
    window.qtbot.mouseClick(section.show_button, LEFT)
    window.until(lambda: not section.effect_task.running)
    assert int(np.isfinite(window.effect_layer().data).sum()) == asked[0] < window.map.count
    assert not section.more.isHidden()
    session.hidden = hidden
    window.qtbot.mouseClick(section.more, LEFT)
    window.until(lambda: not section.effect_task.running)
    assert int(np.isfinite(window.effect_layer().data).sum()) == window.map.count


def test_layers_may_be_deleted_at_any_time(window: Window) -> None:
    window.predict()
    window.inspect(2, 3)
    window.qtbot.mouseClick(window.section.show_button, LEFT)
    window.until(lambda: not window.section.effect_task.running)
    window.viewer.layers.remove(window.effect_layer())
    assert window.section.show_button.text() == "Show on the slide"
    window.widget.state.choose_gene("KRT8")
    assert window.effect_layer() is None  # it stays away until it is asked for
    window.qtbot.mouseClick(window.section.show_button, LEFT)
    assert window.effect_layer().name == "KRT8, context effect (her2st)"
    window.viewer.layers.remove(window.widget.heatmap.layer)
    window.inspect(2, 4)
    window.viewer.layers.clear()
    window.widget.state.choose_gene("ERBB2")
    assert window.outline() is None
    assert window.effect_layer() is None


def test_a_map_from_a_file_without_its_slide(window: Window) -> None:
    window.predict()
    shown = window.map
    window.viewer.layers.remove(window.slide_layer)
    window.widget.controller.adopt(shown)
    window.section.presenter.inspect_under_cursor()
    assert window.section.sentence.text() == OPEN_ITS_SLIDE
    window.qtbot.mouseClick(window.section.show_button, LEFT)
    assert window.section.effect_task.sentence.text() == OPEN_ITS_SLIDE
    assert window.effect_layer() is None


def test_another_model_puts_it_all_away(window: Window) -> None:
    window.predict()
    window.inspect(2, 3)
    window.qtbot.mouseClick(window.section.show_button, LEFT)
    window.until(lambda: not window.section.effect_task.running)
    layer = window.effect_layer()
    window.widget.use_model("demo")
    assert window.outline() is None
    assert window.section.picture.isHidden()
    assert not layer.visible
    assert window.section.sentence.text() == NO_MAP
    window.widget.use_model("her2st")
    assert window.section.sentence.text() == CLICK_A_TILE
    window.qtbot.mouseClick(window.section.show_button, LEFT)
    assert layer.visible
    assert window.section.more.isHidden()  # nothing is computed anew
    assert not window.section.effect_task.running


def test_a_model_that_looks_at_tiles_alone_says_so(make_napari_viewer, qtbot) -> None:
    services = FakeServices()
    paper = Architecture(variant="paper", dim=8, hidden=4, stride=16)
    services.cards["her2st"] = card(architecture=paper)
    window = Window(make_napari_viewer, qtbot, services)
    window.predict()
    session = window.widget.controller._inputs[1].session
    session.hidden = lambda places, **_: hidden_at(places.centres)  # as the engine does for such a model
    window.inspect(2, 3)
    assert window.section.sentence.text().endswith(f"(+0.00). {ALONE_ANYWAY}")
    assert {m.text for i, m in enumerate(window.section.picture.marks) if i != SELF} == {"+0.00"}
    assert not window.section.show_button.isEnabled()
    assert window.section.show_button.toolTip() == ALONE_ANYWAY


def test_after_the_dock_is_closed_nothing_listens(window: Window) -> None:
    window.predict()
    count = len(window.viewer.mouse_drag_callbacks)
    where = window.pixel(2, 3)
    window.widget.shut_down()
    assert len(window.viewer.mouse_drag_callbacks) == count - 1
    window.qtbot.mouseClick(window.canvas, LEFT, pos=where)
    assert window.outline() is None


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


def test_pictures_are_at_the_resolution_of_the_slide() -> None:
    slide = FakeSlide()
    centres = np.array([[400.0, 320.0], [-300.0, -300.0]])
    found = pictures(slide, centres, 224.0)
    assert found.shape == (2, 224, 224, 3)  # no more than the slide has
    assert np.array_equal(found[0], slide.levels[0][208:432, 288:512])
    assert (found[1] == 255).all()
    assert pictures(slide, centres, 600.0).shape == (2, 256, 256, 3)
