"""Tissue field by field: nearly that of the whole slide, from the part that is asked for alone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nh2st.demo.tissue import make_section
from napari_nh2st.slides import open_slide, overview_level, pyramid, tissue_fields
from support.slides import tiff


@pytest.fixture
def slide(tmp_path, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pyramid, "SMALLEST", 200)
    monkeypatch.setattr(pyramid, "ENOUGH", 200)
    monkeypatch.setattr(overview_level, "CHUNK", 64)
    monkeypatch.setattr(tissue_fields, "FIELD", 64)
    pixels = make_section(3, size_mm=(3.2, 2.8)).image
    with open_slide(tiff(tmp_path / "s.tif", pixels, tile=(256, 256)), mpp=0.5) as opened:
        yield opened


def places(slide, side: float) -> np.ndarray:
    height, width = slide.shape
    y, x = np.mgrid[side / 2 : height : side, side / 2 : width : side]
    return np.stack([x.ravel(), y.ravel()], axis=1)


def test_it_is_nearly_the_mask_of_the_whole_slide(slide):
    centres = places(slide, 155 / 0.5)
    by_fields = slide.tissue_fields().fraction_at(centres, 155 / 0.5)
    whole = slide.tissue().fraction_at(centres, 155 / 0.5)
    assert 0.2 < (whole >= 0.25).mean() < 0.95
    assert ((by_fields >= 0.25) != (whole >= 0.25)).mean() < 0.03


def test_only_the_field_that_is_asked_for_is_looked_at(slide):
    made: list = []
    slide.overviews.listen(lambda key, pixels: made.append(key))
    assert not slide.tissue_at_hand
    fields = slide.tissue_fields()
    fields.fraction_at([[200.0, 200.0]], 300)
    first = len(made)
    assert first > 0
    fields.fraction_at([[210.0, 250.0]], 300)
    assert len(made) == first
    assert not slide.tissue_at_hand
    assert slide.tissue_fields() is fields
    slide.tissue()
    assert slide.tissue_at_hand


def test_there_is_none_outside_the_slide(slide):
    assert list(slide.tissue_fields().fraction_at([[-5.0, 5.0], [5.0, 1e6]], 300)) == [0, 0]
    assert slide.tissue_fields().fraction_at(np.zeros((0, 2)), 300).shape == (0,)
