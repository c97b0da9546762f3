"""Missing, undecodable and cut-off tiles."""

from __future__ import annotations

import os

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_nh2st.errors import SlideError
from napari_nh2st.geometry import Box
from napari_nh2st.slides import open_slide
from napari_nh2st.slides.tile_header import declared_size
from support.slides import picture, set_tile, shrunk, tiff, tile_place

PIXELS = picture()
# 301 x 233 in tiles of 64: 5 rows of 4; tile 6 is at row 1, column 2
HOLE = (slice(64, 128), slice(128, 192))


def with_hole() -> np.ndarray:
    expected = PIXELS.copy()
    expected[HOLE] = 255
    return expected


@pytest.fixture
def path(tmp_path):
    return tiff(tmp_path / "slide.tif", PIXELS, compression="zlib")


def check_hole(slide, sentence: str) -> None:
    assert np.array_equal(slide.read(0, 0, 233, 301, 1), with_hole())
    assert np.array_equal(slide.levels[0][:], with_hole())
    assert any(sentence in line for line in slide.warnings), slide.warnings
    assert slide.damaged(Box(100, 70, 130, 80))
    assert slide.damaged(Box(140, 70, 141, 71), scale=1.0)
    assert not slide.damaged(Box(0, 0, 128, 300))
    assert not slide.damaged(Box(128, 128, 192, 300))
    assert not slide.damaged(Box(5000, 5000, 6000, 6000))


@pytest.mark.parametrize(("offset", "count"), [(None, 0), (0, None), (10**9, 500), (10**9, None)])
def test_a_tile_that_is_not_there_is_white_and_counted(path, offset, count):
    set_tile(path, 6, offset=offset, count=count)
    with open_slide(path) as slide:
        check_hole(slide, "1 tile is missing")


def test_a_lone_entry_past_the_end_is_not_a_cut_file(path):
    set_tile(path, 6, offset=path.stat().st_size + 10, count=50)
    with open_slide(path) as slide:
        check_hole(slide, "1 tile is missing")


def test_an_undecodable_tile_is_named_once(path):
    offset, count = tile_place(path, 6)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(os.urandom(count))
    with open_slide(path) as slide:
        assert slide.warnings == [w for w in slide.warnings if "undecodable" not in w]
        slide.read(0, 0, 233, 301, 1)
        slide.read(0, 0, 233, 301, 1)
        check_hole(slide, "1 tile is undecodable")
        assert "row 1, column 2" in slide.warnings[-1]


def test_an_undecodable_tile_found_at_building_the_overview_is_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    path = tiff(tmp_path / "slide.tif", picture(2300, 500), compression="zlib")
    offset, count = tile_place(path, 6)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(os.urandom(count))
    open_before = open_slide(path)
    for first in (True, False):
        with open_slide(path) as slide:
            assert len(slide.levels) > 1
            if first:
                assert slide.levels[-1][:].std() > 10
            assert any("1 tile is undecodable" in line for line in slide.warnings)
            assert slide.damaged(Box(0, 0, 500, 2300))
    assert not any("undecodable" in line for line in open_before.warnings)
    open_before.levels[-1][:]  # what another one made tells of it, too
    assert any("1 tile is undecodable" in line for line in open_before.warnings)
    open_before.close()


@pytest.mark.parametrize("kept", [0.9, 0.5])
def test_a_cut_file_is_refused_with_what_is_missing(tmp_path, kept):
    path = tiff(tmp_path / "cut.tif", PIXELS, [shrunk(PIXELS, 100, 78)])
    whole = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(int(whole * kept))
    with pytest.raises(SlideError, match="cut short") as error:
        open_slide(path)
    assert "bytes are missing" in str(error.value)


def test_one_missing_byte_at_the_end(path):
    size = path.stat().st_size
    offset, count = max(tile_place(path, i) for i in range(20))
    with path.open("r+b") as file:
        file.truncate(min(size, offset + count) - 1)
    with pytest.raises(SlideError, match="1 bytes are missing"):
        open_slide(path)


