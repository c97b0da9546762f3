"""The pictures of a file: what is a level, what is a picture of its own, and how one is chosen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFilter

from napari_nh2st.errors import SlideError
from napari_nh2st.slide_path import slide_file, slide_stem, split_picture
from napari_nh2st.slides import open_slide
from support.slides import aperio, picture, png, shrunk, tiff

SECTION, OTHER = picture(600, 800, seed=1), picture(600, 800, seed=2)
HALF = shrunk(SECTION, 300, 400)
OPTIONS = {"tile": (64, 64), "photometric": "rgb", "metadata": None}


def pages(path: Path, *written: tuple) -> Path:
    """A TIFF of these pages, each with options of its own."""
    with tifffile.TiffWriter(path) as file:
        for pixels, *options in written:
            file.write(pixels, **{**OPTIONS, **(options[0] if options else {})})
    return path


def drawn(colour: tuple[int, int, int], rows: slice, columns: slice) -> np.ndarray:
    out = HALF.copy()
    out[rows, columns] = colour
    return out


def mask() -> np.ndarray:
    out = np.zeros_like(HALF)
    out[50:200, 100:300] = 255
    return out


REDUCED = {"subfiletype": 1}
NOT_LEVELS = {
    "another section": shrunk(OTHER, 300, 400),
    "a mask": mask(),
    "a filled drawing": drawn((0, 255, 0), slice(80, 200), slice(100, 300)),
    "a thin line": drawn((0, 0, 255), slice(100, 103), slice(40, 360)),
    "black writing": drawn((0, 0, 0), slice(20, 32), slice(20, 60)),
    "flat glass": np.full_like(HALF, 240),
    "mirrored": HALF[:, ::-1],
    "other colours": HALF[:, :, ::-1],
    "a heat map": np.stack([HALF[:, :, 0]] * 3, axis=2) // 2,
}


@pytest.mark.parametrize("kind", NOT_LEVELS)
def test_a_page_of_other_content_is_no_level(tmp_path, kind):
    with open_slide(pages(tmp_path / "a.tif", (SECTION,), (NOT_LEVELS[kind],))) as slide:
        assert slide.level_shapes == [(600, 800)]
        assert [(p.number, p.shape) for p in slide.pictures] == [(1, (600, 800)), (2, (300, 400))]
        assert sum("#2 (400 x 300 px)" in line for line in slide.warnings) == 1
    with open_slide(f"{tmp_path / 'a.tif'}#2") as other:
        assert np.array_equal(other.levels[0][:], NOT_LEVELS[kind])
        assert not any("left out" in line for line in other.warnings)


FILTERS = {
    "averaged": HALF,
    "every second pixel": SECTION[::2, ::2],
    "a quarter": shrunk(SECTION, 150, 200),
    "an odd ratio": shrunk(SECTION, 250, 333),
    "sides rounded otherwise": shrunk(SECTION, 301, 399),
}


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("options", [{}, {"compression": "jpeg"}, {"tile": None, "rowsperstrip": 16}], ids=str)
def test_a_page_that_shows_the_same_is_a_level_whatever_the_filter(tmp_path, kind, options):
    with open_slide(pages(tmp_path / "a.tif", (SECTION, options), (FILTERS[kind], options))) as slide:
        assert slide.level_shapes == [(600, 800), FILTERS[kind].shape[:2]]
        assert (len(slide.pictures), slide.warnings[1:]) == (1, [])


def stained(height: int = 600, width: int = 800) -> np.ndarray:
    """Pink with fine nuclei, and glass with a tint too faint for strong compression."""
    rng = np.random.default_rng(0)
    out = np.asarray(Image.fromarray(rng.integers(0, 2, (height // 4, width // 4)).astype(np.uint8) * 255))
    nuclei = np.repeat(np.repeat(out, 4, 0), 4, 1)[..., None] / 255
    pixels = nuclei * (215, 150, 190) + (1 - nuclei) * (130, 90, 160) + rng.normal(0, 5, (height, width, 3))
    tint = (np.arange(width) // 8 % 2 * 14)[None, :, None] * np.array([0, 0, 1])
    pixels[: height // 3] = (240, 238, 235) - tint + rng.normal(0, 1, (1, width, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [10, 20, 40])
def test_a_level_that_lost_its_fine_structure_is_one_still(tmp_path, quality):
    fine = stained()
    coarse = {"compression": "jpeg", "compressionargs": {"level": quality}}
    with open_slide(pages(tmp_path / "a.tif", (fine,), (shrunk(fine, 300, 400), coarse))) as slide:
        assert (slide.level_shapes, len(slide.pictures)) == ([(600, 800), (300, 400)], 1)


@pytest.mark.parametrize(
    ("shape", "level", "options"),
    [((38, 50), True, {}), ((18, 24), True, {}), ((9, 12), False, {}), ((18, 24), False, {"compression": "jpeg"})],
)
def test_a_page_of_a_few_pixels_is_no_section(tmp_path, shape, level, options):
    small = (shrunk(SECTION, *shape), {"tile": (16, 16), **options})
    with open_slide(pages(tmp_path / "a.tif", (SECTION,), small)) as slide:
        assert slide.level_shapes == [(600, 800), *([shape] if level else [])]
        assert [p.associated for p in slide.pictures] == [False] + [True] * (not level)
        assert not any("left out" in line for line in slide.warnings)


def test_a_slide_smaller_than_its_macro_photograph_is_not_compared_with_it(tmp_path):
    strips = {"tile": None, "rowsperstrip": 16, "description": "Aperio\r\nmacro 1200x900", "subfiletype": 9}
    path = pages(
        tmp_path / "a.svs",
        (SECTION, {"description": "Aperio Image Library v11\r\n800x600|MPP = 0.5"}),
        (picture(900, 1200, seed=2), strips),
    )
    with open_slide(path) as slide:
        assert (slide.picture, slide.pictures[0].reason, slide.warnings) == (1, "", [])


def test_what_the_file_says_goes_first(tmp_path):
    """A page that is marked as reduced is a level without a look; one that is marked as a mask is none."""
    flat = np.full((600, 800, 3), 240, np.uint8)
    with open_slide(pages(tmp_path / "a.tif", (flat,), (flat[::2, ::2], REDUCED))) as slide:
        assert slide.level_shapes == [(600, 800), (300, 400)]
    path = pages(tmp_path / "b.tif", (SECTION,), (HALF, REDUCED))
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[1].tags[254].overwrite(5)  # a reduced transparency mask
    with open_slide(path) as slide:
        assert slide.level_shapes == [(600, 800)]
        assert [p.name for p in slide.pictures] == ["", "mask"]


def padded(pixels: np.ndarray) -> np.ndarray:
    """To whole tiles, by which the proportions stay."""
    return np.pad(pixels, [(0, 84), (0, 112), (0, 0)], constant_values=255)


@pytest.mark.parametrize("sub", [False, True])
@pytest.mark.parametrize("kind", ["another section", "mirrored", "padded"])
def test_a_page_that_is_marked_as_a_level_and_plainly_is_none(tmp_path, kind, sub):
    page = {**NOT_LEVELS, "padded": padded(HALF)}[kind]
    path = pages(tmp_path / "a.tif", (SECTION, {"subifds": 1} if sub else {}), (page, REDUCED))
    with open_slide(path) as slide, open_slide(f"{path}#2") as second:
        assert slide.level_shapes == [(600, 800)]
        assert any("which is marked as a level and shows something else" in line for line in slide.warnings)
        assert np.array_equal(second.levels[0][:], page)


def test_a_marked_level_with_a_drawing_or_another_filter_is_one(tmp_path):
    sharp = np.asarray(Image.fromarray(HALF).filter(ImageFilter.UnsharpMask(2, 200, 0)))
    for page in (NOT_LEVELS["a thin line"], NOT_LEVELS["black writing"], sharp, HALF // 16 * 16):
        with open_slide(pages(tmp_path / "a.tif", (SECTION,), (page, REDUCED))) as slide:
            assert slide.level_shapes == [(600, 800), (300, 400)]


def test_levels_belong_to_the_section_before_them(tmp_path):
    other = shrunk(OTHER, 540, 720)
    written = ((SECTION,), (HALF, REDUCED), (other,), (shrunk(other, 270, 360), REDUCED))
    path = pages(tmp_path / "two.tif", *written)
    with open_slide(path) as slide, open_slide(f"{path}#2") as second:
        assert slide.level_shapes == [(600, 800), (300, 400)]
        assert second.level_shapes == [(540, 720), (270, 360)]
        assert np.array_equal(second.levels[1][:], written[3][0])


def test_sections_of_one_size_are_pictures(tmp_path):
    path = pages(tmp_path / "a.tif", (SECTION,), (OTHER,), (SECTION // 2,))
    opened = [open_slide(path), *(open_slide(f"{path}#{n}") for n in (1, 2, 3))]
    assert [np.array_equal(s.levels[0][:], p) for s, p in zip(opened[1:], (SECTION, OTHER, SECTION // 2), strict=True)]
    assert len({s.fingerprint for s in opened}) == 3
    assert opened[0].fingerprint == opened[1].fingerprint
    assert any("2 other pictures" in line for line in opened[0].warnings)


def test_images_of_an_ome_tiff_are_pictures(tmp_path):
    path = tmp_path / "scenes.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        for name, pixels in (
            ("label image", shrunk(OTHER, 80, 90)),
            ("left", shrunk(OTHER, 500, 666)),
            ("right", SECTION),
        ):
            size = {"PhysicalSizeX": 0.5 if name == "right" else 0.4, "PhysicalSizeXUnit": "µm"}
            size |= {k.replace("X", "Y"): v for k, v in size.items()}
            levels = 0 if name == "label image" else 1
            meta = {"axes": "YXS", "Name": name, **size}
            file.write(pixels, tile=(64, 64), photometric="rgb", subifds=levels, metadata=meta)
            if levels:
                half = shrunk(pixels, pixels.shape[0] // 2, pixels.shape[1] // 2)
                file.write(half, tile=(64, 64), photometric="rgb", subfiletype=1)
    with open_slide(path) as slide, open_slide(f"{path}#2") as left:
        assert [(p.name, p.associated) for p in slide.pictures] == [
            ("label image", True),
            ("left", False),
            ("right", False),
        ]
        assert (slide.picture, slide.mpp, slide.level_shapes) == (3, 0.5, [(600, 800), (300, 400)])
        assert (left.picture, left.mpp, left.level_shapes) == (2, 0.4, [(500, 666), (250, 333)])
        assert [line for line in slide.warnings if "label" in line] == []
        assert sum('#2 "left"' in line for line in slide.warnings) == 1


def test_associated_images_are_listed_without_a_warning(tmp_path):
    text = "Aperio Image Library v11.2.1\r\n{0} -> |AppMag = 20|MPP = 0.5"
    strips = {"tile": None, "rowsperstrip": 16}
    path = pages(
        tmp_path / "a.svs",
        (SECTION, {"description": text.format("800x600")}),
        (shrunk(SECTION, 75, 100), {**strips, "description": text.format("thumb")}),
        (HALF, {"description": text.format("level")}),
        (picture(90, 80), {**strips, "subfiletype": 1, "description": "Aperio\r\nlabel 80x90"}),
        (picture(60, 200), {**strips, "subfiletype": 9, "description": "Aperio\r\nmacro 200x60"}),
    )
    with open_slide(path) as slide:
        assert slide.level_shapes == [(600, 800), (300, 400)]
        assert [(p.name, p.associated) for p in slide.pictures[1:]] == [
            ("Thumbnail", True),
            ("Label", True),
            ("Macro", True),
        ]
        assert slide.warnings == []


@pytest.mark.parametrize("name", ["macro", "Label image", "thumbnail"])
def test_a_file_of_photographs_only_says_so(tmp_path, name):
    path = pages(tmp_path / "a.tif", (SECTION, {"description": name}), (OTHER[:90], {"description": "label"}))
    with open_slide(path) as slide, open_slide(f"{path}#1") as chosen:
        assert sum(f'the picture is called "{name}": the file may hold no slide' in w for w in slide.warnings) == 1
        assert not any("may hold no slide" in w for w in chosen.warnings)


def test_the_refusal_of_the_largest_picture_names_the_others(tmp_path):
    path = pages(tmp_path / "a.tif", (SECTION.astype(np.uint32),), (HALF,))
    with pytest.raises(
        SlideError, match=r"32-bit.*convert it to 8-bit RGB; .*#2 \(400 x 300 px\).* a\.tif#2$"
    ) as error:
        open_slide(path)
    assert "\n" not in str(error.value)
    with open_slide(f"{path}#2") as slide:
        assert np.array_equal(slide.levels[0][:], HALF)


def test_pages_with_other_samples_are_named_too(tmp_path):
    grey = {"photometric": "minisblack"}
    with open_slide(pages(tmp_path / "a.tif", (SECTION,), (HALF[:, :, 0], grey))) as slide:
        assert any("#2 (400 x 300 px)" in line for line in slide.warnings)


def test_a_thumbnail_before_the_slide_is_no_section(tmp_path):
    with open_slide(pages(tmp_path / "a.tif", (shrunk(SECTION, 75, 100),), (SECTION,))) as slide:
        assert (slide.picture, slide.level_shapes) == (2, [(600, 800)])
        assert not any("left out" in line for line in slide.warnings)


@pytest.mark.parametrize("number", [0, 3, 9999])
def test_a_picture_that_is_not_there(tmp_path, number):
    path = pages(tmp_path / "a.tif", (SECTION,), (OTHER,))
    with pytest.raises(SlideError, match=rf"no picture {number}: choose from #1 .*#2") as error:
        open_slide(f"{path}#{number}")
    assert "\n" not in str(error.value)


def test_formats_with_one_picture(tmp_path):
    path = png(tmp_path / "a.png", SECTION)
    with open_slide(f"{path}#1") as slide:
        assert slide.shape == (600, 800)
    with pytest.raises(SlideError, match="no picture 2: it has only one"):
        open_slide(f"{path}#2")


@pytest.mark.parametrize("name", ["a#2.tif", "a.tif#2", "#1.tif", "50%#3.tif"])
def test_a_name_with_a_hash_still_opens(tmp_path, name):
    tiff(tmp_path / "a.tif", OTHER)
    with open_slide(tiff(tmp_path / name, SECTION)) as slide:
        assert np.array_equal(slide.levels[0][:], SECTION)


def test_paths(tmp_path):
    file = tiff(tmp_path / "a.tif", SECTION)
    assert split_picture(f"{file}#2") == (file, 2)
    assert split_picture(file) == (file, None)
    assert slide_file(tmp_path / "missing.tif#2") == tmp_path / "missing.tif#2"
    stems = {"a.tif": "a", "a.tif#2": "a#2", "b/a.ome.tif#12": "a.ome#12", "a#2.tif": "a#2", "a": "a", "#2": "#2"}
    assert {name: slide_stem(name) for name in stems} == stems


def test_the_processes_of_a_run_open_the_same_picture(tmp_path):
    import pickle

    path = pages(tmp_path / "a.tif", (SECTION,), (OTHER,))
    with open_slide(f"{path}#2") as slide:
        again = pickle.loads(pickle.dumps(slide))
        assert np.array_equal(again.levels[0][:], OTHER)


def test_info_lists_them(tmp_path, monkeypatch, capsys):
    from napari_nh2st.cli import main

    path = pages(tmp_path / "a.tif", (SECTION,), (NOT_LEVELS["another section"],))
    monkeypatch.setattr("sys.argv", ["nh2st", "info", f"{path}#2", "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
    said = json.loads(capsys.readouterr().out)
    assert (said["picture"], [p["shape"] for p in said["pictures"]]) == (2, [[600, 800], [300, 400]])
    assert said["levels"] == [[300, 400]]


def test_an_aperio_keeps_its_levels(tmp_path):
    with open_slide(aperio(tmp_path / "a.svs", SECTION)) as slide:
        assert len(slide.pictures) == 1


OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
    'DimensionOrder="XYCZT" Type="uint8" SizeX="800" SizeY="600" SizeC="3" SizeZ="1" SizeT="1">'
    '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
)


@pytest.mark.parametrize(("name", "text"), [("a.svs", "Aperio |AppMag = 20|MPP = 0.5"), ("a.ome.tif", OME)])
def test_pages_of_which_the_vendor_says_nothing_are_looked_at(tmp_path, name, text):
    """A tiled second page of an Aperio is no scanner's thumbnail; a page may be in no image of the OME-XML."""
    described = {"description": text.encode()}
    levels = (
        (HALF, described if "svs" in name else {}),
        (shrunk(SECTION, 150, 200), {**described, "description": None}),
    )
    with open_slide(pages(tmp_path / name, (SECTION, described), *levels)) as slide:
        assert slide.level_shapes == [(600, 800), (300, 400), (150, 200)]
        assert len(slide.pictures) == 1
    with open_slide(
        pages(tmp_path / name, (SECTION, described), (NOT_LEVELS["another section"], levels[0][1]))
    ) as slide:
        assert slide.level_shapes == [(600, 800)]
        assert any("#2 (400 x 300 px)" in line for line in slide.warnings)


