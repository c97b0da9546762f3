"""Slides without levels: how fast their overviews are made beside the bare decoder, and when they are first seen."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.bench.data_sets import own_cache
from napari_nh2st.bench.figures import Findings, Value
from napari_nh2st.bench.huge import write_huge
from napari_nh2st.bench.memory import HUGE
from napari_nh2st.bench.rates import Clock, Rate, in_turns, median_rate, ratio
from napari_nh2st.slides import open_slide
from napari_nh2st.slides.chunks import reader_of
from napari_nh2st.slides.sketch import Sketch
from napari_nh2st.slides.tiff_level import TiffLevel

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nh2st.bench.data_sets import DataSets

KEYS = ("overviews_over_decoder", "first_pixels_without_levels")
SIZE, SIZE_QUICK = (16_384, 8192), (4096, 2048)


def compare(data_sets: DataSets, progress: Callable[[int, int], object]) -> Findings:
    """Make all overviews of a slide, and decode its tiles alone, in turns; then open a huge one."""
    options = data_sets.options
    size = SIZE_QUICK if options.quick else SIZE
    path = write_huge(options.folder / "without_levels.tif", data_sets.section.image, size, levels=1)
    numbers = count()

    def made() -> Rate:
        return all_overviews(path, options.folder / f"cache-overviews-{next(numbers)}")

    rates = in_turns(
        {"overviews": made, "decoder": lambda: bare_decoder(path)}, options.repeat, options.cancelled, progress
    )
    out = Findings({KEYS[0]: ratio(rates["overviews"], rates["decoder"])})
    paces = [median_rate(rates[name])["places_per_s"] / 1e6 for name in ("overviews", "decoder")]
    out.notes[KEYS[0]] = (
        f"{paces[0]:.0f} Mpx/s, decoder {paces[1]:.0f} Mpx/s on {os.cpu_count()} cores; JPEG tiles, all levels, kept "
        "in the cache"
    )
    huge = write_huge(options.folder / "huge_without_levels.tif", data_sets.section.image, HUGE, levels=1)
    seconds = [first_pixels(huge, options.folder / f"cache-first-{i}") for i in range(options.repeat)]
    out.values[KEYS[1]] = Value(float(np.median(seconds)), min(seconds), max(seconds))
    return out


def all_overviews(path: Path, cache: Path) -> Rate:
    """Make all overviews of a slide in a new cache: pixels a second."""
    with own_cache(cache), open_slide(path) as slide:
        clock = Clock()
        slide.prepare(max(slide.shape))
        return Rate(slide.shape[0] * slide.shape[1] / clock.seconds)


def bare_decoder(path: Path) -> Rate:
    """Decode all tiles of a slide on all cores and throw the pixels away; their bytes lie ready."""
    with open_slide(path) as slide:
        level = reader_of(slide.levels[0])
        assert isinstance(level, TiffLevel)
        tiles = level.tiles
        places = list(zip(tiles.offsets.ravel().tolist(), tiles.counts.ravel().tolist(), strict=True))
        read = {place: slide._source.file.read(*place) for place in set(places)}
        clock = Clock()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(lambda i: tiles.decode(read[places[i]], i).size, range(len(places))):
                pass
        return Rate(slide.shape[0] * slide.shape[1] / clock.seconds)


def first_pixels(path: Path, cache: Path) -> float:
    """Open a slide that was never seen; return the seconds until there is something to draw."""
    with own_cache(cache):
        clock = Clock()
        with open_slide(path) as slide:
            assert slide.overviews is not None
            Sketch(slide.overviews)
            return clock.seconds
