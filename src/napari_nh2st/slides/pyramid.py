"""Overview levels for images without any, built block by block and kept in the cache."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from PIL import Image
from zarr.codecs import ZstdCodec
from zarr.storage import LocalStore, MemoryStore

from napari_nh2st.slides import cache
from napari_nh2st.slides.source import Rgb, Source

CHUNK = 512
SMALLEST = 1024  # levels are added until the long side is no more than this
ENOUGH = 2048  # a file whose own smallest level is no larger than this gets none
BAND_BYTES = 96 * 2**20
REACH = 4  # pixels beyond a block that the filter may look at

Level = zarr.Array[Any]


def complete_levels(source: Source) -> list[Level]:
    """Return a source's levels followed by overviews, from the cache if they were built before.

    Parameters
    ----------
    source : Source
        If it has no levels, it is decoded once, and the cache keeps its level 0 too.

    Returns
    -------
    list of zarr.Array
        uint8 (H, W, 3), finest first; the last has a long side of at most `ENOUGH` pixels.
    """
    if source.levels and max(source.levels[-1].shape) <= ENOUGH:
        return source.levels
    folder = cache.slide_folder(source.fingerprint)
    note = cache.load(folder)
    if note is None:
        try:
            note = cache.publish(folder, lambda aside: _build(source, LocalStore(aside)))
        except OSError as error:
            source.warnings.append(f"the cache at {cache.cache_folder()} cannot be written ({error}): nothing is kept")
            memory = MemoryStore()
            note = _build(source, memory)
            return source.levels + [zarr.open_array(memory, path=name, mode="r") for name in note["levels"]]
    for level, row, column, reason in note["undecodable"]:
        source.damage.found(level, row, column, reason)
    return source.levels + [_open(folder / name) for name in note["levels"]]


def _open(folder: Path) -> Level:
    return zarr.open_array(LocalStore(folder, read_only=True), mode="r", zarr_format=3)


def _build(source: Source, store: LocalStore | MemoryStore) -> dict[str, Any]:
    """Write the missing levels; return their names and the tiles that could not be decoded."""
    names: list[str] = []
    index, failures = len(source.levels), source.file.failures
    finer: Level
    if source.levels:
        finer = source.levels[-1]
    else:
        assert source.decode is not None
        finer = _keep(source.decode(), store, "0")
        names, index = ["0"], 1
    while max(finer.shape) > SMALLEST:
        names.append(str(index))
        finer = _halve(finer, store, names[-1])
        index += 1
    source.file.verify(failures)  # or the cache would keep white, or another slide, for good
    reason = "noted when its overview was built"
    return {"levels": names, "undecodable": [[*tile, reason] for tile in source.damage.undecodable]}


def _create(store: LocalStore | MemoryStore, name: str, shape: tuple[int, int]) -> Level:
    return zarr.create_array(
        store,
        name=name,
        shape=(*shape, 3),
        dtype="uint8",
        chunks=(CHUNK, CHUNK, 3),
        compressors=ZstdCodec(level=1),
        fill_value=255,
        config={"write_empty_chunks": True},
    )


def _keep(pixels: Rgb, store: LocalStore | MemoryStore, name: str) -> Level:
    level = _create(store, name, (pixels.shape[0], pixels.shape[1]))
    for y in range(0, pixels.shape[0], CHUNK):
        level[y : y + CHUNK] = pixels[y : y + CHUNK]
    return level


def _halve(finer: Level, store: LocalStore | MemoryStore, name: str) -> Level:
    """Write the next level, each pixel the mean of the area it covers.

    The step follows from the shapes and is a little off 2 if a side is odd, so that the last row is where napari and
    `Slide.read` look for it.
    """
    height, width = finer.shape[:2]
    shape = (max(round(height / 2), 1), max(round(width / 2), 1))
    step = (height / shape[0], width / shape[1])
    level = _create(store, name, shape)
    columns = max(BAND_BYTES // (CHUNK * 2 * 3 * 2) // CHUNK, 1) * CHUNK
    for y in range(0, shape[0], CHUNK):
        for x in range(0, shape[1], columns):
            size = (min(CHUNK, shape[0] - y), min(columns, shape[1] - x))
            level[y : y + size[0], x : x + size[1]] = _mean(finer, (y, x), size, step)
    return level


def _mean(
    finer: Level, corner: tuple[int, int], size: tuple[int, int], step: tuple[float, float]
) -> npt.NDArray[np.uint8]:
    """Shrink the part of `finer` under one block, (height, width) `size` pixels from `corner`."""
    start = [corner[k] * step[k] for k in (0, 1)]
    stop = [(corner[k] + size[k]) * step[k] for k in (0, 1)]
    whole = step == (2.0, 2.0)
    reach = 0 if whole else REACH
    first = [max(math.floor(v) - reach, 0) for v in start]
    last = [min(math.ceil(v) + reach, finer.shape[k]) for k, v in enumerate(stop)]
    part = Image.fromarray(np.asarray(finer[first[0] : last[0], first[1] : last[1]]))
    if whole:
        return np.asarray(part.reduce(2))
    # Not BOX: it takes whole pixels only, and would shift the pixels under an odd side by up to half of one.
    left, top, right, bottom = (min(v[k] - first[k], last[k] - first[k]) for v in (start, stop) for k in (1, 0))
    box = (left, top, right, bottom)
    return np.asarray(part.resize((size[1], size[0]), Image.Resampling.HAMMING, box=box))
