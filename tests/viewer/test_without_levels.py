"""A slide without levels in a real window: it can be moved about and predicted on before its overviews are made."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_nh2st.bench.huge import write_huge
from napari_nh2st.demo.tissue import make_section
from napari_nh2st.errors import Cancelled
from napari_nh2st.viewer.layers import lazy_level
from napari_nh2st.viewer.layers.roles import slide_of
from viewer.canvas import Canvas

pytestmark = pytest.mark.viewer


@pytest.fixture
def slide_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A slide of 20,000 x 20,000 px whose coarsest level is never done."""

    def begin(self: Any, unwanted: Any) -> None:
        time.sleep(0.02)
        raise Cancelled("it takes minutes")

    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(lazy_level.Coarsest, "make_some", begin)
    pixels = make_section(3, size_mm=(1.6, 1.4)).image
    return write_huge(tmp_path / "huge.tif", pixels, (20_000, 20_000), levels=1)


def is_sharp(layer: Any, slide: Any) -> bool:
    """Tell whether the window shows the slide's own pixels where it looks."""
    (top, left), (bottom, right) = layer.corner_pixels[:, -2:]
    expected = slide.levels[layer.data_level][top : bottom + 1, left : right + 1]
    return np.array_equal(layer._slice.image.raw, expected)


def test_it_is_seen_moved_about_and_predicted_on_at_once(canvas: Canvas, slide_file: Path, tiny_model: Path) -> None:
    viewer, dock = canvas.viewer, canvas.dock
    canvas.drop(slide_file)
    canvas.until(lambda: slide_of(viewer.layers[0]) is not None)
    layer = viewer.layers[0]
    slide = slide_of(layer)
    assert slide is not None
    assert slide.overviews is not None
    canvas.until(lambda: layer._slice.image.raw.std() > 5)  # the sketch
    for x in (1500.0, 4500.0):
        viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 3000.0, x), 0.4
        canvas.until(lambda: layer.data_level < len(slide.levels) - 1)
        canvas.until(lambda: is_sharp(layer, slide))
    viewer.scene.camera.zoom = 2.0  # a few tiles are enough
    dock.use_model(str(tiny_model))
    canvas.until(lambda: dock.job.button.isEnabled())
    dock.where.buttons["view"].click()
    dock.predict()
    canvas.until(lambda: not dock.controller.running and dock.workspace.map is not None)
    assert dock.workspace.map.count > 0
    assert not slide.overviews.complete(len(slide.levels) - 1)
    assert not slide.tissue_at_hand
