"""Regions and domains in a real window: drawn with the mouse, named, measured, compared, divided."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit

from napari_nh2st.annotations import read_annotations
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.domains import colour_of
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict.workspace import NO_MAP
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.regions.domains import domains_on_slide
from napari_nh2st.viewer.regions.messages import ALIKE, DONE_DRAWING, DRAW
from viewer.fakes import FakeServices, FakeSlide

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton
# micrometres (y, x) on a slide of 0.5 um/px: 960 x 1280 px are 480 x 640 um, of which the left 64 um are no tissue
LEFT_HALF = np.array([(0, 0), (0, 320), (480, 320), (480, 0)], dtype=float)
RIGHT_HALF = LEFT_HALF + np.array((0, 320))


class Dock:
    """A window with the dock, a slide of 17 x 23 tiles of which all tissue is predicted, and the section open."""

    def __init__(self, make_viewer, qtbot, *, predict: bool = True, show: bool = False) -> None:
        self.viewer, self.qtbot, self.services = make_viewer(show=show), qtbot, FakeServices(chunk=1000)
        small = self.services.cards["her2st"]
        small = small.model_copy(update={"pitch": 28})
        self.services.cards["her2st"] = small
        self.slide = FakeSlide()
        data, meta, _ = frames.slide_layer_data(self.slide)
        self.viewer.add_image(data, **meta)
        self.widget = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.widget.where.detail.setCurrentIndex(1)  # fine: tiles enough to be divided
        if predict:
            self.predict()
        self.section = self.widget.folds["Regions"].open()
        self.domains = self.section.domains

    def predict(self) -> None:
        self.click(self.widget.where.buttons["whole"])
        self.click(self.widget.job.button)
        self.until(lambda: self.widget.controller.status.state is State.DONE)

    @property
    def map(self):
        return self.widget.workspace.map

    def click(self, button) -> None:
        self.qtbot.mouseClick(button, LEFT)

    def until(self, condition, timeout: int = 20_000) -> None:
        self.qtbot.waitUntil(condition, timeout=timeout)

    def shapes(self, *outlines, **how):
        layer = self.viewer.add_shapes(list(outlines), shape_type="polygon", units=("um", "um"), **how)
        self.until(lambda: self.names() != [] and self.section.sentence.isHidden())
        return layer

    @property
    def canvas(self):
        return self.viewer.window._qt_viewer.canvas.native

    def click_at(self, x: float, y: float) -> QPoint:
        """Click on the canvas, at parts of its width and height."""
        at = QPoint(int(self.canvas.width() * x), int(self.canvas.height() * y))
        self.qtbot.mouseMove(self.canvas, at)
        self.qtbot.wait(10)
        self.qtbot.mouseClick(self.canvas, LEFT, pos=at)
        self.qtbot.wait(QApplication.doubleClickInterval() + 20)
        return at

    def draw_square(self, start: float, side: float = 0.2) -> None:
        """Draw a square with the polygon tool."""
        for x, y in ((0, 0), (side, 0), (side, side), (0, side)):
            at = self.click_at(start + x, start + y)
        self.qtbot.mouseDClick(self.canvas, LEFT, pos=at)

    def rows(self, layer) -> list[str]:
        """The names of a layer's shapes, of which there is one each, on the canvas too."""
        names = list(layer.features["name"])
        assert list(layer.text.values) == names
        assert len(layer.data) == len(layer.edge_color) == len(layer.face_color) == len(names)
        return names

    def colours(self) -> list[tuple[int, ...]]:
        """The colours of the swatches in the list."""
        listed = self.section.list
        icons = [listed.item(i, 0).icon().pixmap(14, 14).toImage() for i in range(listed.rowCount())]
        return [icon.pixelColor(5, 5).getRgb() for icon in icons]

    def names(self) -> list[str]:
        return [self.section.list.item(i, 0).text() for i in range(self.section.list.rowCount())]

    def tiles(self) -> list[str]:
        return [self.section.list.item(i, 1).text() for i in range(self.section.list.rowCount())]

    def find(self) -> None:
        self.click(self.domains.button)
        self.until(lambda: not self.domains.task.running, timeout=120_000)  # scanpy is loaded the first time


@pytest.fixture
def quick_clicks() -> Iterator[None]:
    """Two clicks are a double click only if they follow each other at once: tests need not wait between them."""
    before = QApplication.doubleClickInterval()
    QApplication.setDoubleClickInterval(1)
    yield
    QApplication.setDoubleClickInterval(before)


@pytest.fixture
def dock(make_napari_viewer, qtbot) -> Dock:
    return Dock(make_napari_viewer, qtbot)


