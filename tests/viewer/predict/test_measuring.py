"""A pixel size that is measured along a scale bar: drawn with the mouse on the canvas of a real window."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Shapes
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.predict_dock import PredictWidget
from viewer.fakes import FakeServices, FakeSlide

pytestmark = pytest.mark.viewer
LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


def test_a_line_along_a_scale_bar_gives_the_pixel_size(make_napari_viewer, qtbot) -> None:
    viewer = make_napari_viewer(show=True)
    data, meta, _ = frames.slide_layer_data(FakeSlide(mpp=None))
    slide_layer = viewer.add_image(data, **meta)
    dock = PredictWidget(viewer, FakeServices())
    viewer.window.add_dock_widget(dock, name="NH2ST", area="right")
    form, canvas = dock.slides.pixel_size, viewer.window._qt_viewer.canvas.native
    qtbot.waitUntil(form.measure.isVisible)

    def lines() -> list[Shapes]:
        return [layer for layer in viewer.layers if isinstance(layer, Shapes)]

    def drag(width: int) -> float:
        """Draw from left to right; return how many pixels of the slide that is."""
        start = canvas.rect().center() - QPoint(width // 2, 0)
        QTest.mousePress(canvas, LEFT, NONE, start)
        for step in range(1, 11):
            QTest.mouseMove(canvas, start + QPoint(width * step // 10, 0))
            QTest.qWait(10)
        QTest.mouseRelease(canvas, LEFT, NONE, start + QPoint(width, 0))
        QTest.qWait(50)
        return width / viewer.scene.camera.zoom / slide_layer.scale[-1]

    # a second press, and Esc on the canvas, put the tool down: no layer stays, and the mouse moves the view
    for end in (lambda: qtbot.mouseClick(form.measure, LEFT), lambda: qtbot.keyClick(canvas, Qt.Key.Key_Escape)):
        qtbot.mouseClick(form.measure, LEFT)
        drag(120)
        assert form.measure.isChecked()
        assert len(lines()) == 1
        end()
        assert not form.measure.isChecked()
        assert not lines()
        assert not form.length.isVisible()
        assert (viewer.layers.selection.active, slide_layer.mode) == (slide_layer, "pan_zoom")

    qtbot.mouseClick(form.measure, LEFT)
    assert form.measured.text().startswith("Draw a line along the scale bar")
    drag(60)
    pixels = drag(200)  # a better line takes the place of the first
    assert len(lines()[0].data) == 1
    assert "How long is the scale bar?" in form.measured.text()
    qtbot.keyClicks(form.length, f"{0.0005 * pixels:.6f}")
    form.unit.setCurrentText("mm")
    qtbot.keyClick(form.length, Qt.Key.Key_Return)
    assert not lines()
    assert dock.state.slide.mpp == pytest.approx(0.5, rel=0.02)  # a pixel of the screen at either end
    assert form.text.text().endswith("µm/px (measured on the image)")
    np.testing.assert_allclose(slide_layer.scale, dock.state.slide.mpp)
    assert f"--mpp {dock.state.slide.mpp:.6g}" in dock.workspace.requests.whole_slide().command

    # a known size is corrected in the same way, on a layer that stands in micrometres by now
    qtbot.mouseClick(form.edit, LEFT)
    qtbot.mouseClick(form.measure, LEFT)
    pixels = drag(200)
    qtbot.keyClicks(form.length, f"{0.3 * pixels:.5f}")
    qtbot.mouseClick(form.set_length, LEFT)
    assert form.sentence.text() == "300 µm is too wide for a pixel. Check the length and its unit."
    form.unit.setCurrentText("µm")
    qtbot.mouseClick(form.set_length, LEFT)
    assert dock.state.slide.mpp == pytest.approx(0.3, rel=0.02)
