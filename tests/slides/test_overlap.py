"""TIFFs whose tiles overlap: refused by name, and only where they do."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nh2st.errors import ForeignSlide
from napari_nh2st.slides import open_slide
from support.scanners import trestle
from support.slides import picture, tiff, ventana

PIXELS = picture(256, 320)


@pytest.mark.parametrize("name", ["a.bif", "a.tif"])
@pytest.mark.parametrize("joints", [[(32, 0)], [(0, 0), (0, 7)], [(0, 0), (-3, 0)]])
def test_ventana_tiles_that_overlap_are_refused(tmp_path, name, joints):
    with pytest.raises(ForeignSlide, match=r"Ventana slide whose tiles overlap.*convert it to OME-TIFF") as error:
        open_slide(ventana(tmp_path / name, PIXELS, joints=joints))
    assert "\n" not in str(error.value)


def test_ventana_tiles_that_do_not_overlap_are_right(tmp_path):
    loose = '<TileJointInfo FlagJoined="0" OverlapX="9"/>'
    with open_slide(ventana(tmp_path / "a.bif", PIXELS, joints=[(0, 0)], further=loose)) as slide:
        assert np.array_equal(slide.levels[0][:], PIXELS)
        assert (slide.format, slide.mpp, slide.mpp_source, slide.warnings) == ("ventana", 0.465, "ventana", [])
        assert [(p.name, p.associated) for p in slide.pictures] == [("Label", True), ("", False)]


def test_trestle_tiles_that_do_not_overlap(tmp_path):
    text = "Background Color=f0f0f0;White Balance=1;OverlapsXY= 0 0 0 0;"
    options = {"software": "MedScan", "description": text, "resolution": (20000, 20000), "resolutionunit": 3}
    with open_slide(tiff(tmp_path / "t.tif", PIXELS, **options)) as slide:
        assert np.array_equal(slide.levels[0][:], PIXELS)


def test_trestle_tiles_that_overlap_are_laid_over_each_other(tmp_path):
    with open_slide(trestle(tmp_path / "t.tif", PIXELS)) as slide:
        assert np.array_equal(slide.levels[0][:], PIXELS)
        assert (slide.format, slide.mpp) == ("trestle", 0.5)