def test_a_region_drawn_with_the_mouse_is_named_and_measured(make_napari_viewer, qtbot, quick_clicks) -> None:
    dock = Dock(make_napari_viewer, qtbot, show=True)
    dock.click(dock.section.draw)
    layer = dock.viewer.layers[-1]
    assert (layer.name, layer.mode) == ("C9 · regions", "add_polygon")
    assert dock.viewer.layers.selection.active is layer
    dock.qtbot.wait(500)
    dock.draw_square(0.4)
    dock.until(lambda: dock.names() == ["1"])
    assert list(layer.features["name"]) == ["1"]
    frame = dock.section.table.frame
    assert list(frame.columns) == ["mean", "difference", "spread", "elsewhere"]
    inside = dock.map.tiles().centres
    (ys, xs) = (layer.data[0][:, i] * 2 + 0.5 for i in (0, 1))
    mask = ((inside > (xs.min(), ys.min())) & (inside < (xs.max(), ys.max()))).all(axis=1) & dock.map.done
    assert dock.tiles() == [f"{mask.sum()} tiles"]
    expected = dock.map.values("ERBB2").ravel()[mask]
    assert frame.loc["ERBB2", "mean"] == pytest.approx(expected.mean(), abs=1e-3)
    assert frame.loc["ERBB2", "spread"] == pytest.approx(expected.std(ddof=1), rel=1e-2)

    # the next one is chosen in the list; outline and name have a light rim, on the darkest map too
    dock.draw_square(0.15)
    dock.until(lambda: dock.names() == ["1", "2"])
    assert dock.section.region == "2"
    dock.click(dock.section.draw)
    layer.face_color = "transparent"
    heatmap = dock.widget.heatmap.layer
    heatmap.contrast_limits, heatmap.opacity = (100, 200), 1.0
    light = dock.viewer.screenshot(flash=False)[..., :3].min(axis=2) > 180
    tall, wide = light.shape

    def lit(x: float, y: float, reach: int) -> int:
        return int(light[int(y * tall) - reach : int(y * tall) + reach, int(x * wide) - reach : int(x * wide)].sum())

    assert min(lit(0.4, 0.5, 8), lit(0.6, 0.5, 8)) >= 16
    assert lit(0.5, 0.5, 8) > 5
    assert lit(0.55, 0.57, 8) == 0


def test_shapes_that_napari_takes_back_leave_nothing(make_napari_viewer, qtbot, quick_clicks) -> None:
    dock = Dock(make_napari_viewer, qtbot, show=True)
    draw = dock.section.draw
    dock.click(draw)
    layer, canvas = dock.viewer.layers[-1], dock.canvas
    assert (draw.isChecked(), draw.text()) == (True, DONE_DRAWING)
    dock.draw_square(0.3)
    dock.click_at(0.7, 0.7)
    dock.qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert dock.rows(layer) == ["1"]
    assert (draw.isChecked(), draw.text(), layer.mode) == (False, DRAW, "pan_zoom")
    dock.click(draw)
    assert dock.viewer.layers[-1] is layer
    for mode in ("add_path", "add_polyline", "add_polygon"):
        layer.mode = mode
        dock.click_at(0.7, 0.7)
        dock.qtbot.keyClick(canvas, Qt.Key.Key_Escape)
        assert dock.rows(layer) == ["1"], mode
    dock.click(draw)
    dock.draw_square(0.6)
    dock.until(lambda: dock.names() == ["1", "2"])
    colours = dock.colours()
    assert dock.rows(layer) == ["1", "2"]
    assert len(set(colours)) == 2
    dock.click(draw)
    assert (draw.isChecked(), layer.mode) == (False, "pan_zoom")

    colours, (first, whole) = dock.colours(), dock.tiles()
    layer.mode = "vertex_remove"  # a square of which two corners are left is no shape
    dock.click_at(0.6, 0.6)
    dock.until(lambda: dock.tiles()[1] != whole)
    number, all_tiles = (int(text.split()[0]) for text in (dock.tiles()[1], whole))
    assert 0.3 * all_tiles < number < 0.7 * all_tiles
    assert (dock.rows(layer), dock.names(), dock.colours()) == (["1", "2"], ["1", "2"], colours)
    for corner in ((0.8, 0.6), (0.8, 0.8)):
        dock.click_at(*corner)
    dock.until(lambda: dock.names() == ["1"])
    assert (dock.rows(layer), dock.tiles(), dock.colours()) == (["1"], [first], colours[:1])
    dock.click(dock.section.undo)
    dock.until(lambda: dock.names() == ["1", "2"])
    assert (dock.rows(layer), dock.colours()) == (["1", "2"], colours)

    layer.mode = "select"
    layer.selected_data = {0}
    for key in (Qt.Key.Key_C, Qt.Key.Key_V):
        dock.qtbot.keyClick(canvas, key, Qt.KeyboardModifier.ControlModifier)
    dock.until(lambda: dock.names() == ["1", "2", "3"])
    assert dock.rows(layer) == ["1", "2", "3"]
    layer.selected_data = {0, 2}
    dock.qtbot.keyClick(canvas, Qt.Key.Key_Delete)
    dock.until(lambda: dock.names() == ["2"])
    dock.click(dock.section.delete)
    dock.until(lambda: dock.names() == [])
    dock.qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    dock.until(lambda: dock.names() == ["2"])
    dock.click(dock.section.undo)
    dock.until(lambda: dock.names() == ["2", "1", "3"])
    assert dock.rows(layer) == ["2", "1", "3"]
    assert dock.colours()[:2] == colours[::-1]
    assert not dock.section.undo.isEnabled()
    dock.viewer.layers.remove(layer)
    dock.until(lambda: dock.names() == [])
    dock.click(dock.section.undo)
    dock.until(lambda: dock.names() == ["2", "1", "3"])

    # the first of three loses one corner too many, with napari's own buttons
    layer = dock.viewer.layers[-1]
    dock.viewer.layers.selection.active = layer
    controls = dock.viewer.window._qt_viewer.controls.widgets[layer]
    tiles, colours = dock.tiles(), dock.colours()
    dock.click(controls.select_button)
    dock.click_at(0.77, 0.77)
    assert layer.selected_data == {0}
    dock.click(controls.direct_button)
    dock.click(controls.vertex_remove_button)
    dock.click_at(0.8, 0.8)
    dock.until(lambda: dock.names() == ["1", "3"])
    assert (dock.rows(layer), dock.tiles(), dock.colours()) == (["1", "3"], tiles[1:], colours[1:])
    dock.click(controls.direct_button)
    dock.click(dock.section.undo)
    dock.until(lambda: len(dock.names()) == 3)
    rows = dict(zip(dock.names(), zip(dock.tiles(), dock.colours(), strict=True), strict=True))
    assert rows == dict(zip(("2", "1", "3"), zip(tiles, colours, strict=True), strict=True))
    assert dock.rows(layer) == dock.names()


