"""Correcting the map in a real window: a person drops a measurement in, clicks, and goes back and forth."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_nh2st.analysis.anchors import correct
from napari_nh2st.viewer.measured import anchors as presenter
from viewer.measured.material import h5ad
from viewer.measured.test_section import Dock

pytestmark = pytest.mark.viewer


@pytest.fixture
def dock(make_napari_viewer, qtbot) -> Dock:
    return Dock(make_napari_viewer, qtbot)


def test_a_click_corrects_the_map_and_another_shows_the_prediction_again(dock: Dock, tmp_path) -> None:
    dock.predict()
    comparison = dock.compared(h5ad(tmp_path / "C9.h5ad"))
    part, state = dock.section.anchors, dock.workspace.state
    base, values = state.map, state.map.values("ERBB2")
    assert part.box.isHidden()
    part.which.setCurrentIndex(2)
    assert part.spots.isVisible()
    dock.click(part.button)
    dock.until(lambda: state.map is not base)
    dock.until(lambda: dock.section.summary.text().startswith("C9, corrected map: mean PCC "))
    assert part.box.text() == "map corrected with 20 spots"
    assert part.box.isChecked()
    assert "Each predicted from the others" in part.worth.text()
    assert "20 spots that correct the map are left out." in dock.section.caveats.text()
    assert "across 60 spots" in dock.section.summary.text()
    assert {"C9 · ERBB2 · predicted (corrected with 20 spots)", "C9 · 20 anchor spots"} <= set(dock.names())
    heatmap = dock.workspace.heatmap.layer
    assert heatmap.visible
    truth = comparison.values("ERBB2")[0]
    predicted = state.map.prediction().at(comparison.scored.centres, "ERBB2")
    known = np.isfinite(predicted)
    before = base.prediction().at(comparison.scored.centres, "ERBB2")
    assert ((predicted - truth)[known] ** 2).mean() < ((before - truth)[known] ** 2).mean() / 4
    dock.tick(part.box)
    assert state.map is base
    assert dock.section.summary.text().startswith("C9: mean PCC ")
    assert "C9 · 20 anchor spots" not in dock.names()
    np.testing.assert_array_equal(state.map.values("ERBB2"), values)
    dock.tick(part.box)
    assert state.map is not base
    state.request_gene("KRT8")  # genes come from the same field
    assert "C9 · KRT8 · predicted (corrected with 20 spots)" in dock.names()


def test_the_window_does_not_wait_for_the_correction(dock: Dock, tmp_path, monkeypatch) -> None:
    dock.predict()
    dock.compared(h5ad(tmp_path / "C9.h5ad"))
    part, base, threads = dock.section.anchors, dock.workspace.state.map, []

    def noted(*args):
        threads.append(threading.current_thread())
        return correct(*args)

    monkeypatch.setattr(presenter, "correct", noted)
    dock.click(part.button)
    dock.until(lambda: dock.workspace.state.map is not base)
    assert threads
    assert threading.main_thread() not in threads


def test_spots_of_a_drawn_region_correct_it(dock: Dock, tmp_path) -> None:
    dock.predict()
    dock.compared(h5ad(tmp_path / "C9.h5ad"))
    part, state = dock.section.anchors, dock.workspace.state
    part.which.setCurrentIndex(1)
    dock.click(part.button)
    assert dock.section.anchors.task.sentence.text().startswith("Draw a region around the spots first")
    regions = dock.widget.folds["Regions"].open()
    dock.click(regions.draw)
    mpp = dock.slide.mpp
    dock.viewer.layers[-1].add_rectangles(np.array([(0, 0), (0, 650), (960, 650), (960, 0)]) * mpp)
    dock.fold.open()
    dock.until(dock.section.isVisible)
    base = state.map
    dock.click(part.button)
    dock.until(lambda: state.map is not base)
    used = dock.section.presenter.corrections.made.correction.anchors.centres
    assert len(used) == 40  # columns 200 to 600
    assert used[:, 0].max() <= 600


def test_places_to_measure_next_are_numbers_on_the_slide_and_a_table(dock: Dock, tmp_path, monkeypatch) -> None:
    part = dock.section.anchors
    assert not part.propose.isEnabled()
    dock.predict()
    part.number.setValue(5)
    dock.click(part.propose)
    dock.until(lambda: "C9 · where to measure next" in dock.names())
    layer = dock.section.presenter.corrections.places.layer
    assert list(layer.text.values) == list("12345")
    assert layer.text.translation[0] < 0 < layer.text.translation[1]  # beside the rings: up, and to the right
    assert list(layer.features.columns) == ["place", "x_px", "y_px", "x_um", "y_um", "spread"]
    assert "numbers: where to measure next, the most telling first" in dock.legend()
    path = tmp_path / "places.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    dock.click(part.save)
    dock.until(path.exists)
    table = pd.read_csv(path)
    np.testing.assert_allclose(table[["y_px", "x_px"]].to_numpy(), layer.data + 0.5, atol=0.1)
    dock.until(lambda: "Saved places.csv and places.geojson." in part.task.sentence.text())
    dock.click(part.remove)
    assert "C9 · where to measure next" not in dock.names()
