"""The fold "Several slides" in a real window, and what is kept when another slide is chosen there."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.several.messages import LAYING_OUT
from viewer.fakes import FakeServices, FakeSlide
from viewer.several.views import slide

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Window:
    """A window with the dock and two slides, A and B."""

    def __init__(self, make_viewer, qtbot, slides: tuple[FakeSlide, ...]) -> None:
        self.qtbot, self.viewer, self.services = qtbot, make_viewer(), FakeServices()
        self.widget = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.slides = [self.open(each) for each in slides]

    def open(self, opened: FakeSlide):
        data, meta, _ = frames.slide_layer_data(opened)
        return self.viewer.add_image(data, **meta)

    def choose(self, name: str) -> None:
        combo = self.widget.slides.combo
        combo.setFocus()
        wanted = combo.findText(name)
        while combo.currentIndex() != wanted:
            key = Qt.Key.Key_Down if combo.currentIndex() < wanted else Qt.Key.Key_Up
            self.qtbot.keyClick(combo, key)

    def gene(self, name: str) -> None:
        field = self.widget.genes.field.lineEdit()
        field.selectAll()
        self.qtbot.keyClicks(field, name)
        self.qtbot.keyClick(field, Qt.Key.Key_Return)

    def predict(self) -> None:
        self.qtbot.mouseClick(self.widget.where.buttons["whole"], LEFT)
        self.qtbot.mouseClick(self.widget.job.button, LEFT)
        self.qtbot.waitUntil(lambda: self.widget.controller.status.state not in (State.RUNNING, State.IDLE))

    @property
    def in_sight(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers if layer.visible]

    @property
    def heatmap(self):
        return self.widget.heatmap

    def desk_heatmap(self, name: str):
        made = self.widget.workspace.maps
        return next(heatmap for heatmap in made if heatmap.map.slide["fingerprint"] == name * 4)


@pytest.fixture
def window(make_napari_viewer, qtbot) -> Window:
    return Window(make_napari_viewer, qtbot, (slide("A"), slide("B", (1920, 1600))))


def test_gene_limits_and_colours_are_kept(window: Window) -> None:
    window.choose("A")
    window.predict()
    window.gene("KRT8")
    window.choose("B")
    assert window.widget.state.gene == "KRT8"
    window.predict()
    assert window.heatmap.gene == "KRT8"
    assert window.heatmap.map.slide["fingerprint"] == "BBBB"
    lock = window.widget.genes.limits.lock.native
    window.qtbot.mouseClick(lock, LEFT, pos=QPoint(8, lock.height() // 2))
    assert lock.isChecked()
    locked = tuple(window.heatmap.layer.contrast_limits)
    window.widget.state.style.colormap = "magma"
    window.gene("CD3E")
    window.choose("A")
    assert window.heatmap.map.slide["fingerprint"] == "AAAA"
    assert window.heatmap.gene == "CD3E"
    assert window.heatmap.layer.colormap.name == "magma"
    assert tuple(window.heatmap.layer.contrast_limits) == pytest.approx(locked)
    assert f"{locked[0]:.2f} to {locked[1]:.2f}" in window.widget.genes.limits.sentence.text()
    assert len(window.services.asked) == 2  # each slide was predicted once


def test_closing_the_chosen_slide_brings_back_the_other_one(window: Window) -> None:
    window.viewer.layers.remove("B")
    assert window.in_sight == ["A"]
    assert window.widget.job.button.isEnabled()


def test_a_job_that_goes_on_elsewhere_does_not_show_on_the_chosen_slide(window: Window) -> None:
    window.choose("A")
    gate = window.services.gate = threading.Event()
    window.qtbot.mouseClick(window.widget.where.buttons["whole"], LEFT)
    window.qtbot.mouseClick(window.widget.job.button, LEFT)
    window.choose("B")
    gate.set()
    window.qtbot.waitUntil(lambda: window.widget.controller.status.done > 0)
    assert window.in_sight == ["B"]
    assert [layer.name for layer in window.viewer.layers] == ["A", "A · ERBB2 · predicted", "B"]
    assert window.heatmap is None
    window.services.gate = None
    gate.set()
    window.qtbot.waitUntil(lambda: not window.widget.controller.running)
    assert window.in_sight == ["B"]
    window.choose("A")
    assert window.in_sight == ["A", "A · ERBB2 · predicted"]
    assert np.isfinite(window.heatmap.layer.data).sum() == window.heatmap.map.count > 0


def test_selecting_a_heatmap_of_another_slide_chooses_that_slide(window: Window) -> None:
    window.choose("A")
    window.predict()
    heatmap = window.heatmap
    window.choose("B")
    window.viewer.layers.selection.active = heatmap.layer
    assert window.widget.slides.combo.currentText() == "A"
    assert window.heatmap is heatmap
    assert window.in_sight == ["A", "A · ERBB2 · predicted"]


def test_two_windows_at_once_know_nothing_of_each_other(make_napari_viewer, qtbot) -> None:
    one = Window(make_napari_viewer, qtbot, (slide("A"),))
    other = Window(make_napari_viewer, qtbot, (slide("A"), slide("B")))
    one.predict()
    assert other.in_sight == ["B"]
    other.predict()
    other.gene("KRT8")
    assert one.in_sight == ["A", "A · ERBB2 · predicted"]
    assert other.in_sight == ["B", "B · KRT8 · predicted"]
    assert (one.heatmap.gene, other.heatmap.gene) == ("ERBB2", "KRT8")
    other.choose("A")
    assert one.in_sight == ["A", "A · ERBB2 · predicted"]


@pytest.fixture
def compared(window: Window) -> Window:
    """Both slides predicted, A chosen, the fold opened."""
    for name in ("B", "A"):
        window.choose(name)
        window.predict()
    window.section = window.widget.folds["Several slides"].open()
    return window


def _lay_out(window: Window) -> None:
    section = window.widget.folds["Several slides"].open()
    window.qtbot.mouseClick(section.button, LEFT)
    window.qtbot.waitUntil(lambda: section.sentence.text() != LAYING_OUT)


def _cells(window: Window) -> list[list[str]]:
    grid, shown = window.viewer.canvas.grid, window.viewer.layers
    boxes = [[shown[i] for i in inside] for _, inside in grid.iter_viewboxes(shown)]
    return [[layer.name for layer in box if layer.visible] for box in boxes]


def test_side_by_side_and_back(compared: Window) -> None:
    window, viewer, button = compared, compared.viewer, compared.section.button
    viewer.add_points([[3, 4]], name="mine")
    order, in_sight, camera = list(viewer.layers), window.in_sight, viewer.scene.camera.center
    window.widget.scroll.ensureWidgetVisible(button)
    _lay_out(window)
    heatmaps = [window.desk_heatmap(name) for name in "AB"]
    assert _cells(window) == [["A", heatmaps[0].layer.name], ["B", heatmaps[1].layer.name]]
    limits = [tuple(heatmap.layer.contrast_limits) for heatmap in heatmaps]
    assert limits[0] == limits[1]
    both = np.concatenate([h.values[np.isfinite(h.values)] for h in heatmaps])
    assert limits[0] == pytest.approx(np.percentile(both, (1, 99)), rel=1e-5)
    assert f"{limits[0][0]:.2f} to {limits[0][1]:.2f}" in window.widget.genes.limits.sentence.text()
    window.gene("KRT8")
    assert [heatmap.layer.name.split(" · ")[1] for heatmap in heatmaps] == ["KRT8", "KRT8"]
    assert heatmaps[0].limits == heatmaps[1].limits
    heatmaps[0].layer.contrast_limits = (0.2, 0.3)  # by hand: the same colours still mean the same
    window.qtbot.waitUntil(lambda: tuple(heatmaps[1].layer.contrast_limits) == (0.2, 0.3))
    window.choose("B")
    assert _cells(window) == [["A", heatmaps[0].layer.name], ["B", heatmaps[1].layer.name]]
    window.choose("A")
    window.qtbot.mouseClick(button, LEFT)
    assert not viewer.canvas.grid.enabled
    assert list(viewer.layers) == order
    assert window.in_sight == [name.replace("ERBB2", "KRT8") for name in in_sight]
    assert viewer.scene.camera.center == camera
    window.gene("CD3E")
    assert heatmaps[0].limits != heatmaps[1].limits


def test_leaving_through_naparis_own_button_or_by_a_layer_that_goes(compared: Window) -> None:
    window, viewer, button = compared, compared.viewer, compared.section.button
    _lay_out(window)
    viewer.canvas.grid.enabled = False
    window.qtbot.waitUntil(lambda: not button.isChecked())
    assert "B" not in window.in_sight
    _lay_out(window)
    assert viewer.canvas.grid.enabled
    viewer.layers.remove("B")
    window.qtbot.waitUntil(lambda: not button.isChecked())
    assert not viewer.canvas.grid.enabled
    assert not button.isEnabled()
    assert "second slide" in button.toolTip()


@pytest.mark.parametrize("goes", ["A", "B"])
def test_a_slide_that_goes_while_they_lie_side_by_side_takes_no_text_of_the_others_along(window: Window, goes) -> None:
    """napari's grid has fewer cells then, and its texts are still those of before."""
    for name in ("A", "B"):
        window.choose(name)
        window.predict()
    window.choose(goes)
    _lay_out(window)
    window.qtbot.wait(50)
    other = "B" if goes == "A" else "A"
    window.desk_heatmap(other).layer.visible = False
    window.viewer.layers.remove(window.viewer.layers[goes])
    window.qtbot.waitUntil(lambda: window.widget.slides.layer is window.viewer.layers[other])
    window.qtbot.wait(50)