def test_a_layer_with_features_of_its_own_keeps_them_in_step(make_napari_viewer, qtbot, quick_clicks) -> None:
    dock = Dock(make_napari_viewer, qtbot, show=True)
    layer = dock.shapes(LEFT_HALF, features={"stain": ["HE"], "score": [0.5]})
    dock.until(lambda: dock.names() == ["1"])
    layer.mode = "add_polygon"
    dock.draw_square(0.6)
    dock.until(lambda: dock.names() == ["1", "2"])
    dock.click_at(0.3, 0.3)
    dock.qtbot.keyClick(dock.canvas, Qt.Key.Key_Escape)
    assert dock.names() == ["1", "2"]
    assert len(layer.features) == len(layer.data) == 2
    assert (layer.features["stain"][0], layer.features["score"][0]) == ("HE", 0.5)
    dock.click(dock.section.delete)
    dock.until(lambda: len(dock.names()) == 1)
    dock.click(dock.section.undo)
    dock.until(lambda: len(dock.names()) == 2)
    assert len(layer.features) == len(layer.data) == 2
    assert "HE" in list(layer.features["stain"])


def test_a_name_that_is_typed_is_kept_with_the_layer(make_napari_viewer, qtbot) -> None:
    dock = Dock(make_napari_viewer, qtbot, show=True)
    layer = dock.shapes(LEFT_HALF, RIGHT_HALF)
    assert dock.names() == ["1", "2"]
    listed = dock.section.list
    at = listed.visualItemRect(listed.item(1, 0)).center()
    dock.qtbot.mouseClick(listed.viewport(), LEFT, pos=at)
    dock.qtbot.mouseDClick(listed.viewport(), LEFT, pos=at)
    editor = listed.findChild(QLineEdit)
    editor.selectAll()
    dock.qtbot.keyClicks(editor, "tumour")
    dock.qtbot.keyClick(editor, Qt.Key.Key_Return)
    dock.until(lambda: dock.names() == ["1", "tumour"])
    assert list(layer.features["name"]) == ["1", "tumour"]
    assert list(layer.text.values) == ["1", "tumour"]
    assert listed.region == "tumour"
    dock.until(lambda: dock.section.comparison._first.findText("tumour") == 1)


