"""Pixel sizes: who says them, and which are believed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_nh2st.errors import MppNeeded, SlideError
from napari_nh2st.slides import open_slide
from support.slides import aperio, ndpi, ome, picture, tiff

PIXELS = picture(70, 80)


def check_asked(slide, said: str) -> None:
    assert (slide.mpp, slide.mpp_source) == (None, "none")
    assert any(said in line for line in slide.warnings), slide.warnings
    with pytest.raises(MppNeeded) as error:
        slide.require_mpp()
    line = str(error.value)
    assert said in line
    assert "--mpp" in line
    assert "\n" not in line
    assert str(slide.path) in line


@pytest.mark.parametrize("mpp", [0.05, 0.2528, 0.499, 10])
def test_aperio(tmp_path, mpp):
    with open_slide(aperio(tmp_path / "a.svs", PIXELS, mpp)) as slide:
        assert (slide.mpp, slide.mpp_source, slide.warnings) == (mpp, "aperio", [])


@pytest.mark.parametrize(
    ("said", "quoted"),
    [(0, "0 um"), ("nan", "nan"), (-1, "-1"), (499, "499 um"), ("abc", "abc"), ("0,499", "0,499"), ("inf", "inf")],
)
def test_an_aperio_that_cannot_be_is_quoted_and_asked_for(tmp_path, said, quoted):
    with open_slide(aperio(tmp_path / "a.svs", PIXELS, said)) as slide:
        check_asked(slide, quoted)


def test_the_objective_is_never_turned_into_a_size(tmp_path):
    description = "Aperio Image Library v11.2.1\r\n80x70|AppMag = 20"
    with open_slide(tiff(tmp_path / "a.svs", PIXELS, description=description)) as slide:
        assert slide.format == "aperio"
        check_asked(slide, "does not say")


@pytest.mark.parametrize(
    ("size", "unit", "mpp"), [(0.5, "µm", 0.5), (500, "nm", 0.5), (0.0005, "mm", 0.5), (0.000025, "cm", 0.25)]
)
def test_ome_units(tmp_path, size, unit, mpp):
    sizes = {f"PhysicalSize{a}": size for a in "XY"} | {f"PhysicalSize{a}Unit": unit for a in "XY"}
    with open_slide(ome(tmp_path / "a.ome.tif", PIXELS, **sizes)) as slide:
        assert slide.mpp == pytest.approx(mpp)
        assert slide.mpp_source == "ome"


def test_ome_without_a_length_or_a_square(tmp_path):
    with open_slide(ome(tmp_path / "a.ome.tif", PIXELS, PhysicalSizeX=0.5, PhysicalSizeY=0.6)) as slide:
        check_asked(slide, "0.5 um wide and 0.6 um high")
    pixel = {"PhysicalSizeX": 1, "PhysicalSizeY": 1, "PhysicalSizeXUnit": "pixel", "PhysicalSizeYUnit": "pixel"}
    with open_slide(ome(tmp_path / "b.ome.tif", PIXELS, **pixel)) as slide:
        check_asked(slide, '"pixel"')
    with open_slide(ome(tmp_path / "c.ome.tif", PIXELS, PhysicalSizeX=0.5, PhysicalSizeY=0.504)) as slide:
        assert slide.mpp == pytest.approx(0.502)


@pytest.mark.parametrize(
    ("per_unit", "unit", "mpp"),
    [((20000, 20000), "CENTIMETER", 0.5), ((50800, 50800), "INCH", 0.5), ((1000, 1005), 3, 9.975)],
)
def test_resolution_tags_with_a_unit(tmp_path, per_unit, unit, mpp):
    with open_slide(tiff(tmp_path / "a.tif", PIXELS, resolution=per_unit, resolutionunit=unit)) as slide:
        assert slide.mpp == pytest.approx(mpp, rel=1e-3)
        assert slide.mpp_source == "tiff resolution"


@pytest.mark.parametrize(
    ("per_unit", "unit", "said"),
    [
        ((72, 72), "INCH", "72 pixels per inch"),
        ((300, 300), "INCH", "300 pixels per inch"),
        ((2004008, 2004008), "CENTIMETER", "0.00499 um"),
        ((20000, 20000), "NONE", "does not say"),
        ((0, 0), "CENTIMETER", "does not say"),
        ((20000, 10000), "CENTIMETER", "not square"),
    ],
)
def test_resolution_tags_that_are_not_believed(tmp_path, per_unit, unit, said):
    with open_slide(tiff(tmp_path / "a.tif", PIXELS, resolution=per_unit, resolutionunit=unit)) as slide:
        check_asked(slide, said)


def test_ndpi(tmp_path):
    with open_slide(ndpi(tmp_path / "a.ndpi", PIXELS, per_cm=43826)) as slide:
        assert (slide.mpp, slide.mpp_source) == (10000 / 43826, "ndpi")


@pytest.mark.parametrize("dpi", [72, 96, 300, 50800])
def test_dots_per_inch_of_a_picture_are_not_believed(tmp_path, dpi):
    for name in ("a.jpg", "a.png"):
        Image.fromarray(PIXELS).save(tmp_path / name, dpi=(dpi, dpi))
        with open_slide(tmp_path / name) as slide:
            check_asked(slide, "pixels per inch")


def test_the_user_goes_first_and_is_checked_too(tmp_path):
    path = aperio(tmp_path / "a.svs", PIXELS, "499")
    with open_slide(path, mpp=0.499) as slide:
        assert (slide.require_mpp(), slide.mpp_source, slide.warnings) == (0.499, "user", [])
        twin = slide.with_mpp(0.25)
        assert (twin.mpp, slide.mpp) == (0.25, 0.499)
        assert np.array_equal(twin.read(0, 0, 9, 9, 1), slide.read(0, 0, 9, 9, 1))
        with pytest.raises(SlideError, match=r"0\.05 to 10"):
            slide.with_mpp(0)
    for wrong in (0, -1, float("nan"), 499):
        with pytest.raises(SlideError, match=r"0\.05 to 10"):
            open_slide(path, mpp=wrong)
