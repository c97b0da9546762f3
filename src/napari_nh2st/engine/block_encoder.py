"""Encoding the blocks that groups of places need, window by window, within the memory that there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from napari_nh2st.engine.embeddings import Embeddings, PatchEmbeddings
from napari_nh2st.engine.groups import PlaceGroup, WaitingGroups
from napari_nh2st.engine.model_runner import F32, U8
from napari_nh2st.engine.out_of_memory import NO_MEMORY, free_memory_of, out_of_memory
from napari_nh2st.engine.read_ahead import read_ahead
from napari_nh2st.engine.windows import BlockIndex, Window
from napari_nh2st.errors import Nh2stError

# Blocks per side of a window that is encoded at once. The larger, the less is computed twice; it fits into 1 GB.
LARGEST = 12
# Where somebody is waiting, windows start small and grow as the answers move away from the focus.
FIRST, NEAR = 3, 6


class BlockEncoder:
    """Encodes what groups of places need and is not at hand, and reads their embeddings.

    Attributes
    ----------
    largest : int
        Blocks per side of a window; it shrinks where there is not enough memory.
    fresh : set of (row, column)
        Blocks encoded since it was cleared.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings
        self.largest = LARGEST if embeddings.runner.device.type == "cpu" else 2 * LARGEST
        self.fresh: set[BlockIndex] = set()

    def encode(
        self,
        groups: Sequence[PlaceGroup],
        focus: tuple[float, float] | None,
        threads: ThreadPoolExecutor,
        cancelled: Callable[[], bool],
        laid_out: Sequence[Window] | None = None,
    ) -> Iterator[PlaceGroup]:
        """Encode what groups need, and yield each group as soon as all of it is there.

        Parameters
        ----------
        groups : sequence of PlaceGroup
        focus : (x, y) or None
            Level-0 pixels: the blocks of the first groups first, in small windows.
        threads : ThreadPoolExecutor
            They read ahead.
        cancelled : callable
        laid_out : sequence of Window, optional
            Windows that cover all blocks: those of them that something is missing of are encoded. By default, windows
            are laid out for what is missing.
        """
        if isinstance(self.embeddings, PatchEmbeddings):
            for group in groups:
                self.embeddings.want(np.asarray(group.entries, dtype=np.int64))
        missing = self.embeddings.missing(set().union(*(group.blocks for group in groups)))
        waiting = WaitingGroups(groups, missing)
        if laid_out is not None:
            absent = set(missing)
            windows = [window for window in laid_out if not absent.isdisjoint(window.blocks)]
        else:
            windows = self._row_by_row(missing) if focus is None else self._from_focus(groups, missing, focus)
        for window, pixels in read_ahead(windows, self.embeddings.read, threads):
            yield from waiting.ready(cancelled)
            self._encode(window, pixels, cancelled)
            waiting.encoded(window.blocks)
        yield from waiting.ready(cancelled)

    def _row_by_row(self, missing: Sequence[BlockIndex]) -> list[Window]:
        return self.embeddings.windows(sorted(missing), self.largest)

    def _from_focus(
        self, groups: Sequence[PlaceGroup], missing: Sequence[BlockIndex], focus: tuple[float, float]
    ) -> list[Window]:
        """Order windows by the groups that need them, small ones first; in each step from the focus outwards."""
        centre = self.embeddings.entries(np.array([focus]))[0] / self.embeddings.block
        dense = not isinstance(self.embeddings, PatchEmbeddings)
        left, pending, windows = set(missing), set[BlockIndex](), list[Window]()
        limit = FIRST if dense else 1
        for group in groups:
            pending |= group.blocks & left
            if len(pending) >= limit * limit or group is groups[-1]:
                step = self.embeddings.windows(sorted(pending), min(limit, self.largest))
                windows += sorted(step, key=lambda w: float(np.hypot(*(w.centre - centre))))
                left -= pending
                pending = set()
                limit = NEAR if dense else 1
        return windows

    def _encode(self, window: Window, pixels: U8, cancelled: Callable[[], bool]) -> None:
        """Encode a window; where there is not enough memory, its halves, and smaller windows from then on."""
        try:
            self.embeddings.encode(window, pixels, cancelled)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            problem = error
        else:
            self.fresh.update(window.blocks)
            return
        del pixels
        if max(window.shape) == 1:
            raise Nh2stError(NO_MEMORY) from problem
        free_memory_of(self.embeddings.runner.device)
        self.largest = max(1, -(-max(window.shape) // 2))
        for half in window.halves():
            self._encode(half, self.embeddings.read(half), cancelled)

    def embeddings_of(self, group: PlaceGroup, cancelled: Callable[[], bool]) -> F32:
        """Embeddings (m, d) of a group's entries; what is no longer in memory, or damaged on disk, comes anew."""
        try:
            return self._at_hand(group)
        except KeyError:
            dropped = [index for index in sorted(group.blocks) if self.embeddings.cache.get(index) is None]
            for window in self.embeddings.windows(dropped, self.largest):
                self._encode(window, self.embeddings.read(window), cancelled)
            return self._at_hand(group)

    def _at_hand(self, group: PlaceGroup) -> F32:
        if np.issubdtype(group.entries.dtype, np.integer):
            return self.embeddings.take(group.entries.astype(np.int64, copy=False))
        return self.embeddings.interpolate(group.entries.astype(np.float64, copy=False))

    def count_fresh(self, group: PlaceGroup) -> int:
        """Count the places of a group that lie in fresh blocks."""
        own = np.floor(np.asarray(group.entries, dtype=np.float64)[group.own]).astype(np.int64) // self.embeddings.block
        return sum((int(r), int(c)) in self.fresh for r, c in own)
