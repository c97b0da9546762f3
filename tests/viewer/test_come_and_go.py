"""Docks that are closed and opened again: nothing half-done stays, and the next one goes on with what is there."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_nh2st.viewer.finetune.dock import FinetuneWidget
from napari_nh2st.viewer.kit.background import threads_at_work
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.roles import map_of
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict_dock import PredictWidget
from viewer.fakes import FakeServices, FakeSlide

pytestmark = [pytest.mark.viewer, pytest.mark.pyqt6]
LEFT = Qt.MouseButton.LeftButton


class Window:
    """A window with slides A and B; `open` opens the dock, `close` presses the cross in its title."""

    def __init__(self, make_viewer, qtbot) -> None:
        self.viewer, self.qtbot, self.services = make_viewer(show=True), qtbot, FakeServices()
        for name in "AB":
            slide = FakeSlide()
            slide.fingerprint = name * 8
            data, meta, _ = frames.slide_layer_data(slide, name)
            self.viewer.add_image(data, **meta)
        qtbot.wait(50)

    def open(self) -> PredictWidget:
        self.dock = PredictWidget(self.viewer, self.services)
        self.title = self.viewer.window.add_dock_widget(self.dock, name="NH2ST", area="right")
        return self.dock

    def close(self) -> None:
        at_work, self.dock = self.dock.background, None
        self.qtbot.mouseClick(self.title.title.close_button, LEFT)
        self.title = None
        self.qtbot.waitUntil(lambda: not at_work.busy)
        self.qtbot.wait(50)

    def unfold(self) -> None:
        for fold in self.dock.folds.values():
            self.qtbot.mouseClick(fold.button, LEFT)

    def choose(self, slide: str) -> None:
        combo = self.dock.slides.combo
        combo.setFocus()
        self.qtbot.keyClick(combo, Qt.Key.Key_Up if slide == "A" else Qt.Key.Key_Down)
        assert self.dock.state.slide_layer is self.viewer.layers[slide]

    def predict(self) -> None:
        self.qtbot.mouseClick(self.dock.where.buttons["whole"], LEFT)
        self.qtbot.mouseClick(self.dock.job.button, LEFT)
        self.qtbot.waitUntil(lambda: self.dock.controller.status.state is State.DONE)

    def in_sight(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers if layer.visible]

    def black(self) -> float:
        """Share of the canvas that shows nothing."""
        QApplication.processEvents()
        picture = self.viewer.screenshot(canvas_only=True, flash=False)[..., :3]
        return float((picture.max(axis=2) < 10).mean())

    def listening(self) -> list[str]:
        """Whatever of ours hangs on what the viewer tells, but for what makes the removal of layers safe."""
        viewer = self.viewer
        groups = (
            *(viewer.events, viewer.layers.events, viewer.layers.selection.events, viewer.scene.camera.events),
            *(viewer.canvas.events, viewer.canvas.grid.events, viewer.canvas.overlays.scale_bar.events),
            *(viewer.dims.events, viewer.cursor.events),
        )
        found = [repr(call) for group in groups for call in _called(group)]
        found += [repr(call) for call in (*viewer.mouse_drag_callbacks, *viewer.keymap.values())]
        return [call for call in found if "napari_nh2st" in call and "make_removal_safe" not in call]


def _called(group) -> list:
    if not hasattr(group, "emitters"):  # psygnal's
        return [slot.slot_repr() for name in group for slot in group[name]._slots]
    calls = [call for emitter in group.emitters.values() for call in emitter.callbacks]
    return [(call[0](), call[1]) if isinstance(call, tuple) else call for call in calls]


@pytest.fixture
def window(make_napari_viewer, qtbot) -> Window:
    return Window(make_napari_viewer, qtbot)


def test_a_reopened_dock_goes_on_with_what_is_in_the_window(window: Window) -> None:
    window.open()
    window.choose("A")
    window.predict()
    window.dock.state.request_gene("KRT8")
    window.choose("B")
    window.predict()
    window.choose("A")
    window.viewer.layers.selection.active = window.dock.heatmap.layer
    assert window.in_sight() == ["A", "A · KRT8 · predicted"]
    asked = list(window.services.asked)
    window.close()
    assert window.in_sight() == ["A", "A · KRT8 · predicted"]  # the other one would lie on top

    window.open()
    assert (window.dock.slides.combo.currentText(), window.dock.state.gene) == ("A", "KRT8")
    assert window.dock.models.line.text().endswith("Chosen for real tissue.")  # no person did
    assert window.in_sight() == ["A", "A · KRT8 · predicted"]
    window.choose("B")
    assert window.in_sight() == ["B", "B · KRT8 · predicted"]
    assert window.black() < 0.6
    window.dock.state.request_gene("CD3E")
    assert window.in_sight() == ["B", "B · CD3E · predicted"]
    window.predict()
    window.choose("A")
    window.predict()
    assert window.services.asked == asked  # nothing was computed twice
    assert [map_of(layer) is not None for layer in window.viewer.layers] == [False, True, False, True]


def test_a_slide_that_somebody_hid_is_seen_when_it_is_chosen(window: Window) -> None:
    window.viewer.layers["A"].visible = False
    window.open()
    assert window.in_sight() == ["B"]
    window.choose("A")
    assert window.in_sight() == ["A"]


@pytest.mark.parametrize("moment", ["loading", "first tiles"])
def test_closing_a_dock_at_any_moment_leaves_nothing_half_done(window: Window, moment: str) -> None:
    window.open()
    window.unfold()
    assert window.listening()
    window.qtbot.mouseClick(window.dock.tissue.button, LEFT)
    window.qtbot.waitUntil(lambda: len(window.viewer.layers) == 3)
    window.viewer.layers.selection.active.mode = "paint"
    gate = window.services.gate = threading.Event()
    window.qtbot.mouseClick(window.dock.where.buttons["whole"], LEFT)
    window.qtbot.mouseClick(window.dock.job.button, LEFT)
    window.qtbot.waitUntil(lambda: window.dock.heatmap is not None and window.dock.heatmap.present)
    if moment == "first tiles":
        gate.set()
        window.qtbot.waitUntil(lambda: window.dock.controller.status.done > 0)
    left = weakref.ref(window.dock.presenter)
    window.close()
    heatmaps = [layer for layer in window.viewer.layers if map_of(layer) is not None]
    assert len(heatmaps) == (moment == "first tiles")
    assert all(np.isfinite(layer.data).any() and layer.colorbar.visible for layer in heatmaps)
    assert str(window.viewer.layers["B · tissue mask"].mode) == "pan_zoom"
    assert [layer.name for layer in window.viewer.layers if layer.name in "AB" and layer.visible] == ["B"]
    assert not threads_at_work()
    for layer in heatmaps:
        window.viewer.layers.remove(layer)
    window.qtbot.waitUntil(lambda: gc.collect() >= 0 and left() is None)
    assert window.listening() == []


def test_a_closed_fine_tune_dock_leaves_nothing(window: Window, tmp_path) -> None:
    dock = FinetuneWidget(window.viewer)
    title = window.viewer.window.add_dock_widget(dock, name="NH2ST fine-tune", area="right")
    window.qtbot.keyClicks(dock.run, str(tmp_path))
    left = weakref.ref(dock.presenter)
    del dock
    window.qtbot.mouseClick(title.title.close_button, LEFT)
    del title
    window.qtbot.waitUntil(lambda: not threads_at_work())
    window.qtbot.waitUntil(lambda: gc.collect() >= 0 and left() is None)
    assert window.listening() == []
