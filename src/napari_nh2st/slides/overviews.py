"""All overview levels of a slide, made in parallel where much of one is needed at once, with progress."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import Cancelled
from napari_nh2st.geometry import Box
from napari_nh2st.slides.chunk_files import ChunkKey
from napari_nh2st.slides.overview_level import Grid, OverviewLevel, grid_of
from napari_nh2st.slides.source import Source

Rgb = npt.NDArray[np.uint8]
Tell = Callable[[int, int], object]
"""(done, total) in tiles of the file."""

Listener = Callable[[ChunkKey, Rgb], None]

ERRAND = 3
"""A thread makes a chunk of this overview level and what it needs of the finer ones in one go: 4,096 pixels across."""
ERRANDS_A_CORE = 8
"""If there are fewer, they are smaller."""
ASK_SECONDS = 0.05
ROUNDING = 1e-6


def never() -> bool:
    """Return False."""
    return False


class Overviews:
    """The overview levels of a slide whose file has none, or too few.

    Parameters
    ----------
    source : Source

    Attributes
    ----------
    levels : list of OverviewLevel
        Finest first.
    """

    def __init__(self, source: Source) -> None:
        self.levels: list[OverviewLevel] = []
        self._source = source
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Have each chunk that is made from now on told, in the thread that made it."""
        self._listeners = [*self._listeners, listener]

    def forget(self, listener: Listener) -> None:
        """Tell a listener no more."""
        self._listeners = [each for each in self._listeners if each is not listener]

    def heard(self, key: ChunkKey, pixels: Rgb) -> None:
        """Tell those who listen that a chunk was made."""
        for listener in self._listeners:
            listener(key, pixels)

    @property
    def first(self) -> int:
        """The index of the finest of them among all levels of the slide."""
        return self.levels[0].index

    def complete(self, index: int) -> bool:
        """Tell whether all of a level of the slide is there."""
        return index < self.first or not self._missing(self._level(index), None)

    def make(
        self,
        index: int,
        box: Box | None = None,
        tell: Tell = lambda done, total: None,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        """Make what is missing of a level, with all cores.

        Parameters
        ----------
        index : int
            Of the level, among all levels of the slide; nothing is made for one that is in the file.
        box : Box, optional
            The part that is needed, level-0 pixels; the whole level by default.
        tell, cancelled : callable
            As in `Slide.prepare`, which also says what is raised.
        """
        missing = [] if index < self.first else self._missing(self._level(index), box)
        if not missing:
            return
        failures = self._source.file.failures
        errand, chunks = self._errands(self._level(index), missing)
        job = _Job(self, errand, chunks)
        self._run(errand, chunks, job, tell, cancelled)
        for level in self.levels[errand.index - self.first + 1 : index - self.first + 1]:
            self._run(level, self._below(self._level(index), missing, level), job, tell, cancelled)
        self._source.file.verify(failures)

    def tiles_under(self, key: ChunkKey) -> tuple[slice, slice]:
        """Return the chunks of the finest overview level that lie under a chunk, y first."""
        rows, columns = 1, 1
        for level in self.levels[1 : key.level - self.first + 1]:
            rows, columns = rows * level.children[0], columns * level.children[1]
        return (
            slice(key.row * rows, (key.row + 1) * rows),
            slice(key.column * columns, (key.column + 1) * columns),
        )

    def tile_counts(self) -> npt.NDArray[np.int64]:
        """Return how many tiles of the file lie under each chunk of the finest overview level, (rows, columns)."""
        finest = self.levels[0]
        counts = []
        for axis in (0, 1):
            first = np.arange(grid_of(finest)[axis]) * finest.children[axis]
            counts.append(np.minimum(finest.children[axis], grid_of(finest.finer)[axis] - first))
        counts_of_all: npt.NDArray[np.int64] = np.maximum(np.outer(counts[0], counts[1]), 0)
        return counts_of_all

    def _errands(self, level: OverviewLevel, missing: Sequence[Grid]) -> tuple[OverviewLevel, list[Grid]]:
        """Divide the work into chunks of one level, enough of them to keep all cores at work to the end."""
        enough = ERRANDS_A_CORE * (os.cpu_count() or 1)
        for errand in reversed(self.levels[: min(ERRAND, level.index - self.first + 1)]):
            chunks = self._below(level, missing, errand)
            if len(chunks) >= enough:
                break
        return errand, chunks

    def _level(self, index: int) -> OverviewLevel:
        return self.levels[index - self.first]

    def _missing(self, level: OverviewLevel, box: Box | None) -> list[Grid]:
        rows, columns = (range(n) for n in grid_of(level))
        if box is not None:
            height, width = self._source.shape
            steps = (height / level.shape[0], width / level.shape[1])
            rows = _touched(rows, box.y0, box.y1, steps[0] * level.chunk[0])
            columns = _touched(columns, box.x0, box.x1, steps[1] * level.chunk[1])
        return [(row, column) for row in rows for column in columns if not level.has(row, column)]

    def _below(self, level: OverviewLevel, chunks: Sequence[Grid], errand: OverviewLevel) -> list[Grid]:
        """Return the chunks of a finer level that some chunks need and that are not there yet, in reading order."""
        if level is errand:
            return list(chunks)
        finer = self._level(level.index - 1)
        below = [place for row, column in chunks for place in level.chunks_under(row, column)]
        return self._below(finer, [place for place in below if not finer.has(*place)], errand)

    def _run(
        self,
        level: OverviewLevel,
        chunks: Sequence[Grid],
        job: _Job,
        tell: Tell,
        cancelled: Callable[[], bool],
    ) -> None:
        pool = ThreadPoolExecutor(max(1, min(os.cpu_count() or 1, len(chunks))), "overviews")
        try:
            futures = [pool.submit(level.obtain, row, column, job) for row, column in chunks]
            pending = set(futures)
            while pending:
                ended, pending = wait(pending, ASK_SECONDS, FIRST_EXCEPTION)
                if cancelled():
                    raise Cancelled("stopped")
                tell(*job.at)
                for future in ended:
                    future.result()
        finally:
            job.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            job.go_on()


class _Job:
    """Making the chunks that one question needs (a `Work`): how far it is, and whether it was stopped."""

    def __init__(self, overviews: Overviews, errand: OverviewLevel, chunks: Sequence[Grid]) -> None:
        self._overviews = overviews
        counts = overviews.tile_counts()
        self._to_do = np.zeros_like(counts)
        for row, column in chunks:
            place = overviews.tiles_under(ChunkKey(errand.index, row, column))
            self._to_do[place] = counts[place]
        self._total = int(self._to_do.sum())
        self._done = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    @property
    def at(self) -> tuple[int, int]:
        """Tiles done, and in all."""
        return self._done, self._total

    def stop(self) -> None:
        """Have all threads stop after the chunk that each is making."""
        self._stopped.set()

    def go_on(self) -> None:
        """Take back `stop`, after the threads have ended."""
        self._stopped.clear()

    def cancelled(self) -> bool:
        """Tell whether it was stopped."""
        return self._stopped.is_set()

    def done(self, key: ChunkKey, pixels: Rgb) -> None:
        """Count the tiles under a chunk that is there."""
        place = self._overviews.tiles_under(key)
        with self._lock:
            self._done += int(self._to_do[place].sum())
            self._to_do[place] = 0


def _touched(indices: range, start: float, stop: float, side: float) -> range:
    """Return the chunks of a side (level-0 pixels) that an interval touches; a rounding error is no touch."""
    first, last = int(np.floor(start / side + ROUNDING)), int(np.ceil(stop / side - ROUNDING))
    return indices[max(first, 0) : max(last, 0)]
