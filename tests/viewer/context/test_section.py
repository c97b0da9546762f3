"""The fold "Context" in a real window: a click on a tile, its neighbours, and the effect over the slide."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_nh2st.geometry import SELF
from napari_nh2st.viewer.context.messages import NOT_PREDICTED, PICK_A_TILE
from napari_nh2st.viewer.context.section import ContextSection
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.context_effect import effect_of
from napari_nh2st.viewer.layers.roles import Kind, kind_of
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict.workspace import NO_MAP
from napari_nh2st.viewer.predict_dock import PredictWidget
from viewer.fakes import FakeServices, FakeSlide

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
        self.qtbot.waitUntil(condition)

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

    def pick(self) -> None:
        """Press *Pick a tile*."""
        self.qtbot.mouseClick(self.section.pick, LEFT)

    def click(self, row: int, column: int) -> None:
        self.qtbot.mouseClick(self.canvas, LEFT, pos=self.pixel(row, column))

    def inspect(self, row: int, column: int) -> None:
        if not self.section.pick.isChecked():
            self.pick()
        self.click(row, column)
        self.until(lambda: not self.section.task.running and self.section.presenter.effects is not None)
        self.until(lambda: not self.section.picture.isHidden())

    def outline(self):
        return next((layer for layer in self.viewer.layers if kind_of(layer) is Kind.OUTLINE), None)

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
    assert section.sentence.text() == PICK_A_TILE
    chosen = set(window.viewer.layers.selection)
    window.inspect(2, 3)
    here = window.map.values("ERBB2")[2, 3]
    present = section.presenter.effects.present
    assert section.sentence.text() == (
        f"ERBB2 {here:.2f} ln(1 + counts per 10,000). Without surroundings: {here - 0.8:.2f} (0.80 lower)."
    )
    assert present.all()
    marks = section.picture.marks
    assert [m.text for m in marks] == ["-0.10"] * 4 + [f"{here:.2f}"] + ["-0.10"] * 4
    assert marks[1].tip == f"Above. Without it: ERBB2 {here - 0.1:.2f} (0.10 lower)"
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
    assert "(1.60 lower)" in window.section.sentence.text()
    assert window.section.picture.marks[0].text == "-0.20"
    assert not asked


def test_neighbours_without_tissue_are_hatched(window: Window) -> None:
    window.predict()
    column = int(np.flatnonzero(np.isfinite(window.map.values("ERBB2")[0]))[0])
    window.inspect(0, column)  # at the top of the slide
    marks = window.section.picture.marks
    assert [m.absent for m in marks[:3]] == [True] * 3
    assert marks[0].tip == "Above left: no tissue here, so the model does not look at it"
    assert not marks[SELF].absent
    assert not marks[7].absent
    shown = window.section.picture.grab().toImage()
    middle = window.section.picture.box(1).center()
    assert shown.pixelColor(middle).saturation() < 30  # grey, not the white of what is off the slide
    assert window.section.picture.tip_at(window.section.picture.box(1).center()) == marks[1].tip


def test_clicks_that_are_none(window: Window) -> None:
    window.predict()
    window.click(2, 3)
    assert window.outline() is None  # the tool is not in hand
    window.pick()
    start, end = window.pixel(2, 3), window.pixel(2, 3) + QPoint(40, 25)
    window.qtbot.mousePress(window.canvas, LEFT, pos=start)
    window.qtbot.mouseMove(window.canvas, end)
    window.qtbot.mouseRelease(window.canvas, LEFT, pos=end)
    assert window.outline() is None  # the view was moved
    shapes = window.viewer.add_shapes(name="mine")
    shapes.mode = "add_rectangle"
    window.click(2, 3)
    assert window.outline() is None  # something is being drawn
    assert not window.section.pick.isChecked()
    window.pick()
    assert shapes.mode == "pan_zoom"
    window.qtbot.keyClick(window.canvas, Qt.Key.Key_Escape)
    assert not window.section.pick.isChecked()
    window.viewer.layers.remove(shapes)
    window.viewer.layers.selection.active = window.slide_layer
    window.pick()
    window.widget.folds["Context"].open(False)
    window.click(2, 3)
    assert window.outline() is None
    window.widget.folds["Context"].open()
    assert not window.section.pick.isChecked()
    window.pick()
    window.click(2, 0)  # left of the tissue
    assert window.section.sentence.text() == NOT_PREDICTED
    window.inspect(2, 3)
    assert window.outline() is not None
    pen = window.widget.folds["Regions"].open().draw
    window.qtbot.mouseClick(pen, LEFT)
    regions = window.viewer.layers.selection.active
    assert (pen.isChecked(), window.section.pick.isChecked(), regions.mode) == (True, False, "add_polygon")
    assert window.viewer.layers[-1] is window.outline()
    window.pick()
    window.inspect(3, 4)
    assert (pen.isChecked(), regions.mode, len(regions.data)) == (False, "pan_zoom", 0)  # the click drew nothing


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
    window.pick()
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


def test_after_the_dock_is_closed_nothing_listens(window: Window) -> None:
    window.predict()
    count = len(window.viewer.mouse_drag_callbacks)
    where = window.pixel(2, 3)
    window.widget.shut_down()
    assert len(window.viewer.mouse_drag_callbacks) == count - 1
    window.qtbot.mouseClick(window.canvas, LEFT, pos=where)
    assert window.outline() is None
