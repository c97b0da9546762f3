"""Overview levels of images without any, and decoded images: kept whole or not at all."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_nh2st.errors import SlideError
from napari_nh2st.slides import cache, open_slide, overview_level, pyramid
from napari_nh2st.terminal import on_command_line
from support.slides import jpeg, picture, png, tiff


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "slides"


def test_levels_of_a_flat_tiff_end_small_and_lie_right(tmp_path, own_cache):
    y, x = np.mgrid[:2500, :3001]
    pixels = np.stack([x // 12, y // 10, np.full_like(x, 77)], axis=2).astype(np.uint8)
    with open_slide(tiff(tmp_path / "flat.tif", pixels, tile=(256, 256))) as slide:
        assert slide.level_shapes == [(2500, 3001), (1250, 1500), (625, 750)]
        for level, (fy, fx) in zip(slide.levels[1:], slide.downsamples[1:], strict=True):
            rows, columns = (np.arange(n) + 0.5 for n in level.shape[:2])
            assert np.abs(level[:, 0, 1] - (rows * fy - 5) / 10).max() < 1
            assert np.abs(level[0, :, 0] - (columns * fx - 6) / 12).max() < 1
            assert (level[:, :, 2] == 77).all()


def test_no_seams_between_the_chunks_of_an_overview(tmp_path, own_cache, monkeypatch):
    path = tiff(tmp_path / "flat.tif", picture(2701, 2303), tile=(256, 256))
    with open_slide(path) as slide:
        large = [level[:] for level in slide.levels]
    monkeypatch.setattr(overview_level, "CHUNK", 128)
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "other"))
    with open_slide(path) as slide:
        assert slide.levels[1].chunks[:2] == (128, 128)
        small = [level[:] for level in slide.levels]
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(large, small, strict=True))


@pytest.mark.parametrize("make", [jpeg, png])
def test_a_flat_image_is_decoded_once(tmp_path, own_cache, make, monkeypatch):
    path = make(tmp_path / f"flat.{make.__name__}", picture(1100, 1300))
    first = open_slide(path)
    monkeypatch.setattr("napari_nh2st.slides.plain.imagecodecs.jpeg8_decode", None)
    monkeypatch.setattr("napari_nh2st.slides.plain._decode_by_pillow", None)
    start = time.process_time()
    again = open_slide(path)
    assert time.process_time() - start < 0.5
    assert len(again.levels) == len(first.levels) == 2
    assert all(np.array_equal(a[:], b[:]) for a, b in zip(first.levels, again.levels, strict=True))


def test_an_image_of_more_pixels_than_pillow_opens(tmp_path, own_cache, monkeypatch, recwarn):
    limit = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for make, name in ((jpeg, "a.jpg"), (png, "b.png")):
        with open_slide(make(tmp_path / name, picture())) as slide:
            assert slide.read(0, 0, 233, 301, 1).std() > 10
    assert Image.MAX_IMAGE_PIXELS == 1000 != limit
    assert not [w for w in recwarn if "ecompression" in str(w.message)]


def test_interrupted_decoding_leaves_nothing(tmp_path, own_cache, monkeypatch):
    path = png(tmp_path / "flat.png", picture(2500, 600))

    def interrupted(pixels, files):
        overview_level.keep(pixels[:600], files)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pyramid, "keep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_slide(path)
    assert list(own_cache.iterdir()) == []
    with open_slide(path) as slide:
        assert len(slide.levels) == 3


def test_a_cache_that_lacks_files_is_built_again(tmp_path, own_cache):
    path = jpeg(tmp_path / "flat.jpg", picture(1100, 1300))
    expected = open_slide(path).levels[1][:]
    for victim in ("0/1.1", "1/0.1"):
        next(own_cache.glob(f"*/{victim}")).unlink()
        with open_slide(path) as slide:
            assert np.array_equal(slide.levels[1][:], expected)
        assert len(list(own_cache.iterdir())) == 1


def test_a_command_says_that_a_large_image_is_decoded_as_a_whole(tmp_path, own_cache, capsys, monkeypatch):
    monkeypatch.setattr(pyramid, "A_MOMENT", 1000)
    path = png(tmp_path / "flat.png", picture(100, 130))
    with on_command_line():
        for _ in range(2):
            open_slide(path).close()
    assert capsys.readouterr().err == "flat.png has no tiles: it is decoded as a whole, once\n"
    open_slide(png(tmp_path / "other.png", picture(90, 130))).close()
    assert capsys.readouterr().err == ""


def test_a_decoded_slide_whose_cache_was_cleared_says_so(tmp_path, own_cache):
    with open_slide(png(tmp_path / "flat.png", picture(1100, 1300))) as slide:
        shutil.rmtree(own_cache)
        with pytest.raises(SlideError, match="was removed: open it again"):
            slide.read(0, 0, 100, 100, 1)


def test_without_a_cache_folder_a_slide_still_opens(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "file"))
    pixels = picture(1100, 1300)
    with open_slide(png(tmp_path / "flat.png", pixels)) as slide:
        assert any("cannot be written" in line for line in slide.warnings)
        assert np.array_equal(slide.levels[0][:], pixels)
        assert len(slide.levels) == 2
        assert not any("cache" in p.name for p in (tmp_path / "flat.png").parent.iterdir())


def _open_and_sum(path: str, queue) -> None:
    with open_slide(path) as slide:
        queue.put([int(level[:].astype(np.int64).sum()) for level in slide.levels])


def test_builders_in_two_processes_do_not_disturb_each_other(tmp_path, own_cache):
    path = png(tmp_path / "flat.png", picture(1500, 1300))
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_open_and_sum, args=(str(path), queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    first, second = (queue.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(20)
    assert first == second
    assert len(list(own_cache.iterdir())) == 1


def test_the_loser_of_a_race_takes_the_winners_work(tmp_path):
    folder = tmp_path / "slides" / "abc-v1"

    def build(aside: Path) -> dict:
        cache.publish(folder, lambda inner: {"by": "winner"}) if not folder.exists() else None
        return {"by": "loser"}

    assert cache.publish(folder, build)["by"] == "winner"
    assert [p.name for p in folder.parent.iterdir()] == ["abc-v1"]


def test_leftovers_of_killed_builds_are_swept(tmp_path):
    parent = tmp_path / "slides"
    old, new = parent / ".abc-v1.77-old", parent / ".abd-v1.78-new"
    for folder in (old, new):
        (folder / "c").mkdir(parents=True)
    os.utime(old, (1, 1))
    cache.publish(parent / "xyz-v1", lambda aside: {})
    assert sorted(p.name for p in parent.iterdir()) == [new.name, "xyz-v1"]


def test_a_cut_jpeg_and_png_are_refused(tmp_path):
    for make, name in ((jpeg, "a.jpg"), (png, "b.png")):
        path = make(tmp_path / name, picture())
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(SlideError, match=r"cut short|cannot be decoded|truncated"):
            open_slide(path)


def test_odd_jpegs_and_pngs(tmp_path):
    pixels = picture()
    grey = Image.fromarray(pixels).convert("L")
    for mode, name in (
        ("L", "l.jpg"),
        ("CMYK", "c.jpg"),
        ("L", "l.png"),
        ("P", "p.png"),
        ("RGBA", "a.png"),
        ("1", "1.png"),
    ):
        Image.fromarray(pixels).convert(mode).save(tmp_path / name)
        with open_slide(tmp_path / name) as slide:
            got = slide.levels[0][:]
        expected = Image.open(tmp_path / name).convert("RGB")
        assert np.abs(got.astype(int) - np.asarray(expected)).mean() < 2, name
    clear = Image.fromarray(np.dstack([pixels, np.zeros_like(pixels[:, :, 0])]))
    clear.save(tmp_path / "clear.png")
    with open_slide(tmp_path / "clear.png") as slide:
        assert (slide.levels[0][:] == 255).all()
    Image.fromarray(np.asarray(grey).astype(np.uint16)).save(tmp_path / "16.png")
    with pytest.raises(SlideError, match="16-bit"):
        open_slide(tmp_path / "16.png")


def test_an_orientation_tag_is_mentioned_and_procedural_text_known(tmp_path):
    exif = Image.Exif()
    exif[274], exif[270] = 6, "napari-nh2st procedural tissue"
    Image.fromarray(picture()).save(tmp_path / "t.jpg", exif=exif)
    with open_slide(tmp_path / "t.jpg") as slide:
        assert slide.shape == (301, 233)
        assert any("turned" in line for line in slide.warnings)
        assert slide.synthetic
