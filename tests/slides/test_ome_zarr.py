"""OME-Zarr of other programs: axes, versions, several images, and what is no slide."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_nh2st.errors import OtherImage, SlideError
from napari_nh2st.geometry import Box
from napari_nh2st.slides import open_slide
from support.pictures import picture, shrunk
from support.slides import ome_zarr

PIXELS = picture(256, 320)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "yxc", "tczyx", "czyx"])
def test_axes_in_any_order_and_levels(tmp_path, version, axes):
    path = ome_zarr(tmp_path / "a.ome.zarr", PIXELS, version, levels=3, axes=axes)
    with open_slide(path) as slide:
        assert (slide.format, slide.path, slide.mpp, slide.mpp_source) == ("ome-zarr", path, 0.5, "ome")
        assert slide.level_shapes == [(256, 320), (128, 160), (64, 80)]
        assert np.array_equal(slide.levels[0][:], PIXELS)
        assert np.array_equal(slide.levels[2][:], shrunk(PIXELS, 64, 80))
        assert not slide.warnings


def test_a_zip_file_and_a_copy_have_the_same_pixels(tmp_path):
    path = ome_zarr(tmp_path / "a.ome.zarr", PIXELS, levels=2)
    zipped = Path(shutil.make_archive(str(tmp_path / "a"), "zip", path)).rename(tmp_path / "a.ozx")
    with open_slide(zipped) as slide:
        assert np.array_equal(slide.levels[0][:], PIXELS)
        boxes = [(x, y, 60, 60, 1.4) for x in range(0, 200, 20) for y in range(0, 160, 20)]
        with ThreadPoolExecutor(16) as pool:
            together = list(pool.map(lambda box: slide.read(*box), boxes))
        assert all(np.array_equal(a, slide.read(*box)) for a, box in zip(together, boxes, strict=True))
    (tmp_path / "other.zip").write_bytes(b"PK\3\4" + bytes(40))
    with pytest.raises(SlideError, match="a zip archive"):
        open_slide(tmp_path / "other.zip")


def test_series_of_bio_formats_are_pictures(tmp_path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    ome_zarr(tmp_path / "a.zarr" / "0", PIXELS, "0.4", levels=2)
    ome_zarr(tmp_path / "a.zarr" / "1", PIXELS[:100], "0.4")
    with open_slide(tmp_path / "a.zarr") as slide:
        assert slide.shape == (256, 320)
        assert "another picture" in slide.warnings[0]
    with open_slide(f"{tmp_path / 'a.zarr'}#2") as second:
        assert np.array_equal(second.levels[0][:], PIXELS[:100])


def rewritten(path: Path, **changes: object) -> Path:
    group = zarr.open_group(path, mode="r+")
    told = dict(group.attrs["ome"])
    told["multiscales"][0].update(changes)
    group.attrs["ome"] = told
    return path


@pytest.mark.parametrize(
    ("unit", "mpp", "said"), [("nanometer", None, "0.0005 um"), ("millimeter", None, "500 um"), ("", None, "how large")]
)
def test_the_pixel_size_has_a_unit_or_is_asked_for(tmp_path, unit, mpp, said):
    axes = [{"name": "c"}, {"name": "y", "unit": unit}, {"name": "x", "unit": unit}]
    with open_slide(rewritten(ome_zarr(tmp_path / "a.ome.zarr", PIXELS), axes=axes)) as slide:
        assert slide.mpp is mpp
        assert said in " ".join(slide.warnings)


def test_what_is_no_slide_is_said(tmp_path):
    blue = [{"color": colour} for colour in ("0000FF", "00FF00", "FF0000")]
    for number, (path, said) in enumerate([
        (lambda path: ome_zarr(path, PIXELS.astype(np.uint32)), "32-bit uint32"),
        (lambda path: ome_zarr(path, PIXELS[..., :2], axes="cyx"), "2 channels"),
        (lambda path: ome_zarr(path, PIXELS, omero={"channels": blue}), "3 separate channels, not colour"),
        (lambda path: ome_zarr(path, PIXELS, plate={}), "a plate of many fields"),
        (lambda path: Path(str(zarr.open_group(path, mode="w").store.root)), "it has no image"),
    ]):  # fmt: skip
        with pytest.raises(OtherImage, match=said) as error:
            open_slide(path(tmp_path / f"{number}.ome.zarr"))
        assert "\n" not in str(error.value)
        assert "ome.zarr" in str(error.value)


def test_16_bits_are_shown_by_8_as_the_brightest_samples_ask(tmp_path):
    for times, bits in ((257, 16), (16, 12), (1, 8)):
        with open_slide(ome_zarr(tmp_path / f"{bits}.ome.zarr", PIXELS.astype(np.uint16) * times)) as slide:
            assert np.abs(slide.levels[0][:].astype(int) - PIXELS).max() <= (bits == 12)
            assert f"of which {bits} are used" in " ".join(slide.warnings)


@pytest.mark.parametrize("outside", ["../b", "/b", "0/../../b"])
def test_nothing_outside_the_folder_is_read(tmp_path, outside):
    ome_zarr(tmp_path / "b", PIXELS)
    path = rewritten(ome_zarr(tmp_path / "a.ome.zarr", PIXELS), datasets=[{"path": outside}])
    with pytest.raises(SlideError, match="names a part outside itself"):
        open_slide(path)


def test_damaged_metadata_is_one_line(tmp_path):
    path = rewritten(ome_zarr(tmp_path / "a.ome.zarr", PIXELS), datasets=[{"path": "7"}])
    with pytest.raises(SlideError, match=r"a damaged OME-Zarr image: its metadata cannot be read"):
        open_slide(path)


def test_a_damaged_chunk_is_counted_and_one_that_is_not_there_is_glass(tmp_path):
    path = ome_zarr(tmp_path / "a.ome.zarr", PIXELS)
    (path / "0" / "c" / "0" / "0" / "0").write_bytes(b"no such chunk")
    for channel in range(3):
        (path / "0" / "c" / str(channel) / "3" / "4").unlink()
    with open_slide(path) as slide:
        assert (slide.read(280, 200, 20, 20, 1) == 255).all()
        assert not slide.damaged(Box(280, 200, 300, 220))
        assert (slide.read(0, 0, 20, 20, 1) == 255).all()
        assert slide.damaged(Box(0, 0, 20, 20))
        assert "undecodable and shown white" in " ".join(slide.warnings)


def test_a_store_written_anew_is_noticed(tmp_path):
    path = ome_zarr(tmp_path / "a.ome.zarr", PIXELS)
    with open_slide(path) as slide:
        ome_zarr(path, picture(256, 320, seed=4))
        with pytest.raises(SlideError, match="has changed since it was opened"):
            slide.read(0, 0, 20, 20, 1)
