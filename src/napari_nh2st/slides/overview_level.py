"""An overview level of a slide: its chunks are made when they are looked at, from those of the finer level."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import Cancelled, SlideError
from napari_nh2st.slides.cache import cache_folder
from napari_nh2st.slides.chunk_files import ChunkFiles, ChunkKey
from napari_nh2st.slides.chunks import ChunkReader
from napari_nh2st.slides.flights import Flights
from napari_nh2st.slides.locks import give_lock
from napari_nh2st.slides.shrink import halve, shrink, window_under
from napari_nh2st.slides.source import Source

Rgb = npt.NDArray[np.uint8]
Grid = tuple[int, int]

CHUNK = 512
"""About the side of a chunk, in pixels."""
RECENT_BYTES = 96 * 2**20
"""Decoded tiles that are kept where a chunk also needs the rim of its neighbours."""


class Work(Protocol):
    """The errand for which chunks are made."""

    def cancelled(self) -> bool:
        """Tell whether it is no longer wanted."""

    def done(self, key: ChunkKey, pixels: Rgb) -> None:
        """Take note that a chunk is there."""


class Errandless:
    """Chunks that somebody reads, without progress and without an end before they are there."""

    def cancelled(self) -> bool:
        """Return False."""
        return False

    def done(self, key: ChunkKey, pixels: Rgb) -> None:
        """Do nothing."""


READING = Errandless()


class OverviewLevel:
    """A level of half the size of the finer one (a `ChunkReader`).

    Parameters
    ----------
    finer : ChunkReader
    index : int
        Of this level; 0 is the finest of the slide.
    files : ChunkFiles
        Keeps what is made.
    source : Source
        Whose pixels these are.
    heard : callable
        Called with each chunk that is made, in whichever thread made it.

    Attributes
    ----------
    shape, chunk : (height, width)
        See `ChunkReader`. The step from the finer level is a little off 2 if its side is odd, so that the last row is
        where napari and `Slide.read` look for it.
    children : (int, int)
        Chunks of the finer level under one of this, y first.
    """

    def __init__(
        self,
        finer: ChunkReader,
        index: int,
        files: ChunkFiles,
        source: Source,
        heard: Callable[[ChunkKey, Rgb], None] = lambda key, pixels: None,
    ) -> None:
        self.index = index
        height, width = finer.shape
        self.shape = (max(round(height / 2), 1), max(round(width / 2), 1))
        self.step = (height / self.shape[0], width / self.shape[1])
        self.children, self.chunk = _chunk_over(finer, self.shape)
        self._is_exact = self.step == (2.0, 2.0)
        self.finer = finer if self._is_exact or isinstance(finer, OverviewLevel) else RecentChunks(finer, source)
        self._files, self._source, self._heard = files, source, heard
        self._noted = 0

    def read_chunk(self, row: int, column: int) -> Rgb:
        """Return one chunk (see `ChunkReader`), made now if it was never looked at."""
        return self.obtain(row, column, READING)

    def has(self, row: int, column: int) -> bool:
        """Tell whether a chunk is in the cache."""
        return self._files.has(ChunkKey(self.index, row, column))

    def kept(self, row: int, column: int) -> Rgb | None:
        """Return one chunk if it was made before, else None."""
        return self._load(ChunkKey(self.index, row, column))

    def obtain(self, row: int, column: int, work: Work) -> Rgb:
        """Return one chunk.

        Raises
        ------
        Cancelled
            If the work was cancelled before it was made; the chunks below it that were made stay.
        SlideError
            If the slide was closed meanwhile.
        """
        key = ChunkKey(self.index, row, column)
        pixels = self._load(key)
        if pixels is None:
            pixels = self._files.once(key, lambda: self._made(key, work), lambda: self._load(key), work.cancelled)
        work.done(key, pixels)
        return pixels

    def _load(self, key: ChunkKey) -> Rgb | None:
        loaded = self._files.load(key, self.chunk)
        if loaded is None:
            return None
        pixels, damaged = loaded
        if damaged:
            recall_undecodable(self._files, self._source)
        return pixels

    def _made(self, key: ChunkKey, work: Work) -> tuple[Rgb, bool]:
        failures = self._source.file.failures
        pixels = self._make(key.row, key.column, work)
        if self._source.file.failures != failures:
            return pixels, False  # white where the tissue will be again
        damaged = self._source.damage.undecodable
        for tile in damaged[self._noted :]:
            self._files.note_undecodable(tile)
        self._noted = len(damaged)
        self._files.save(key, pixels, damaged=bool(damaged))
        warn_of_trouble(self._files, self._source)
        self._heard(key, pixels)
        return pixels, True

    def _make(self, row: int, column: int, work: Work) -> Rgb:
        if work.cancelled():
            raise Cancelled("stopped")
        out = np.full((*self.chunk, 3), 255, np.uint8)
        if self._is_exact and all(side % 2 == 0 for side in self.finer.chunk):
            self._halve_chunks(row, column, out, work)
            return out
        corner = (row * self.chunk[0], column * self.chunk[1])
        size = min(self.chunk[0], self.shape[0] - corner[0]), min(self.chunk[1], self.shape[1] - corner[1])
        window = window_under(corner, size, self.step, self.finer.shape)
        out[: size[0], : size[1]] = shrink(self._part(window, work), window, corner, size, self.step)
        return out

    def _halve_chunks(self, row: int, column: int, out: Rgb, work: Work) -> None:
        """Halve one finer chunk after the other, while it is in the processor's cache."""
        height, width = self.finer.chunk
        for i, j in self.chunks_under(row, column):
            pixels = _read(self.finer, i, j, work)
            if pixels is None:
                continue
            inside = pixels[: self.finer.shape[0] - i * height, : self.finer.shape[1] - j * width]
            y, x = (i - row * self.children[0]) * height // 2, (j - column * self.children[1]) * width // 2
            out[y : y + inside.shape[0] // 2, x : x + inside.shape[1] // 2] = halve(inside)

    def chunks_under(self, row: int, column: int) -> Iterator[Grid]:
        """Yield the chunks of the finer level under one of this level, row by row."""
        rows, columns = grid_of(self.finer)
        for i in range(row * self.children[0], min((row + 1) * self.children[0], rows)):
            for j in range(column * self.children[1], min((column + 1) * self.children[1], columns)):
                yield i, j

    def _part(self, window: tuple[int, int, int, int], work: Work) -> Rgb:
        top, left, bottom, right = window
        height, width = self.finer.chunk
        out = np.full((bottom - top, right - left, 3), 255, np.uint8)
        for i in range(top // height, -(-bottom // height)):
            for j in range(left // width, -(-right // width)):
                pixels = _read(self.finer, i, j, work)
                if pixels is None:
                    continue
                y, x = i * height, j * width
                y0, x0, y1, x1 = max(y, top), max(x, left), min(y + height, bottom), min(x + width, right)
                out[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[y0 - y : y1 - y, x0 - x : x1 - x]
        return out


class RecentChunks:
    """A level whose chunks stay for a moment: neighbouring overview chunks ask for the same ones (a `ChunkReader`)."""

    _lock: threading.Lock

    def __init__(self, level: ChunkReader, source: Source) -> None:
        self.shape, self.chunk = level.shape, level.chunk
        self._level, self._source = level, source
        self._recent: OrderedDict[Grid, Rgb] = OrderedDict()
        self._bytes = 0
        self._flights: Flights[Rgb | None] = Flights()
        give_lock(self)

    def read_chunk(self, row: int, column: int) -> Rgb | None:
        """Return one chunk (see `ChunkReader`)."""
        with self._lock:
            pixels = self._recent.get((row, column))
            if pixels is not None:
                self._recent.move_to_end((row, column))
                return pixels
        return self._flights.once((row, column), lambda: self._decoded(row, column), lambda: False)

    def _decoded(self, row: int, column: int) -> tuple[Rgb | None, bool]:
        failures = self._source.file.failures
        pixels = self._level.read_chunk(row, column)
        if self._source.file.failures != failures:
            return pixels, False
        if pixels is not None:
            self._keep((row, column), pixels)
        return pixels, True

    def _keep(self, place: Grid, pixels: Rgb) -> None:
        with self._lock:
            if place not in self._recent:
                self._recent[place] = pixels
                self._bytes += pixels.nbytes
            while self._bytes > RECENT_BYTES and len(self._recent) > 1:
                self._bytes -= self._recent.popitem(last=False)[1].nbytes


class KeptLevel:
    """Level 0 of an image without tiles, decoded as a whole before and kept in the cache (a `ChunkReader`)."""

    def __init__(self, shape: Grid, files: ChunkFiles, source: Source) -> None:
        self.shape, self.chunk = shape, (CHUNK, CHUNK)
        self._files, self._source = files, source

    def read_chunk(self, row: int, column: int) -> Rgb:
        """Return one chunk (see `ChunkReader`)."""
        loaded = self._files.load(ChunkKey(0, row, column), self.chunk)
        if loaded is None:
            raise SlideError(f"{self._source.file.path}: its decoded copy in the cache was removed: open it again")
        return loaded[0]


def keep(pixels: Rgb, files: ChunkFiles) -> None:
    """Keep a decoded image as the chunks of a `KeptLevel`."""
    for row in range(-(-pixels.shape[0] // CHUNK)):
        for column in range(-(-pixels.shape[1] // CHUNK)):
            part = pixels[row * CHUNK : (row + 1) * CHUNK, column * CHUNK : (column + 1) * CHUNK]
            chunk = np.full((CHUNK, CHUNK, 3), 255, np.uint8)
            chunk[: part.shape[0], : part.shape[1]] = part
            files.save(ChunkKey(0, row, column), chunk)


def recall_undecodable(files: ChunkFiles, source: Source) -> None:
    """Enter the tiles that could not be decoded when chunks were made, by whomever, into the slide's damage."""
    for level, row, column in files.undecodable():
        tiles = source.damage.maps.get(level)
        if tiles is not None and row < tiles.bad.shape[0] and column < tiles.bad.shape[1]:
            source.damage.found(level, row, column, "noted when its overview was built")


def warn_of_trouble(files: ChunkFiles, source: Source) -> None:
    """Warn, once, if chunks are kept in memory because the cache cannot be written."""
    sentence = f"the cache at {cache_folder()} cannot be written ({files.trouble}): nothing is kept"
    if files.trouble and sentence not in source.warnings:
        source.warnings.append(sentence)


def grid_of(level: ChunkReader) -> Grid:
    """Return how many rows and columns of chunks a level has."""
    return -(-level.shape[0] // level.chunk[0]), -(-level.shape[1] // level.chunk[1])


def _read(level: ChunkReader, row: int, column: int, work: Work) -> Rgb | None:
    return level.obtain(row, column, work) if isinstance(level, OverviewLevel) else level.read_chunk(row, column)


def _chunk_over(finer: ChunkReader, shape: Grid) -> tuple[Grid, Grid]:
    """Choose how many finer chunks, y first, lie under one chunk, and its size: no tile is under two of them.

    About `CHUNK` squared pixels; those over strips are as wide as the slide, and low.
    """
    columns, width = _side_over(finer.chunk[1], finer.shape[1], shape[1], CHUNK)
    rows, height = _side_over(finer.chunk[0], finer.shape[0], shape[0], max(1, CHUNK * CHUNK // width))
    return (rows, columns), (height, width)


def _side_over(chunk: int, finer: int, coarser: int, wanted: int) -> tuple[int, int]:
    if chunk >= finer:
        return 1, coarser
    count = max(1, round(2 * wanted / chunk))
    count += count * chunk % 2
    return count, count * chunk // 2
