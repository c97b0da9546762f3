"""Pixel sizes: who says them, and which are believed."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nh2st.errors import MppNeeded, SlideError
from napari_nh2st.geometry import Box
from napari_nh2st.slides import open_slide
from support.slides import APERIO, aperio, leica, ndpi, ome, philips, picture, set_tile, shrunk, tiff, ventana

PIXELS = picture(70, 80)


def check_asked(slide, said: str) -> None:
    assert (slide.mpp, slide.mpp_source) == (None, "none")
    assert any(said in line for line in slide.warnings), slide.warnings
    with pytest.raises(MppNeeded) as error:
        slide.require_mpp()
    line = str(error.value)
    assert said in line
    assert "mpp=" in line
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
        assert twin.levels is slide.levels  # it is the same open file
        with pytest.raises(SlideError, match=r"0\.05 to 10"):
            slide.with_mpp(0)
    with pytest.raises(SlideError, match="was closed"):
        twin.read(0, 0, 9, 9, 1)
    for wrong in (0, -1, float("nan"), 499):
        with pytest.raises(SlideError, match=r"0\.05 to 10"):
            open_slide(path, mpp=wrong)


def test_vendors_xml(tmp_path):
    for made, source, mpp in (
        (philips(tmp_path / "p.tiff", PIXELS), "philips", 0.5),
        (leica(tmp_path / "l.scn", PIXELS, nm=250), "leica", 0.25),
        (leica(tmp_path / "m.scn", PIXELS, nm=250, macro=False), "leica", 0.25),
        (ventana(tmp_path / "v.bif", PIXELS, scan="0.2325"), "ventana", 0.2325),
        (ventana(tmp_path / "v.tif", PIXELS, scan="0.465"), "ventana", 0.465),
    ):
        with open_slide(made) as slide:
            assert (slide.mpp, slide.mpp_source, slide.warnings) == (pytest.approx(mpp), source, [])


@pytest.mark.parametrize("said", ["0", "-1", "nan", "1e9", "abc", "inf", ""])
def test_vendors_xml_that_cannot_be_is_said_and_not_believed(tmp_path, said):
    made = [ventana(tmp_path / "v.bif", PIXELS, scan=said)]
    if said:
        made.append(philips(tmp_path / "p.tiff", PIXELS, spacing=said))
    for path in made:
        with open_slide(path) as slide:
            check_asked(slide, "says its pixels are")


def test_a_leica_names_its_macro_and_its_levels(tmp_path):
    with open_slide(leica(tmp_path / "l.scn", PIXELS)) as slide:
        assert [(p.name, p.associated) for p in slide.pictures] == [("Macro", True), ("image_1", False)]
        assert np.array_equal(slide.levels[0][:], PIXELS)


def test_levels_of_a_philips_are_cut_to_the_image(tmp_path):
    pixels = picture(640, 704)
    with open_slide(philips(tmp_path / "p.tiff", pixels, levels=3)) as slide:
        assert slide.level_shapes == [(640, 704), (320, 352), (160, 176)]
        assert np.array_equal(slide.levels[1][:], shrunk(pixels, 320, 352))


def test_tiles_that_a_philips_leaves_out_are_glass_and_no_damage(tmp_path):
    path = philips(tmp_path / "p.tiff", picture(640, 704))
    set_tile(path, 0, offset=0, count=0)
    with open_slide(path) as slide:
        assert (slide.levels[0][:64, :64] == 255).all()
        assert (slide.warnings, slide.damaged(Box(0, 0, 10, 10))) == ([], False)


@pytest.mark.parametrize(
    ("unit", "per_unit", "mpp"),
    [
        ("um", 2, 0.5),
        ("micron", 4, 0.25),
        ("\\u00B5m", 2, 0.5),
        ("nm", 0.002, 0.5),
        ("cm", 20000, 0.5),
        ("mm", 2000, 0.5),
    ],
)
def test_imagejs_unit(tmp_path, unit, per_unit, mpp):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit})
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.mpp == pytest.approx(mpp, rel=1e-3)
        assert slide.mpp_source == "imagej"


@pytest.mark.parametrize(
    ("unit", "per_unit", "said"), [("pixel", 1, '"pixel"'), ("um", 1e6, "cannot be"), ("um", 0, "not say")]
)
def test_imagejs_unit_that_is_none(tmp_path, unit, per_unit, said):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit})
    with open_slide(tmp_path / "a.tif") as slide:
        check_asked(slide, said)


def test_contradicting_sizes_are_said(tmp_path):
    description = APERIO.format(w=1, h=1, mpp=0.25)
    for per_cm, contradict in ((20000, True), (40000, False), (39500, False), (1, False)):
        path = tiff(tmp_path / "a.svs", PIXELS, description=description, resolution=(per_cm, per_cm), resolutionunit=3)
        with open_slide(path) as slide:
            assert (slide.mpp, slide.mpp_source) == (0.25, "aperio")
            assert (
                any("0.25 um" in line and "0.5 um (tiff resolution)" in line for line in slide.warnings) == contradict
            )
            assert len(slide.warnings) == contradict


SCALED = r"gives the size of its pixels, 0.25 um, of an image of 320 x 280 pixels, and this one is 80 x 70"
SIZES = {
    "as told": ("80x70 [0,0 80x70] (64x64) JPEG/RGB Q=70", 0.25),
    "a part of the scan": ("46000x32914 [42673,5576 80x70] (240x240) JPEG/RGB Q=30;Aperio", 0.25),
    "cut out by another program": ("900x300 [0,0 900x300] (240x240) JPEG/RGB", 0.25),
    "trimmed": ("81x70 (64x64)", 0.25),
    "tiles of its proportions": ("(160x140) JPEG/RGB", 0.25),
    "shrunk with its description": ("320x280 [0,0 320x280] (64x64) JPEG/RGB Q=70", None),
    "shrunk part": ("46000x32914 [42673,5576 320x280] (240x240)", None),
}


@pytest.mark.parametrize("kind", SIZES)
def test_a_description_copied_from_a_larger_image(tmp_path, kind):
    told, mpp = SIZES[kind]
    description = f"Aperio Image Library v11.2.1\r\n{told}|AppMag = 40|MPP = 0.25"
    with open_slide(tiff(tmp_path / "a.svs", PIXELS, description=description)) as slide:
        assert slide.mpp == mpp
        if mpp is None:
            check_asked(slide, SCALED)


def omexml(*images: tuple[int, int, float]) -> bytes:
    """Images of (width, height, pixel size), each with the page of its number."""
    parts = "".join(
        f'<Image ID="Image:{n}"><Pixels ID="Pixels:{n}" DimensionOrder="XYCZT" Type="uint8" SizeX="{w}" SizeY="{h}" '
        f'SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="{size}" PhysicalSizeY="{size}">'
        f'<Channel ID="Channel:{n}:0" SamplesPerPixel="3"/><TiffData IFD="{n}" PlaneCount="1"/></Pixels></Image>'
        for n, (w, h, size) in enumerate(images)
    )
    return f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{parts}</OME>'.encode()


@pytest.mark.parametrize(
    ("images", "mpp"),
    [
        ([(80, 70, 0.25)], 0.25),
        ([(40, 50, 8), (80, 70, 0.25)], 0.25),
        ([(320, 280, 0.25)], None),  # shrunk by a program that kept the description
        ([(90, 300, 0.25)], 0.25),  # cut out
    ],
)
def test_the_size_that_ome_tells_is_that_of_the_page(tmp_path, images, mpp):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as file:
        for n, (width, height, _) in enumerate(images[:-1]):
            text = omexml(*images) if n == 0 else None
            file.write(picture(height, width), photometric="rgb", metadata=None, description=text)
        text = omexml(*images) if len(images) == 1 else None
        file.write(PIXELS, photometric="rgb", metadata=None, tile=(64, 64), description=text)
    with open_slide(path) as slide:
        assert (slide.shape, slide.mpp) == ((70, 80), mpp)
        if mpp is None:
            check_asked(slide, SCALED)


def test_a_page_that_ome_does_not_tell_of_has_no_size_of_another(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(picture(50, 60), photometric="rgb", metadata=None, description=omexml((60, 50, 0.25), (30, 20, 8)))
        file.write(picture(20, 30), photometric="rgb", metadata=None)
        file.write(PIXELS, photometric="rgb", metadata=None)
    with open_slide(path) as slide, open_slide(f"{path}#1") as first:
        assert (slide.picture, slide.mpp) == (3, None)
        assert first.mpp == 0.25