def test_pages_as_other_programs_write_them(tmp_path):
    first, *rest = (Image.fromarray(p) for p in (SECTION, OTHER, HALF))
    first.save(tmp_path / "pillow.tif", save_all=True, append_images=rest)
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([SECTION, OTHER]), photometric="rgb")
    with open_slide(tmp_path / "pillow.tif") as slide:
        assert [p.shape for p in slide.pictures] == [(600, 800)] * 2
        assert slide.level_shapes == [(600, 800), (300, 400)]
    with open_slide(f"{tmp_path / 'stack.tif'}#2") as slide:
        assert np.array_equal(slide.levels[0][:], OTHER)


def test_a_sample_sheet_may_name_a_picture(tmp_path):
    from napari_nh2st.expression import read_sheet

    path = pages(tmp_path / "a.tif", (SECTION,), (OTHER,))
    (tmp_path / "s.h5ad").write_bytes(b"")
    (tmp_path / "s.csv").write_text("sample,patient,slide,expression,format\nS,P,a.tif#2,s.h5ad,h5ad\n")
    (sample,) = read_sheet(tmp_path / "s.csv")
    assert str(sample.slide) == f"{path}#2"
    with open_slide(sample.slide) as slide:
        assert np.array_equal(slide.levels[0][:], OTHER)
