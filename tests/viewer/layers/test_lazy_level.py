"""Levels that napari slices without waiting, without a window: who gets a sketch, and when it becomes the slide."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr

from napari_nh2st.errors import Cancelled, SlideError
from napari_nh2st.viewer.layers.lazy_level import MEMORY, BlockCache, BlockReading, LazyLevel, lazy_levels


class Aside:
    """Threads that work when they are told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], Callable[[], None]]] = []

    def __call__(self, work: Callable[[], Callable[[], None]]) -> None:
        self.waiting.append(work)

    def work(self) -> None:
        waiting, self.waiting = self.waiting, []
        for work in waiting:
            work()()


def slide(shape: tuple[int, int] = (1800, 1300), levels: int = 3) -> Any:
    arrays, rng = [], np.random.default_rng(0)
    for k in range(levels):
        size = (shape[0] >> k, shape[1] >> k, 3)
        arrays.append(zarr.array(rng.integers(0, 255, size, dtype=np.uint8), chunks=(240, 240, 3)))
    steps = [(1800 / (1800 >> k), 1300 / (1300 >> k)) for k in range(levels)]
    return SimpleNamespace(levels=arrays, read_failures=0, overviews=None, downsamples=steps)


def as_napari(level: Any, key: Any) -> Any:
    """Slice as napari does for its canvas."""
    names = {"__name__": "napari.layers._scalar_field._slice", "level": level, "key": key}
    return eval("level[key]", names)


def as_a_screenshot(level: Any, key: Any) -> Any:
    def screenshot() -> Any:
        return as_napari(level, key)

    return screenshot()


VIEW = (slice(100, 900, 1), slice(50, 700, 1), slice(None))


