"""What was exported comes back when its file is dropped on the window: over its slide, as it was shown."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_nh2st.engine.predict import slide_facts
from napari_nh2st.engine.store import save_prediction
from napari_nh2st.formats import EXPORTERS
from napari_nh2st.slides import open_slide
from napari_nh2st.viewer import launch
from napari_nh2st.viewer.export.choices import ExportChoice
from napari_nh2st.viewer.layers.roles import layer_of_slide, map_of, slide_of
from support.predictions import prediction
from viewer.canvas import Canvas

pytestmark = [pytest.mark.viewer, pytest.mark.filterwarnings("ignore:exported without a tissue image")]

AT_ONCE = ("nh2st", "ome-tiff")  # values alone, which the others keep, are no folder any more
OTHERS = tuple(name for name in EXPORTERS if name not in AT_ONCE)
GENE, LIMITS = "IGKC", (0.25, 2.0)


@pytest.fixture
def slide_file(small_slide: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_slide, tmp_path / "C5.tif"))


def stored(slide_file: Path, folder: Path) -> Path:
    """Leave a prediction of a slide, as the command line does."""
    with open_slide(slide_file) as slide:
        facts = slide_facts(slide)
    return save_prediction(replace(prediction(size=(900, 1100)), slide=facts), folder / "C5.nh2st")


def heatmaps(canvas: Canvas) -> list[Any]:
    return [layer for layer in canvas.viewer.layers if map_of(layer) is not None]


def dropped(canvas: Canvas, path: Path) -> Any:
    """Drop a file; return the heatmap that comes."""
    canvas.drop(path)
    canvas.until(lambda: bool(heatmaps(canvas)))
    (layer,) = heatmaps(canvas)
    canvas.until(lambda: canvas.dock.state.map is map_of(layer))
    return layer


def shown(layer: Any) -> tuple[Any, ...]:
    """Return all that a person sees of a heatmap, and where it lies."""
    corners = [tuple(layer.data_to_world(corner)) for corner in ((0, 0), (3, 5))]
    return layer.name, layer.colormap.name, tuple(np.round(layer.contrast_limits, 4)), np.round(corners, 3).tolist()


@pytest.mark.parametrize("names", [AT_ONCE, pytest.param(OTHERS, marks=pytest.mark.long)])
def test_every_export_comes_back_as_it_was(names, canvas, slide_file, tmp_path) -> None:
    """A person opens a result, chooses gene, colours and limits, and for each format exports, deletes and drops."""
    dock = canvas.dock
    canvas.drop(slide_file)
    canvas.until(lambda: dock.state.slide is not None)
    layer = dropped(canvas, stored(slide_file, tmp_path))
    dock.state.request_gene(GENE)
    dock.state.style.colormap = "magma"
    layer.contrast_limits = LIMITS
    before, values = shown(layer), layer.data.copy()
    facts = {key: map_of(layer).provenance[key] for key in ("model_hash", "precision", "versions")}
    assert before[:3] == ("C5 · IGKC · predicted", "magma", LIMITS)
    for name in names:
        if EXPORTERS[name].package and find_spec(EXPORTERS[name].package) is None:
            continue
        file = tmp_path / "out" / f"{name}{EXPORTERS[name].suffix}"
        file.parent.mkdir(exist_ok=True)
        dock.result.presenter.save_table(ExportChoice(format=name, file=file))
        canvas.until(lambda file=file: dock.result.note.text().startswith("Saved") and file.exists())
        canvas.viewer.layers.remove(heatmaps(canvas)[0])
        dock.state.style.colormap, dock.state.gene = "viridis", "CD74"
        dock.state.style.by_hand.clear()
        layer = dropped(canvas, file)
        assert shown(layer) == before, name
        np.testing.assert_allclose(layer.data, values, rtol=1e-6, atol=1e-6)
        assert {key: map_of(layer).provenance[key] for key in facts} == facts
        assert layer.visible
        assert canvas.viewer.layers.index(layer) > canvas.viewer.layers.index(dock.state.slide_layer)
        assert (dock.state.gene, dock.state.limits.low, dock.state.limits.high) == (GENE, *LIMITS)
        assert dock.genes.field.lineEdit().text() == GENE
    assert not [message for kind, message in canvas.notes if kind in ("error", "warning")]


def test_view_opens_a_prediction_over_its_slide(make_napari_viewer, qtbot, monkeypatch, slide_file, tmp_path) -> None:
    viewer = make_napari_viewer()
    monkeypatch.setattr(launch.napari, "Viewer", lambda title: viewer)
    monkeypatch.setattr(launch.napari, "run", lambda: None)
    launch.show_prediction(stored(slide_file, tmp_path))
    qtbot.waitUntil(lambda: any(map_of(layer) is not None for layer in viewer.layers))
    assert [layer.name for layer in viewer.layers] == ["C5", "C5 · ERBB2 · predicted"]


def test_a_prediction_opens_its_slide_and_lies_on_no_other(canvas, slide_file, tmp_path) -> None:
    path = stored(slide_file, tmp_path)
    layer = dropped(canvas, path)
    own = layer_of_slide(canvas.viewer, map_of(layer).slide["fingerprint"])
    assert own is not None
    assert canvas.dock.state.slide_layer == own
    assert canvas.dock.state.slide.mpp == 0.5
    assert canvas.names == ["C5", "C5 · ERBB2 · predicted"]
    canvas.viewer.layers.clear()
    slide_file.rename(tmp_path / "moved.tif")
    Image.fromarray(np.full((900, 1100, 3), 200, np.uint8)).save(tmp_path / "B1.png")
    canvas.drop(tmp_path / "B1.png")
    canvas.until(lambda: canvas.dock.state.slide is not None)
    (other,) = canvas.viewer.layers
    layer = dropped(canvas, path)
    assert (layer.visible, other.visible) == (True, False)
    assert "Its slide, C5.tif, is not where it was" in canvas.notes[-1][1]
    canvas.viewer.layers.selection.active = other
    canvas.until(lambda: other.visible)
    assert slide_of(other) is canvas.dock.state.slide
    assert not layer.visible
    canvas.viewer.layers.selection.active = layer
    canvas.until(lambda: layer.visible)
    assert not other.visible