def test_clicking_a_gene_shows_it_choosing_a_region_describes_it_and_all_are_saved(dock: Dock, tmp_path: Path) -> None:
    dock.shapes(LEFT_HALF, RIGHT_HALF)
    section = dock.section
    left = section.table.frame.loc["ERBB2", "mean"]
    section.list.selectRow(1)
    assert section.table.frame.loc["ERBB2", "mean"] > left  # ERBB2 grows with x
    assert section.table.frame.loc["ERBB2", "elsewhere"] == pytest.approx(left)
    at = section.table.view.visualRect(section.table.view.model().index(1, 0)).center()
    dock.qtbot.mouseClick(section.table.view.viewport(), LEFT, pos=at)
    assert dock.widget.state.gene == section.table.frame.index[1]
    saved = pd.read_csv(dock.section.table.write(tmp_path / "regions.csv"))
    assert list(saved.columns) == ["region", "gene", "n_tiles", "mean", "sd", "mean_elsewhere", "unit"]
    assert len(saved) == 2 * 4


def test_marker_genes_of_each_domain(dock: Dock, tmp_path: Path, monkeypatch) -> None:
    dock.find()
    domains = dock.domains
    first = domains.table.frame
    assert domains.note.text() == ALIKE
    swatch = domains.choice.itemIcon(0).pixmap(domains.choice.iconSize()).toImage()
    assert swatch.pixelColor(5, 5).name().upper() == colour_of(1)
    lines = [key for key in dock.viewer.canvas.overlays if key.startswith("nh2st_legend")]
    written = [overlay for overlay in map(dock.viewer.canvas.overlays.get, lines) if overlay.visible]
    assert [overlay.text.split(":")[0] for overlay in written] == [str(i + 1) for i in range(domains.choice.count())]
    grounds = [to_hex(overlay.box_color).upper() for overlay in written]
    assert grounds == [colour_of(i + 1) for i in range(len(written))]
    assert list(first.columns) == ["difference", "score", "adjusted p"]
    at = domains.table.view.visualRect(domains.table.view.model().index(1, 0)).center()
    dock.qtbot.mouseClick(domains.table.view.viewport(), LEFT, pos=at)
    assert dock.widget.state.gene == first.index[1]
    assert (dock.widget.heatmap.layer.visible, domains.layer.visible) == (True, False)
    domains.choice.setFocus()
    dock.qtbot.keyClick(domains.choice, Qt.Key.Key_Down)
    assert not domains.table.frame.sort_index().equals(first.sort_index())
    assert (dock.widget.heatmap.layer.visible, domains.layer.visible) == (False, True)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *asked: (str(tmp_path / "d"), "GeoJSON (*.geojson)"))
    dock.click(domains.save)
    dock.until(lambda: domains.sentence.text().startswith("Saved "))
    written = read_annotations(tmp_path / "d.geojson").annotations
    assert [a.kind for a in written] == [f"Domain {i + 1}" for i in range(domains.choice.count())]
    assert {a.title: a.polygons for a in written}.keys() == domains_on_slide(dock.widget.workspace)().keys()
    saved = pd.read_csv(domains.table.write(tmp_path / "markers.csv"))
    assert list(saved.columns) == ["domain", "gene", "n_tiles", "difference", "score", "p", "adjusted p"]
    assert saved["domain"].nunique() == domains.choice.count()


def test_layers_deleted_while_it_runs(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    from viewer.fakes import FakeSession

    gate, embed = threading.Event(), FakeSession.embed
    monkeypatch.setattr(FakeSession, "embed", lambda *a, **k: gate.wait(10) and embed(*a, **k))
    dock.shapes(LEFT_HALF, RIGHT_HALF)
    dock.click(dock.section.comparison.button)
    dock.click(dock.domains.button)
    dock.qtbot.wait(100)
    dock.viewer.layers.clear()
    gate.set()
    dock.until(lambda: not dock.widget.background.busy, timeout=120_000)
    dock.qtbot.wait(600)
    assert dock.section.sentence.text() == NO_MAP
    assert not [layer for layer in dock.viewer.layers if "domains" in layer.name]


def test_cancelled_and_closed(dock: Dock, monkeypatch: pytest.MonkeyPatch) -> None:
    from viewer.fakes import FakeSession

    gate, embed = threading.Event(), FakeSession.embed
    monkeypatch.setattr(FakeSession, "embed", lambda *a, **k: gate.wait(10) and embed(*a, **k))
    dock.click(dock.domains.button)
    assert not dock.domains.button.isEnabled()
    dock.click(dock.domains.task.cancel_button)
    gate.set()
    dock.until(lambda: dock.domains.task.sentence.text() == "Stopped.")
    assert dock.domains.button.isEnabled()
    gate.clear()
    dock.click(dock.domains.button)
    dock.viewer.window.remove_dock_widget(dock.widget)
    gate.set()
    dock.until(lambda: not dock.widget.background.busy)
    dock.viewer.add_shapes([LEFT_HALF])  # nobody listens any more
    dock.qtbot.wait(500)