def test_what_is_missing_is_shown_coarser_and_comes_by_itself() -> None:
    aside, drawn, made = Aside(), [], slide()
    levels = lazy_levels(made, lambda: True)
    BlockReading(levels, aside, lambda: drawn.append(as_napari(levels[0], VIEW)))
    sketch = as_napari(levels[0], VIEW)
    coarse = np.asarray(made.levels[2])
    np.testing.assert_array_equal(sketch[0, 0], coarse[100 * 450 // 1800, 50 * 325 // 1300])
    assert (sketch.shape, len(aside.waiting)) == ((800, 650, 3), 1)
    for _ in range(20):
        aside.work()
    np.testing.assert_array_equal(drawn[-1], made.levels[0][VIEW])
    assert not aside.waiting
    as_napari(levels[0], (slice(0, 1800), slice(0, 600), slice(None)))  # what is there already is not read again
    assert len(levels[0].wanted) < 8 * 3


def test_only_a_canvas_gets_a_sketch() -> None:
    made = slide()
    level, part = lazy_levels(made, lambda: True)[0], made.levels[0][VIEW]
    np.testing.assert_array_equal(level[VIEW], part)
    np.testing.assert_array_equal(as_a_screenshot(level, VIEW), part)
    np.testing.assert_array_equal(np.asarray(level), made.levels[0])
    np.testing.assert_array_equal(as_napari(level, (slice(0, 9, 2), 3)), made.levels[0][0:9:2, 3])
    np.testing.assert_array_equal(as_napari(lazy_levels(made, lambda: False)[0], VIEW), part)
    assert (level.shape, level.dtype, level.ndim, level.size) == ((1800, 1300, 3), np.uint8, 3, 1800 * 1300 * 3)


def test_a_part_that_does_not_fit_in_memory_is_read_at_once() -> None:
    whole = SimpleNamespace(shape=(MEMORY // 3000, 600, 3), chunks=(240, 240, 3))
    level = LazyLevel(whole, np.zeros((10, 10, 3), np.uint8), lambda: 0, lambda: True)
    assert level._box((slice(None), slice(None))) is None


@pytest.mark.parametrize("closed", [False, True])
def test_white_of_a_drive_that_went_away_is_not_kept(closed: bool) -> None:
    aside, drawn, made = Aside(), [], slide()
    levels = lazy_levels(made, lambda: True)
    BlockReading(levels, aside, lambda: drawn.append(as_napari(levels[0], VIEW)))
    real = levels[0]._level

    class Away:
        def __getitem__(self, key: Any) -> Any:
            if closed:
                raise SlideError("it was closed")
            made.read_failures += 1
            return np.full_like(real[key], 255)

    levels[0]._level = Away()
    as_napari(levels[0], VIEW)
    aside.work()
    assert not drawn
    levels[0]._level = real  # it is back: the next move of the view asks again
    as_napari(levels[0], VIEW)
    for _ in range(20):
        aside.work()
    np.testing.assert_array_equal(drawn[-1], made.levels[0][VIEW])


def test_a_view_that_moved_on_is_not_waited_for() -> None:
    levels = lazy_levels(slide(), lambda: True)
    BlockReading(levels, Aside(), lambda: None)
    as_napari(levels[0], VIEW)
    assert levels[0].wanted
    as_napari(levels[1], VIEW)
    assert levels[1].wanted
    assert not levels[0].wanted


@pytest.fixture
def without_levels(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from napari_nh2st.slides import open_slide, overview_level, pyramid
    from support.slides import picture, tiff

    monkeypatch.setenv("NH2ST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pyramid, "SMALLEST", 100)
    monkeypatch.setattr(pyramid, "ENOUGH", 120)
    monkeypatch.setattr(overview_level, "CHUNK", 64)
    with open_slide(tiff(tmp_path / "s.tif", picture(1024, 768))) as opened:
        yield opened


def test_the_coarsest_level_of_a_slide_without_levels_is_a_sketch_until_it_is_made(without_levels: Any) -> None:
    aside, drawn = Aside(), []
    levels = lazy_levels(without_levels, lambda: True, first_look=True)
    assert type(levels[-1]) is np.ndarray
    assert not without_levels.overviews.complete(len(levels) - 1)
    reading = BlockReading(levels, aside, lambda: drawn.append(True))
    reading.drawn()
    while aside.waiting:
        aside.work()
        reading.drawn()
    assert drawn
    np.testing.assert_array_equal(levels[-1], without_levels.levels[-1][:])
    assert type(lazy_levels(without_levels, lambda: True, first_look=True)[-1]) is np.ndarray


def test_nothing_of_it_is_made_while_napari_draws_a_finer_level(without_levels: Any) -> None:
    aside, made = Aside(), []
    without_levels.overviews.listen(lambda key, pixels: made.append(key))
    levels = lazy_levels(without_levels, lambda: True, first_look=True)
    reading = BlockReading(levels, aside, lambda: None, lambda: False)
    reading.drawn()
    assert not aside.waiting
    as_napari(levels[1], (slice(0, 60, 1), slice(0, 60, 1), slice(None)))
    aside.work()
    assert {key.level for key in made} == {1}
    assert len(made) == 16  # a block of 256 pixels a side


def test_a_script_gets_the_coarsest_level_itself(without_levels: Any) -> None:
    levels = lazy_levels(without_levels, lambda: False)
    assert without_levels.overviews.complete(len(levels) - 1)


def test_a_view_that_moved_on_does_not_wait_for_an_overview(without_levels: Any) -> None:
    levels = lazy_levels(without_levels, lambda: True, first_look=True)
    BlockReading(levels, Aside(), lambda: None)
    as_napari(levels[3], (slice(0, 60, 1), slice(0, 60, 1), slice(None)))
    block = levels[3].next_wanted()
    as_napari(levels[0], VIEW)
    with pytest.raises(Cancelled):
        levels[3].read(block)


def test_a_level_that_the_garbage_collector_finds_while_its_thread_uses_the_cache() -> None:
    cache, pixels = BlockCache(limit=100), np.zeros((5, 5, 3), np.uint8)
    cache.put(1, (0, 0), pixels)

    def use() -> None:
        with cache._lock:
            cache.forget(1)  # as a finalizer does

    thread = Thread(target=use, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    cache.put(2, (0, 0), pixels)
    assert (cache.get(1, (0, 0)), cache._bytes) == (None, pixels.nbytes)
    cache.forget(2)
    assert cache._bytes == 0
