"""The empty dock and the tour in a real window, with clicks and keys."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_nh2st.engine.store import save_prediction
from napari_nh2st.formats import export
from napari_nh2st.viewer.export.choices import NO_FOLDER_OF_VALUES
from napari_nh2st.viewer.kit.model_form import ModelForm
from napari_nh2st.viewer.layers.frames import slide_layer_data
from napari_nh2st.viewer.layers.roles import map_of
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from viewer.fakes import FakeServices, FakeSlide, card, hidden_at

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


def test_a_newcomer_begins_and_comes_back_to_earlier_results(make_napari_viewer, qtbot, monkeypatch, tmp_path) -> None:
    def open_sample(self: ViewerModel, *sample: str) -> None:
        data, meta, _ = slide_layer_data(FakeSlide())
        self.add_image(data, **meta)

    monkeypatch.setattr(ViewerModel, "open_sample", open_sample)
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    dock = PredictWidget(viewer, FakeServices())
    viewer.window.add_dock_widget(dock, name="NH2ST", area="right")
    empty = dock.empty
    qtbot.waitUntil(lambda: empty.slide.isVisible() and empty.demo.isVisible() and empty.results.isVisible())
    assert not dock.job.button.isVisible()
    folders = []
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *words: (folders.append(words[2]) or [], ""))
    dock.workspace.preferences.slide_folder = "/"
    qtbot.mouseClick(empty.slide, LEFT)
    assert folders == ["/"]

    # the tour walks beside the real controls, and Esc ends it wherever the keyboard is
    qtbot.mouseClick(empty.tour, LEFT)
    callout = dock._tour._view
    qtbot.waitUntil(callout.isVisible)
    assert dock.job.button.isVisible()
    assert not empty.isVisible()
    for part in (dock.slides, dock.models, dock.where):
        qtbot.waitUntil(lambda part=part: callout.frame.geometry().contains(place(part, callout)))
        assert not callout.geometry().intersects(callout.frame.geometry())
        qtbot.mouseClick(callout.next, LEFT)
    canvas = viewer.window._qt_viewer.canvas.native
    viewer.window._qt_window.activateWindow()
    qtbot.waitUntil(viewer.window._qt_window.isActiveWindow)
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not callout.isVisible())

    viewer.layers.clear()
    qtbot.waitUntil(empty.demo.isVisible)
    assert not dock.job.button.isVisible()
    assert not empty.tour.isVisible(), "it comes back uninvited"
    qtbot.mouseClick(empty.demo, LEFT)
    assert not callout.isVisible()
    again = next(a for a in dock.result.more.menu().actions() if a.text() == "Take the tour")
    again.trigger()
    qtbot.waitUntil(callout.isVisible)
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: viewer.window._qt_window.findChild(type(callout)) is None)

    # results without their slide are something that is open, too
    viewer.layers.clear()
    folder = save_prediction(predicted().prediction(), tmp_path / "C9.nh2st")
    _, dock = viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST")
    qtbot.waitUntil(dock.empty.results.isVisible)
    (tmp_path / "aside").mkdir()
    csv = export(predicted().prediction(), "csv", tmp_path / "aside")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *asked: (str(csv), ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *asked: str(folder))
    dock.empty.results_file.trigger()
    qtbot.waitUntil(lambda: len(viewer.layers) == 1)
    assert map_of(viewer.layers[0]).values_only
    form = dock.result.presenter.export_form()
    row = ModelForm(form.draft, {}).rows["format"]
    assert "nh2st" not in row.widget.choices
    assert NO_FOLDER_OF_VALUES in row.native.toolTip()
    viewer.layers.clear()
    qtbot.waitUntil(dock.empty.results.isVisible)
    dock.empty.results_folder.trigger()
    qtbot.waitUntil(lambda: dock.genes.field.isVisible() and not dock.empty.isVisible())
    (heatmap,) = viewer.layers
    assert heatmap.visible, "a black canvas"
    assert dock.workspace.map is map_of(heatmap)
    viewer.layers.remove(heatmap)
    qtbot.waitUntil(dock.empty.results.isVisible)


def predicted() -> PredictedMap:
    """Return the map of a slide of which some cells are predicted."""
    services, cells = FakeServices(), np.arange(5, 17)
    made = PredictedMap(services.describe(FakeSlide()), card(), services.decoder(None), scale=2.0, pitch=112)
    made.add(cells, hidden_at(made.tiles(cells).centres))
    return made


def place(part, callout):
    """Return the middle of a part in the frame of the window."""
    return part.mapTo(callout.parentWidget(), part.rect().center())
