"""napari's layer list and the dock: one slide is chosen in both, its layers lie together, and H fades what is on it."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDockWidget

from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.heatmap import heatmap_data
from napari_nh2st.viewer.predict.layer_list import LayerList
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from viewer.fakes import FakeServices, card, hidden_at
from viewer.several.test_slides_section import Window
from viewer.several.views import slide
from viewer.without_window import Desk

LEFT = Qt.MouseButton.LeftButton


def click_layer(window: Window, name: str) -> None:
    """Click a name in napari's layer list."""
    view = window.viewer.window._qt_viewer.layers
    model = view.model()
    index = next(i for i in (model.index(row, 0) for row in range(model.rowCount())) if i.data() == name)
    view.scrollTo(index)
    window.qtbot.mouseClick(view.viewport(), LEFT, pos=view.visualRect(index).center())
    QApplication.processEvents()


def canvas(window: Window):
    return window.viewer.window._qt_viewer.canvas.native


@pytest.fixture
def window(make_napari_viewer, qtbot) -> Window:
    made = Window(lambda: make_napari_viewer(show=True), qtbot, (slide("A"), slide("B", (1920, 1600))))
    made.choose("A")
    made.predict()
    return made


@pytest.mark.viewer
def test_one_slide_is_chosen_in_the_dock_and_in_napari(window: Window) -> None:
    combo, selection = window.widget.slides.combo, window.viewer.layers.selection
    click_layer(window, "B")
    window.qtbot.waitUntil(lambda: combo.currentText() == "B")
    assert window.in_sight == ["B"]
    window.predict()
    click_layer(window, "A · ERBB2 · predicted")
    window.qtbot.waitUntil(lambda: combo.currentText() == "A")
    assert window.in_sight == ["A", "A · ERBB2 · predicted"]
    assert window.widget.state.map.slide["fingerprint"] == "AAAA"
    window.choose("B")
    assert selection.active.name == "B"
    regions = window.viewer.add_shapes(name="mine", units=("um", "um"))
    regions.mode = "add_polygon"
    window.choose("A")
    QApplication.processEvents()
    assert selection.active is regions  # a person draws
    assert regions.mode == "add_polygon"
    assert combo.currentText() == "A"


@pytest.mark.viewer
def test_h_and_the_slider_fade_whatever_lies_on_the_tissue(window: Window) -> None:
    layer, slider = window.heatmap.layer, window.widget.genes.fade.slider
    window.viewer.window._qt_window.activateWindow()
    window.qtbot.waitUntil(window.viewer.window._qt_window.isActiveWindow)
    canvas(window).setFocus()
    window.qtbot.keyClick(canvas(window), Qt.Key.Key_H)
    assert layer.opacity == 0
    assert slider.value() == 0
    assert window.viewer.layers["A"].opacity == 1
    window.gene("KRT8")
    assert layer.opacity == 0
    edit = window.widget.genes.field.lineEdit()
    window.qtbot.mouseClick(edit, LEFT)
    window.qtbot.keyClick(edit, Qt.Key.Key_H)  # a letter of a gene
    assert layer.opacity == 0
    assert edit.text() == "h"
    window.qtbot.keyClick(window.widget.job.button, Qt.Key.Key_H)
    assert layer.opacity == pytest.approx(0.7)
    slider.setValue(50)
    assert layer.opacity == pytest.approx(0.35)
    layer.opacity = 0.2  # by hand, in napari's controls
    slider.setValue(100)
    assert layer.opacity == pytest.approx(0.4)
    slider.setValue(25)
    window.widget.state.pinned = ("CD3E",)
    window.widget.folds["Several genes"].open().pinned.box.click()
    window.qtbot.waitUntil(lambda: "A · CD3E · predicted, pinned" in window.viewer.layers)
    assert window.viewer.layers["A · CD3E · predicted, pinned"].opacity == pytest.approx(0.7 / 4)
    slider.setValue(100)
    frame = next(d for d in window.viewer.window._qt_window.findChildren(QDockWidget) if d.isAncestorOf(window.widget))
    frame.setFloating(True)
    for active, target, opacity in (
        (window.viewer.window._qt_window, canvas(window), 0),
        (frame, window.widget.job.button, 0.4),
    ):
        active.activateWindow()
        window.qtbot.waitUntil(active.isActiveWindow)
        window.qtbot.keyClick(target, Qt.Key.Key_H)
        assert layer.opacity == pytest.approx(opacity), "a dock that floats is reached from both windows"
    frame.setFloating(False)
    window.widget.close()
    window.widget.shut_down()
    assert layer.opacity == pytest.approx(0.4)
    window.qtbot.keyClick(canvas(window), Qt.Key.Key_H)
    assert layer.opacity == pytest.approx(0.4)


def test_a_slide_that_is_opened_after_its_results_comes_to_lie_below_them() -> None:
    desk = Desk(slide("A"))
    lists = LayerList(desk.workspace, lambda layer: None)
    services, other = FakeServices(), slide("B")
    made = PredictedMap(services.describe(other), card(), services.decoder(None), scale=2.0, pitch=112)
    made.add(np.arange(9), hidden_at(made.tiles(np.arange(9)).centres))
    values, meta = heatmap_data(made, "ERBB2")
    desk.viewer.add_image(values, **meta)
    lists.settle()
    shapes = desk.viewer.add_shapes(name="mine")
    data, meta, _ = frames.slide_layer_data(other)
    desk.viewer.add_image(data, **meta)
    desk.predict()
    lists.settle()
    names = ["A", "A · ERBB2 · predicted", "mine", "B", "B · ERBB2 · predicted"]
    assert desk.names() == names
    desk.viewer.layers.move(0, 5)  # where the user puts it, it stays
    lists.settle()
    assert desk.names() == [*names[1:], "A"]
    assert shapes in desk.viewer.layers