def test_a_file_still_being_written_has_no_directory_yet(tmp_path):
    path = tmp_path / "new.svs"
    path.write_bytes(b"II*\0" + (1_000_000).to_bytes(4, "little") + bytes(5000))
    with pytest.raises(SlideError, match="at least 994,993 bytes are missing"):
        open_slide(path)


def test_damage_of_a_coarse_level_is_told_apart(tmp_path):
    path = tiff(tmp_path / "p.tif", picture(600, 600), [picture(300, 300)])
    set_tile(path, 0, count=0, page=1)
    with open_slide(path) as slide:
        box = Box(100, 100, 110, 110)
        assert slide.damaged(box)
        assert not slide.damaged(box, scale=1.0)
        assert slide.damaged(box, scale=2.0)
        assert (slide.read(0, 0, 64, 64, 2.0) == 255).all()


def test_a_level_that_was_built_has_the_damage_it_was_built_from(tmp_path):
    path = tiff(tmp_path / "slide.tif", picture(2300, 500), compression="zlib")
    set_tile(path, 0, count=0)
    with open_slide(path) as slide:
        assert len(slide.levels) > 1
        assert slide.damaged(Box(0, 0, 10, 10), scale=2.0)
        assert not slide.damaged(Box(100, 0, 110, 10), scale=2.0)


@pytest.mark.parametrize(("codec", "side"), [("jpeg", 65000), ("webp", 16000), ("jpeg2000", 2**31 - 1)])
def test_a_tile_that_claims_to_be_huge_is_not_decoded(tmp_path, codec, side):
    lossy = {"level": 80, "lossless": False} if codec == "webp" else {}
    path = tiff(tmp_path / "bomb.tif", PIXELS, compression=codec, compressionargs=lossy)
    offset, count = tile_place(path, 6)
    data = bytearray(path.read_bytes()[offset : offset + count])
    assert declared_size(bytes(data)) == (64, 64)
    if codec == "jpeg":
        at = data.find(b"\xff\xc0") + 5
        data[at : at + 4] = side.to_bytes(2, "big") * 2
    elif codec == "webp":
        data[26:30] = side.to_bytes(2, "little") * 2
    else:
        at = data.find(b"\xff\x4f\xff\x51") + 8
        data[at : at + 8] = side.to_bytes(4, "big") * 2
    assert declared_size(bytes(data)) == (side, side)
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    with open_slide(path) as slide:
        assert (slide.read(130, 70, 50, 50, 1) == 255).all()
        assert f"claims {side} x {side} pixels" in slide.warnings[-1]


def test_the_other_headers_of_webp():
    pixels = picture(48, 80)
    assert declared_size(imagecodecs.webp_encode(pixels, lossless=True)) == (48, 80)
    extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (79).to_bytes(3, "little") + (47).to_bytes(3, "little")
    assert declared_size(extended) == (48, 80)
    assert declared_size(b"nothing") is None


def test_a_file_without_any_of_its_tiles_is_refused(tmp_path):
    path = tiff(tmp_path / "a.tif", picture(100, 60))
    for index in range(2):
        set_tile(path, index, count=0)
    with pytest.raises(SlideError, match="none of its 2 tiles is in the file"):
        open_slide(path)


def test_an_offset_beyond_what_a_disk_can_have_ends_the_chain(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(100, 60), bigtiff=True, photometric="rgb", metadata=None)
    data = path.read_bytes()
    at = int.from_bytes(data[8:16], "little")
    entries = int.from_bytes(data[at : at + 8], "little")
    next_at = at + 8 + 20 * entries
    path.write_bytes(data[:next_at] + b"\xff" * 8 + data[next_at + 8 :])
    with open_slide(path) as slide:
        assert slide.shape == (100, 60)


def test_tiles_with_other_channels_than_the_image_are_damaged(tmp_path):
    path = tiff(tmp_path / "a.tif", picture(40, 50), tile=None)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags[284].overwrite(3)  # no planar configuration
    with open_slide(path) as slide:
        assert (slide.levels[0][:] == 255).all()
        assert any("1 tile is undecodable" in line for line in slide.warnings)
