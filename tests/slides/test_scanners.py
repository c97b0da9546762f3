"""Slides of several files, and of formats that OpenSlide reads."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import napari_nh2st
from napari_nh2st.errors import SlideError
from napari_nh2st.geometry import Box
from napari_nh2st.slide_path import ENDINGS
from napari_nh2st.slides import FORMATS, companions, open_slide
from support.pictures import picture, shrunk
from support.scanners import dicom, mirax, sakura, trestle, vmu, zeiss

PIXELS = picture(256, 320)


def test_endings_of_all_formats_are_offered():
    offered = set(ENDINGS)
    for line in FORMATS.values():
        assert {"." + suffix.rpartition(".")[2] for suffix in line.suffixes} <= offered | {".zarr"}  # a folder
    manifest = (Path(napari_nh2st.__file__).parent / "napari.yaml").read_text()
    assert all(f'"*{ending}"' in manifest for ending in offered)


@pytest.mark.parametrize(("make", "suffix"), [(mirax, ".mrxs"), (dicom, ".dcm")])
def test_levels_show_the_same_tissue(tmp_path, make, suffix):
    with open_slide(make(tmp_path / f"a{suffix}", PIXELS, levels=3)) as slide:
        assert slide.level_shapes == [(256, 320), (128, 160), (64, 80)]
        assert np.array_equal(slide.levels[0][:], PIXELS)
        for level in (1, 2):
            expected = shrunk(PIXELS, 256 >> level, 320 >> level).astype(int)
            assert np.abs(slide.levels[level][:] - expected).mean() < 6  # MIRAX makes each image smaller by itself


def test_a_dicom_slide_is_its_folder_or_any_file_in_it(tmp_path):
    (tmp_path / "case").mkdir()
    path = dicom(tmp_path / "case" / "a.dcm", PIXELS, levels=2)
    (tmp_path / "case" / "notes.txt").write_text("x")
    opened = [open_slide(name) for name in (tmp_path / "case", path, path.with_stem("a_1"))]
    assert [slide.level_shapes for slide in opened] == [[(256, 320), (128, 160)]] * 3
    assert len({slide.fingerprint for slide in opened}) == 1
    assert opened[0].path == tmp_path / "case"
    dicom(tmp_path / "case" / "b.dcm", PIXELS[::-1])
    with pytest.raises(SlideError, match=r"has 2 DICOM slides: open one by a file of it \(a.dcm, b.dcm\)"):
        open_slide(tmp_path / "case")
    with open_slide(tmp_path / "case" / "b.dcm") as other:
        assert np.array_equal(other.levels[0][:], PIXELS[::-1])
        assert other.fingerprint != opened[0].fingerprint
    (tmp_path / "empty").mkdir()
    with pytest.raises(SlideError, match="a folder: name the slide file in it"):
        open_slide(tmp_path / "empty")


def test_a_tiff_is_read_by_our_own_reader_whatever_its_name(tmp_path):
    with open_slide(trestle(tmp_path / "a.tif", PIXELS, overlap=0).rename(tmp_path / "a.mrxs")) as slide:
        assert slide.format == "tiff"
        assert np.array_equal(slide.levels[0][:], PIXELS)


def test_a_missing_file_is_one_line(tmp_path):
    for number, (make, suffix, part) in enumerate([(mirax, ".mrxs", "{}/Data0000.dat"), (vmu, ".vmu", "{}.ngr")]):
        path = make(tmp_path / f"{number}{suffix}", PIXELS)
        (tmp_path / part.format(number)).unlink()
        with pytest.raises(SlideError, match=r"cannot be read \(.*copy it again with all its files") as error:
            open_slide(path)
        assert "\n" not in str(error.value)


def test_what_openslide_does_not_decode_is_said(tmp_path):
    with pytest.raises(SlideError, match=r"Zeiss CZI.*JPEG XR compression is not supported.*convert it to OME-TIFF"):
        open_slide(zeiss(tmp_path / "a.czi", PIXELS, compression=4))


def test_a_damaged_image_is_white_counted_and_left_out(tmp_path):
    path = mirax(tmp_path / "a.mrxs", PIXELS)
    data = tmp_path / "a" / "Data0000.dat"
    raw = bytearray(data.read_bytes())
    last = raw.rindex(b"\x89PNG")
    raw[last + 40 : last + 400] = bytes(360)
    data.write_bytes(raw)
    with open_slide(path) as slide:
        pixels = slide.read(0, 0, 320, 256, 1)
        assert slide.damaged(Box(0, 200, 320, 256))
        assert "undecodable and shown white" in " ".join(slide.warnings)
        assert (pixels == 255).any()
    with open_slide(mirax(tmp_path / "b.mrxs", PIXELS)) as whole:
        assert np.array_equal(whole.read(0, 0, 320, 256, 1), PIXELS)


def test_another_file_of_the_slide_that_changes_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(companions, "LOOK_EVERY", -1)
    path = mirax(tmp_path / "a.mrxs", PIXELS)
    with open_slide(path) as slide:
        slide.read(0, 0, 10, 10, 1)
        with (tmp_path / "a" / "Data0000.dat").open("ab") as file:
            file.write(b"more")
        with pytest.raises(SlideError, match="has changed since it was opened"):
            slide.read(0, 0, 10, 10, 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize(("make", "suffix"), [(mirax, ".mrxs"), (dicom, ".dcm"), (sakura, ".svslide"), (zeiss, ".czi")])
def test_a_forked_child_reads_with_a_handle_of_its_own(tmp_path, make, suffix):
    with open_slide(make(tmp_path / f"a{suffix}", PIXELS)) as slide:
        before = slide.read(0, 0, 320, 256, 1)
        child = os.fork()
        if child == 0:
            try:
                os._exit(int(not np.array_equal(slide.read(0, 0, 320, 256, 1), before)))
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert np.array_equal(slide.read(0, 0, 320, 256, 1), before)
