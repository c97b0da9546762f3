"""Slides behind an address: the same pixels as here, fetched in parts, and a clear line when there is no answer."""

from __future__ import annotations

import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_nh2st.errors import SlideAway, SlideError
from napari_nh2st.slide_path import address_of, slide_stem, split_picture, whole_path
from napari_nh2st.slides import open_slide, remote
from support.servers import serving
from support.slides import aperio, jpeg, ome_zarr, picture, tiff

PIXELS = picture(700, 900)


def large(path: Path) -> Path:
    """A TIFF of several blocks: noise does not compress."""
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", compression="zlib")
    return path


def test_paths_of_addresses():
    for text in ("https://host/a/b.svs", "http://host:80/b.tif", "s3://bucket/b.tif"):
        assert address_of(text) == address_of(Path(text)) == whole_path(Path(text)) == text
    assert address_of("here/a.svs") is address_of("C:/a.svs") is address_of("https:") is None
    assert split_picture("https://host/b.tif#2") == (Path("https://host/b.tif"), 2)
    assert slide_stem("https://host/b.tif#2") == "b#2"


@pytest.mark.parametrize(
    "make",
    [(tiff, "a.tif"), (aperio, "a.svs"), (ome_zarr, "a.zarr")],
    ids=["tiff", "aperio", "ome-zarr"],
)
def test_the_same_slide_here_and_there(tmp_path, make):
    write, name = make
    path = write(tmp_path / name, PIXELS)
    with serving(tmp_path) as server, open_slide(f"{server.address}/{path.name}") as there, open_slide(path) as here:
        assert (there.format, there.fingerprint, there.mpp, there.warnings) == (
            here.format,
            here.fingerprint,
            here.mpp,
            here.warnings,
        )
        assert np.array_equal(there.read(5, 9, 300, 200, 1.7), here.read(5, 9, 300, 200, 1.7))
        assert there.tissue().fraction == here.tissue().fraction
        with pickle.loads(pickle.dumps(there)) as again:
            assert again.fingerprint == here.fingerprint


def test_only_the_parts_that_are_looked_at_are_fetched_and_only_once(tmp_path):
    path = large(tmp_path / "a.tif")
    with serving(tmp_path) as server, open_slide(f"{server.address}/a.tif") as slide:
        before = len(server.asked)
        pixels = slide.read(0, 0, 256, 256, 1)
        asked = server.asked[before:]
        assert all(part for _, _, part in asked)
        numbers = [tuple(map(int, re.findall(r"\d+", part))) for *_, part in asked]
        assert sum(last - first + 1 for first, last in numbers) < path.stat().st_size / 4
        slide.levels[0][:256, :256]
        assert np.array_equal(pixels, slide.read(0, 0, 256, 256, 1))
        assert len(server.asked) == before + len(asked)


def test_many_threads_read_at_once(tmp_path):
    path = large(tmp_path / "a.tif")
    boxes = [(x, y, 90, 90, 1.0) for x in range(0, 1400, 200) for y in range(0, 1400, 200)]
    with serving(tmp_path) as server, open_slide(f"{server.address}/a.tif") as there, open_slide(path) as here:
        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda box: there.read(*box), boxes))
        assert all(np.array_equal(part, here.read(*box)) for part, box in zip(got, boxes, strict=True))


def test_a_bucket(tmp_path, monkeypatch):
    (tmp_path / "bucket").mkdir()
    tiff(tmp_path / "bucket" / "a b.tif", PIXELS)
    ome_zarr(tmp_path / "bucket" / "c.zarr", PIXELS)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with serving(tmp_path) as server:
        monkeypatch.setenv("AWS_ENDPOINT", server.address)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        for name in ("a b.tif", "c.zarr"):
            with open_slide(f"s3://bucket/{name}") as slide:
                assert np.array_equal(slide.levels[0][:], PIXELS), name
        with pytest.raises(SlideError, match=r"^s3://bucket/d\.tif is not there"):
            open_slide("s3://bucket/d.tif")


def test_what_cannot_be_opened_is_one_line(tmp_path):
    tiff(tmp_path / "a.tif", PIXELS)
    jpeg(tmp_path / "a.jpg", PIXELS)
    (tmp_path / "empty.tif").touch()
    (tmp_path / "broken.tif").write_bytes(b"II*\0\x08\0\0\0" + b"\xff" * 400)
    with serving(tmp_path) as server:
        at = server.address
        for name, said in {
            "b.tif": r"b\.tif is not there: look at the address",
            "b.zarr": r"b\.zarr is no OME-Zarr image",
            "a.jpg": "is neither a TIFF nor OME-Zarr: other slides are read on this machine only",
            "empty.tif": "is empty: the upload did not finish",
            "broken.tif": "damaged TIFF|cut short|past the end",
            "a.tif?key=1": "addresses with a query",
            "../a.tif": "names no file",
        }.items():
            with pytest.raises(SlideError, match=said) as error:
                open_slide(f"{at}/{name}")
            assert "\n" not in str(error.value)
            assert at in str(error.value)
            assert not re.search(r"https?:/[^/]", str(error.value))
    with pytest.raises(SlideAway, match=r"cannot be reached.*is this machine online"):
        open_slide(f"{at}/a.tif")
    with serving(tmp_path, ranges=False) as server, pytest.raises(SlideError, match="gives no parts of files"):
        open_slide(f"{server.address}/a.tif")


def test_a_slide_that_goes_away_or_changes_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "RETRIES", 0)
    path = large(tmp_path / "a.tif")
    with serving(tmp_path) as server:
        slide = open_slide(f"{server.address}/a.tif")
        large_again = open_slide(f"{server.address}/a.tif")
        before = path.read_bytes()
        path.write_bytes(before[:-1] + b"x")
        with pytest.raises(SlideError, match="has changed since it was opened: open it again"):
            large_again.read(700, 700, 200, 200, 1)
        large_again.close()
        path.write_bytes(before)
    with pytest.raises(SlideAway, match="can no longer be read"):
        slide.read(700, 700, 200, 200, 1)
    slide.close()
    with pytest.raises(SlideError, match="was closed"):
        slide.read(0, 0, 10, 10, 1)


def test_images_of_a_store_that_cannot_be_listed(tmp_path):
    """As bioformats2raw writes them: series by number, and a web server lists no folders."""
    root = zarr.open_group(tmp_path / "series.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    for name in ("0", "1"):
        ome_zarr(tmp_path / "series.zarr" / name, PIXELS if name == "0" else PIXELS[:300, :300], version="0.4")
    with serving(tmp_path) as server, open_slide(f"{server.address}/series.zarr") as slide:
        assert len(slide.pictures) == 2
        assert np.array_equal(slide.levels[0][:], PIXELS)
