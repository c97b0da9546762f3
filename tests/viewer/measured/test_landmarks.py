"""Landmarks that a person drags in the window: the spots follow, figures change, and nothing is left behind."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

from napari_nh2st.expression.transform import Transform
from napari_nh2st.expression.transform_files import read_transform
from napari_nh2st.viewer.kit.background import threads_at_work
from napari_nh2st.viewer.layers.roles import Kind, kind_of
from napari_nh2st.viewer.measured.messages import LANDMARKS
from viewer.fakes import GENES, FakeSlide
from viewer.measured.material import SPOTS, h5ad
from viewer.measured.test_section import LEFT, Dock

pytestmark = pytest.mark.viewer
BESIDE = np.array([48.0, -24])
TURN = np.radians(10)
THERE = Transform.of([[np.cos(TURN), -np.sin(TURN), 90], [np.sin(TURN), np.cos(TURN), -60]])  # where the spots belong


@pytest.fixture
def dock(make_napari_viewer, qtbot, tmp_path) -> Dock:
    """Spots that were placed on a turned picture, used as they are, and asked about again."""
    dock = Dock(make_napari_viewer, qtbot)
    dock.predict()
    dock.compared(h5ad(tmp_path / "C9.h5ad", spots=THERE.inverse.place(SPOTS)))
    dock.click(dock.section.lay)
    dock.until(dock.section.landmarks.marks.isVisible)
    dock.click(dock.section.landmarks.marks)
    dock.until(lambda: dock.section.presenter.landmarks.on)
    return dock


def drag(dock: Dock, number: int, to: np.ndarray) -> None:
    """Drag a mark on the slide with the mouse, to a place (x, y) in level-0 pixels."""
    layer = dock.section.presenter.landmarks.slide_marks.layer
    canvas = dock.viewer.window._qt_viewer.canvas
    camera, size = dock.viewer.scene.camera, np.array([canvas.native.height(), canvas.native.width()])

    def at(data: np.ndarray) -> QPoint:
        world = np.asarray(layer.data_to_world(data))
        y, x = (world - np.asarray(camera.center)[-2:]) * camera.zoom + size / 2
        return QPoint(round(x), round(y))

    start, end = at(layer.data[number]), at(to[::-1] - 0.5)
    QTest.mouseMove(canvas.native, start)
    QTest.mousePress(canvas.native, LEFT, Qt.KeyboardModifier.NoModifier, start)
    for part in (0.3, 0.7, 1.0):
        between = QPointF(start) + part * QPointF(end - start)
        QTest.mouseMove(canvas.native, between.toPoint())
        dock.qtbot.wait(30)
    QTest.mouseRelease(canvas.native, LEFT, Qt.KeyboardModifier.NoModifier, end)
    dock.qtbot.wait(30)


def test_dragged_landmarks_lay_the_spots_and_the_meter_rises(dock: Dock, tmp_path, monkeypatch) -> None:
    section, presenter = dock.section, dock.section.presenter.landmarks
    part = section.landmarks
    assert [kind_of(layer) for layer in dock.viewer.layers][-2:] == [Kind.SPOT_MARKS, Kind.SLIDE_MARKS]
    assert part.residuals.text() == "Drag a number to where its spots belong on the tissue."
    pins = dock.section.presenter.landmarks.slide_marks.layer
    assert pins.text.anchor == "center"  # white numbers, in the pins
    assert not np.any(pins.text.translation)
    own = section.measurement.data.obsm["spatial"]
    dock.until(lambda: part.meter.text().startswith("Mean PCC of the model's"))
    before = presenter._read.pcc
    marks = presenter._hands.now.own.copy()
    step = dock.slide.mpp / dock.viewer.scene.camera.zoom  # um a pixel of the screen, in level-0 pixels
    for number, place in enumerate(THERE.place(marks)):
        drag(dock, number, place)
        off = np.linalg.norm(section.measurement.laid.place(own) - SPOTS, axis=1)
        if number == 0:
            assert part.residuals.text() == "1 landmark of 3: drag two more."
            assert off.max() > 20
    assert off.max() < max(6 * step, 6)
    rings = section.presenter.rings.layer
    np.testing.assert_allclose(rings.data, section.measurement.laid.place(own)[:, ::-1] - 0.5)
    assert part.residuals.text().startswith("Off by 1: ")
    assert part.residuals.text().endswith(" µm.")
    dock.until(lambda: presenter._read.pcc > before)
    # the scale and offset below are of what the landmarks give
    assert (section.scale.value(), section.x.value(), section.y.value()) == (1, 0, 0)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "t.json"), ""))
    dock.click(part.save)
    dock.until(lambda: part.task.sentence.text().startswith("Saved t.json."))
    assert read_transform(tmp_path / "t.json") == section.measurement.laid
    assert len(json.loads((tmp_path / "t.json").read_text())["landmarks"]) >= 3
    laid = section.measurement.laid
    dock.click(part.undo)
    assert section.measurement.laid != laid
    dock.click(part.marks)
    assert not presenter.on
    dock.click(section.use)
    dock.until(lambda: section.comparison is not None)
    assert section.measurement.sample(dock.slide).transform == section.measurement.transform


def test_spots_snap_to_the_tissue(make_napari_viewer, qtbot, tmp_path) -> None:
    slide = FakeSlide()
    rows, columns = np.mgrid[0 : 960 // 16, 0 : 1280 // 16] * 16 + 8
    x, y = columns - 640, rows - 480
    angle = np.arctan2(y, x)
    slide.mask.mask[:] = np.hypot(x, y) < 330 + 60 * np.cos(angle - 0.4) + 50 * np.cos(2 * angle)
    spots = np.stack(np.meshgrid(np.arange(20, 1280, 40.0), np.arange(20, 960, 40.0)), axis=-1).reshape(-1, 2)
    spots = spots[slide.mask.fraction_at(spots, 20) > 0]
    rates = np.stack([spots[:, 0] / 20, spots[:, 1] / 10, spots.sum(axis=1) / 40, np.full(len(spots), 400)], axis=1)
    data = ad.AnnData(sp.csr_matrix(np.random.default_rng(0).poisson(rates), dtype=np.float32))
    data.var_names, data.obsm["spatial"] = GENES, spots + BESIDE
    data.write_h5ad(tmp_path / "C9.h5ad")
    dock = Dock(make_napari_viewer, qtbot, slide)
    dock.drop(tmp_path / "C9.h5ad")
    dock.until(lambda: dock.section.measurement is not None and not dock.section.task.running, timeout=90_000)
    if dock.section.measurement.settled:
        dock.click(dock.section.lay)
    for box, value in ((dock.section.scale, 1), (dock.section.x, 0), (dock.section.y, 0)):
        box.setValue(value)  # not what the dock proposes
    part = dock.section.landmarks
    dock.click(part.snap)
    dock.until(lambda: part.task.sentence.text().startswith("Moved by "))
    away = dock.section.measurement.laid.place(spots + BESIDE) - spots
    assert np.linalg.norm(away, axis=1).max() < 20
    dock.click(part.undo)
    assert np.linalg.norm(dock.section.measurement.laid.place(spots + BESIDE) - spots, axis=1).max() > 20


def test_marks_that_napari_deletes_come_back_in_pairs_and_closing_leaves_no_thread(dock: Dock) -> None:
    presenter = dock.section.presenter.landmarks
    presenter.slide_marks.layer.selected_data = {1}
    presenter.slide_marks.layer.remove_selected()
    assert len(presenter.slide_marks.layer.data) == len(presenter.spot_marks.layer.data) == 4
    dock.click(dock.section.landmarks.add)
    assert len(presenter.slide_marks.layer.data) == len(presenter.spot_marks.layer.data) == 5
    for marks in (presenter.spot_marks, presenter.slide_marks):  # those of one kind say nothing alone
        dock.viewer.layers.remove(marks.layer)
        assert not presenter.on
        dock.until(lambda: not presenter.spot_marks.present and not presenter.slide_marks.present)
        assert dock.section.landmarks.marks.text() == LANDMARKS
        dock.click(dock.section.landmarks.marks)
        assert presenter.on
    dock.viewer.layers.remove(presenter.slide_marks.layer)
    assert not presenter.on
    dock.section.landmarks.meter_soon()
    dock.click(dock.section.landmarks.snap)
    dock.viewer.close()
    dock.until(lambda: threads_at_work() == 0)
