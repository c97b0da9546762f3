"""Overviews of slides without levels: made for what is looked at, once, by whomever, and equal however they come."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_nh2st.errors import Cancelled, SlideError
from napari_nh2st.geometry import Box
from napari_nh2st.slides import FORMATS, Slide, open_slide, overview_level, pyramid
from napari_nh2st.slides.chunks import reader_of
from napari_nh2st.slides.overview_level import grid_of
from napari_nh2st.slides.tiff_level import TiffLevel
from support.slides import MAKERS, picture, tiff

SHAPE = (1024, 768)


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch) -> None:
    """Have small pictures many chunks and levels, and each test a cache of its own."""
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    _shrink(monkeypatch.setattr)


def _shrink(set_: Callable = setattr) -> None:
    set_(pyramid, "SMALLEST", 100)
    set_(pyramid, "ENOUGH", 120)
    set_(overview_level, "CHUNK", 64)


@pytest.fixture
def path(tmp_path) -> Path:
    return tiff(tmp_path / "slide.tif", picture(*SHAPE))


def made_by(slide: Slide) -> list:
    made: list = []
    slide.overviews.listen(lambda key, pixels: made.append(key))
    return made


def decoded_by(monkeypatch) -> list:
    decoded, read = [], TiffLevel._read_tile
    monkeypatch.setattr(TiffLevel, "_read_tile", lambda self, *at: decoded.append(at) or read(self, *at))
    return decoded


def all_chunks(slide: Slide) -> int:
    return sum(int(np.prod(grid_of(level))) for level in slide.overviews.levels)


def halved(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    size = (max(round(width / 2), 1), max(round(height / 2), 1))
    image = Image.fromarray(pixels)
    if size == (width / 2, height / 2):
        return np.asarray(image.reduce(2))
    return np.asarray(image.resize(size, Image.Resampling.HAMMING))


@pytest.mark.parametrize("shape", [(301, 233), (512, 384), (1024, 80)])
@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"hamamatsu"}))  # which brings an overview of its own
def test_every_format_s_overviews_are_the_means_of_its_pixels(tmp_path, name, shape):
    """Exactly where sides halve; else within 1, as blocks round their corners in single precision."""
    make, suffix = MAKERS[name]
    with open_slide(make(tmp_path / f"s{suffix}", picture(*shape))) as slide:
        own = len(slide.levels) - len(slide.overviews.levels)
        assert own == (2 if name == "philips" else 1)
        finer = slide.levels[own - 1][:]
        for level in slide.levels[own:]:
            expected = halved(finer)
            finer = level[:]
            assert finer.shape == expected.shape
            assert np.abs(finer.astype(int) - expected).max() <= (0 if shape == (512, 384) else 1)
        assert max(finer.shape) <= 100


@pytest.mark.parametrize("shape", [SHAPE, (1023, 771)])
@pytest.mark.parametrize("tile", [(64, 64), (48, 80), (256, 256), None])
def test_a_chunk_is_the_same_whenever_and_however_it_is_made(tmp_path, monkeypatch, shape, tile):
    path = tiff(tmp_path / "s.tif", picture(*shape), tile=tile, rowsperstrip=None if tile else 40, compression="zlib")
    with open_slide(path) as slide:
        slide.prepare(100)
        whole = [level[:] for level in slide.levels]
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "another"))
    rng = np.random.default_rng(0)
    with open_slide(path) as slide:
        for index in rng.permutation(np.repeat(np.arange(1, len(whole)), 4)):
            height, width = whole[index].shape[:2]
            y, x = int(rng.integers(height)), int(rng.integers(width))
            assert np.array_equal(slide.levels[index][y : y + 20, x : x + 30], whole[index][y : y + 20, x : x + 30])


def test_opening_decodes_nothing_and_looking_decodes_what_is_looked_at(path, monkeypatch):
    decoded = decoded_by(monkeypatch)
    with open_slide(path) as slide:
        made = made_by(slide)
        assert slide.level_shapes[-1] == (64, 48)
        assert not decoded
        slide.read(0, 0, 60, 60, 2)
        assert len(decoded) == len(set(decoded)) == 4
        assert [tuple(key) for key in made] == [(1, 0, 0)]
        slide.levels[2][0:20, 0:20]  # under it lie four, one of which is there
        assert len(decoded) == len(set(decoded)) == 16


def test_each_tile_is_decoded_once_for_all_levels_and_counted(path, monkeypatch):
    decoded, told = decoded_by(monkeypatch), []
    with open_slide(path) as slide:
        made = made_by(slide)
        slide.prepare(100, tell=lambda done, total: told.append((done, total)))
        tiles = int(np.prod(grid_of(reader_of(slide.levels[0]))))
        assert len(decoded) == len(set(decoded)) == tiles == 16 * 12
        assert len(made) == len(set(made)) == all_chunks(slide)
        assert told == sorted(told)
        assert {total for _, total in told} == {tiles}
        assert told[-1] == (tiles, tiles)
        assert slide.overviews.complete(len(slide.levels) - 1)
        told.clear()
        slide.prepare(100, tell=lambda done, total: told.append((done, total)))
        assert not told


@pytest.mark.parametrize(("cores", "at_most"), [(1, 1.0), (4, 1.1)])
def test_most_tiles_under_an_odd_side_are_decoded_once(tmp_path, monkeypatch, cores, at_most):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    decoded = decoded_by(monkeypatch)
    with open_slide(tiff(tmp_path / "s.tif", picture(1001, 767))) as slide:
        slide.prepare(100)
        assert len(set(decoded)) == 16 * 12
        assert len(decoded) <= at_most * 16 * 12  # neighbours' rims are still at hand, but where two threads meet


def test_only_the_part_that_is_needed_is_made(path, monkeypatch):
    decoded = decoded_by(monkeypatch)
    with open_slide(path) as slide:
        slide.prepare(2, Box(10, 10, 100, 100))
        assert len(decoded) == 4
        slide.read(5, 5, 45, 45, 2)
        assert len(decoded) == 4


def test_cancelling_keeps_what_is_done(path):
    with open_slide(path) as slide:
        made, total = made_by(slide), all_chunks(slide)
        with pytest.raises(Cancelled):
            slide.prepare(100, cancelled=lambda: True)
        slide.levels[1][:]
        assert 0 < len(made) < total
        slide.prepare(100)
        assert len(made) == len(set(made)) == total


def test_cancelling_is_heard_between_two_chunks(path, monkeypatch):
    asked, read = [], TiffLevel._read_tile
    monkeypatch.setattr(TiffLevel, "_read_tile", lambda self, *at: time.sleep(0.01) or read(self, *at))
    with open_slide(path) as slide:
        monkeypatch.setattr("napari_nh2st.slides.find_tissue.MASK_SIDE", 50)
        made, total = made_by(slide), all_chunks(slide)
        with pytest.raises(Cancelled):
            slide.tissue(cancelled=lambda: asked.append(1) or len(asked) > 2)
        assert len(made) < total
        assert slide._tissue is None
        assert 0 <= slide.tissue().fraction <= 1
        assert len(made) == len(set(made)) == total


def test_a_slide_that_is_closed_meanwhile(path):
    slide = open_slide(path)
    slide.overviews.listen(lambda key, pixels: slide.close())
    with pytest.raises(SlideError, match="closed"):
        slide.prepare(100)


def test_threads_make_each_chunk_once(path):
    with open_slide(path) as slide, open_slide(path) as twin:
        made, also = made_by(slide), made_by(twin)
        with ThreadPoolExecutor(8) as pool:
            views = list(pool.map(lambda n: (slide, twin)[n % 2].levels[3][:], range(8)))
        assert all(np.array_equal(view, views[0]) for view in views)
        assert (
            len(made + also)
            == len(set(made + also))
            == all_chunks(slide) - int(np.prod(grid_of(slide.overviews.levels[3])))
        )


def _make_all(path: str, start, queue, die_after: int | None = None) -> None:
    _shrink()
    with open_slide(path) as slide:
        made: list = []

        def heard(key, pixels) -> None:
            made.append(tuple(key))
            if die_after is not None and len(made) > die_after:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.002)

        slide.overviews.listen(heard)
        start.wait(60)
        slide.prepare(100)
        queue.put((made, [int(level[:].astype(np.int64).sum()) for level in slide.levels]))


def test_two_processes_share_the_work(path):
    context = multiprocessing.get_context("spawn")
    queue, start = context.Queue(), context.Barrier(2)
    workers = [context.Process(target=_make_all, args=(str(path), start, queue)) for _ in range(2)]
    for worker in workers:
        worker.start()
    (one, sums), (other, same) = (queue.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(20)
    assert sums == same
    with open_slide(path) as slide:
        assert len(one) + len(other) == len({*one, *other}) == all_chunks(slide)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no such signal")
def test_what_a_killed_process_has_made_is_there_and_the_rest_is_made(path, tmp_path, monkeypatch):
    context = multiprocessing.get_context("spawn")
    queue, start = context.Queue(), context.Barrier(1)
    worker = context.Process(target=_make_all, args=(str(path), start, queue, 10))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL
    with open_slide(path) as slide:
        made = made_by(slide)
        slide.prepare(100)
        assert len(made) <= all_chunks(slide) - 10
        levels = [level[:] for level in slide.levels]
    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "another"))
    with open_slide(path) as slide:
        assert all(np.array_equal(a, b[:]) for a, b in zip(levels, slide.levels, strict=True))


@pytest.mark.parametrize("harm", [lambda data: data[:-5], lambda data: data[:40] + b"?" + data[41:], lambda data: b""])
def test_a_chunk_that_is_not_as_it_was_written_is_made_again(path, tmp_path, harm):
    with open_slide(path) as slide:
        expected = slide.levels[1][:]
    file = next((tmp_path / "cache" / "slides").glob("*/1/0.0"))
    file.write_bytes(harm(file.read_bytes()))
    with open_slide(path) as slide:
        made = made_by(slide)
        assert np.array_equal(slide.levels[1][:], expected)
        assert len(made) == 1


def test_a_cache_that_is_cleared_or_full_meanwhile(path, tmp_path, monkeypatch):
    with open_slide(path) as slide:
        expected = slide.levels[1][:]
        shutil.rmtree(tmp_path / "cache")
        assert np.array_equal(slide.levels[1][:], expected)
        shutil.rmtree(tmp_path / "cache")
        (tmp_path / "cache").write_text("in the way")
        assert np.array_equal(slide.levels[1][:], expected)
        made = made_by(slide)
        slide.levels[1][:]
        assert not made  # they are in memory
        assert any("cannot be written" in line for line in slide.warnings)
