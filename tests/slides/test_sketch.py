"""The first look at a slide without levels: near the truth at once, then the truth, and never in a level."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from napari_nh2st.slides import open_slide, overview_level, pyramid, sketch
from napari_nh2st.slides.sketch import Sketch
from napari_nh2st.slides.tiff_level import TiffLevel
from support.slides import tiff


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pyramid, "SMALLEST", 100)
    monkeypatch.setattr(pyramid, "ENOUGH", 120)
    monkeypatch.setattr(overview_level, "CHUNK", 64)
    y, x = np.mgrid[:1024, :1280]
    pixels = np.stack([x // 6, y // 5, 255 - x // 8], axis=2).astype(np.uint8)
    return tiff(tmp_path / "s.tif", pixels, tile=(32, 32))


def test_a_sample_of_tiles_is_near_and_makes_no_overview(path, monkeypatch):
    monkeypatch.setattr(sketch, "SAMPLED_PIXELS", 1280 * 1024 // 8)
    decoded, read = [], TiffLevel._read_tile
    monkeypatch.setattr(TiffLevel, "_read_tile", lambda self, *at: decoded.append(at) or read(self, *at))
    with open_slide(path) as slide:
        looked = Sketch(slide.overviews)
        assert looked.pixels.shape == slide.levels[-1].shape
        assert len(decoded) == len(set(decoded)) < 32 * 40 / 7
        assert not any(slide.overviews.levels[0].has(row, column) for row in range(8) for column in range(10))
        expected = slide.levels[-1][:].astype(int)
        assert np.abs(looked.pixels - expected).mean() < 10


def test_what_is_made_is_in_it_and_also_what_was_made_before(path):
    with open_slide(path) as slide:
        looked, sampled = Sketch(slide.overviews), slide.levels[-1]
        before = looked.pixels.copy()
        slide.read(0, 0, 64, 64, 2)
        assert not np.array_equal(looked.pixels[:8, :8], before[:8, :8])
        assert np.array_equal(looked.pixels[20:], before[20:])
        slide.prepare(100)
        assert np.abs(looked.pixels.astype(int) - sampled[:]).max() <= 1
    with open_slide(path) as slide:
        assert np.abs(Sketch(slide.overviews).pixels.astype(int) - slide.levels[-1][:]).max() <= 1


def test_a_sketch_that_nobody_has_is_told_nothing(path):
    with open_slide(path) as slide:
        Sketch(slide.overviews)
        gc.collect()
        slide.read(0, 0, 64, 64, 2)
        assert not slide.overviews._listeners
