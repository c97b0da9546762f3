"""Regions of other programs in the window, and back out: as a person drops, reads and saves them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_nh2st.analysis.outlines import within
from napari_nh2st.annotations import read_annotations
from napari_nh2st.engine.predict import slide_facts
from napari_nh2st.engine.store import save_prediction
from napari_nh2st.slides import open_slide
from napari_nh2st.viewer.layers.roles import Kind, kind_of, map_of
from napari_nh2st.viewer.predict.region import level0, outline_of
from napari_nh2st.viewer.writer import write_regions
from support.predictions import prediction
from viewer.canvas import Canvas

pytestmark = pytest.mark.viewer

OUTLINE = [[150.25, 150], [900, 160], [880, 700], [160, 680]]
HOLE = [[400, 300], [500, 300], [500, 420], [400, 420]]
STROMA = [[920, 200], [990, 200], [990, 500]]


def feature(*rings: Any, **properties: Any) -> dict[str, Any]:
    coordinates = [[*corners, corners[0]] for corners in rings]
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": coordinates}, "properties": properties}


def qupath(path: Path) -> Path:
    features = [
        feature(OUTLINE, HOLE, objectType="annotation", name="core", isLocked=True,
                classification={"name": "Tumor", "color": [200, 0, 0]}),
        feature(STROMA, objectType="annotation", classification={"name": "Stroma", "color": [150, 200, 150]}),
        feature(STROMA, objectType="detection"),
    ]  # fmt: skip
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def stored(slide_file: Path, folder: Path) -> Path:
    with open_slide(slide_file) as slide:
        facts = slide_facts(slide)
    return save_prediction(replace(prediction(size=(900, 1100), undone=0), slide=facts), folder / "C5.nh2st")


def listed(section: Any) -> list[str]:
    return [section.list.item(row, 0).text() for row in range(section.list.rowCount())]


def regions_layer(canvas: Canvas) -> Any:
    return next((layer for layer in canvas.viewer.layers if kind_of(layer) is Kind.REGIONS), None)


def test_annotations_of_qupath_become_regions_and_go_back_with_their_genes(
    canvas, small_slide, tmp_path, monkeypatch, qtbot
) -> None:
    slide_file = Path(shutil.copy(small_slide, tmp_path / "C5.tif"))
    canvas.drop(slide_file, qupath(tmp_path / "C5.geojson"))  # at once: the file waits for its slide
    canvas.until(lambda: regions_layer(canvas) is not None)
    layer, dock = regions_layer(canvas), canvas.dock
    assert canvas.notes[-1] == ("info", "C5.geojson: 2 regions on C5; 1 detection left out.")
    assert layer.features["name"].tolist() == ["core", "Stroma"]
    assert np.round(layer.edge_color[:, :3] * 255).astype(int).tolist() == [[200, 0, 0], [150, 200, 150]]
    drawn = level0(dock.state.slide_layer, outline_of(layer, 0))
    for corner in (*OUTLINE, *HOLE):
        assert np.abs(drawn - corner).max(axis=1).min() < 0.01
    canvas.drop(stored(slide_file, tmp_path))
    canvas.until(lambda: any(map_of(layer) is not None for layer in canvas.viewer.layers))
    canvas.until(lambda: dock.state.map is not None)
    section = dock.folds["Regions"].open()
    canvas.until(lambda: listed(section) == ["core", "Stroma"])
    saved = tmp_path / "out.geojson"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args: (str(saved), "GeoJSON for QuPath (*.geojson)"))
    qtbot.mouseClick(section.save, Qt.MouseButton.LeftButton)
    canvas.until(saved.exists)
    core, stroma = read_annotations(saved).annotations
    assert (core.name, core.kind, core.colour, core.locked) == ("core", "Tumor", "#c80000", True)
    assert (stroma.name, stroma.kind, stroma.colour) == ("Stroma", "Stroma", "#96c896")
    for ring, corners in zip(core.polygons[0], (OUTLINE, HOLE), strict=True):
        assert sorted(np.round(ring).tolist()) == sorted(np.round(corners).tolist())
    numbers = json.loads(saved.read_text(encoding="utf-8"))["features"][0]["properties"]["measurements"]
    made = dock.state.map.prediction()
    inside = within(made.places.centres, core.polygons)
    assert numbers["predicted tiles"] == inside.sum() > 10
    assert numbers["ERBB2: mean"] == pytest.approx(made.gene("ERBB2")[inside].mean(), abs=1e-3)
    assert "ERBB2: mean elsewhere" in numbers
    by_napari = tmp_path / "by napari.geojson"
    write_regions(str(by_napari), *layer.as_layer_data_tuple()[:2])  # File > Save Selected Layers
    assert json.loads(by_napari.read_text("utf-8"))["features"] == json.loads(saved.read_text("utf-8"))["features"]
    canvas.viewer.layers.remove(layer)
    canvas.drop(saved)
    canvas.until(lambda: regions_layer(canvas) is not None)
    again = regions_layer(canvas)
    for index in range(2):
        before, after = (level0(dock.state.slide_layer, outline_of(one, index)) for one in (layer, again))
        assert np.abs(after[:, None] - before[None]).max(axis=2).min(axis=1).max() < 0.5


def test_a_file_that_cannot_become_regions_is_said_in_one_line(canvas, small_slide, tmp_path) -> None:
    qupath(tmp_path / "a.geojson")
    bomb = tmp_path / "bomb.xml"
    bomb.write_text('<!DOCTYPE a [<!ENTITY x "y">]><ASAP_Annotations>&x;</ASAP_Annotations>', encoding="utf-8")
    far = tmp_path / "far.geojson"
    far.write_text(json.dumps(feature([[9000, 0], [9500, 0], [9500, 900]])), encoding="utf-8")
    for path, says, opened in (
        (tmp_path / "a.geojson", "open their slide first", False),
        (bomb, "declares a document type", True),
        (far, "lie off small: they reach to 9,500, 900, and it has 1,100 x 900 pixels", True),
    ):
        if opened and not canvas.viewer.layers:
            canvas.drop(small_slide)
            canvas.until(lambda: canvas.dock.state.slide is not None)
        told = len(canvas.notes)
        canvas.drop(path)
        canvas.until(lambda told=told: len(canvas.notes) > told)
        assert canvas.notes[-1][0] == "error"
        assert says in canvas.notes[-1][1]
        assert regions_layer(canvas) is None
