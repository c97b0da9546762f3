"""Encoding the blocks that groups of places need, window by window, within the memory that there is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.engine.compute_threads import compute_threads
from napari_nh2st.engine.embeddings import DenseEmbeddings, Embeddings, PatchEmbeddings
from napari_nh2st.engine.groups import PlaceGroup, WaitingGroups
from napari_nh2st.engine.model_runner import F32, U8
from napari_nh2st.engine.out_of_memory import NO_MEMORY, free_memory_of, out_of_memory
from napari_nh2st.engine.read_ahead import ENCODE_AHEAD, read_ahead
from napari_nh2st.engine.windows import BlockIndex, Window, evened, touched
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import IntArray

# Blocks per side of a window that is encoded at once. The larger, the less is computed twice; it fits into 1 GB.
LARGEST = 12
# Where somebody is waiting, windows start small and grow as the answers move away from the focus.
FIRST, NEAR = 3, 6
# Threads that encode windows side by side on a processor with several cores.
ENCODERS = 2


class BlockEncoder:
    """Encodes what groups of places need and is not at hand, and reads their embeddings.

    Attributes
    ----------
    largest : int
        Blocks per side of a window; it shrinks where there is not enough memory.
    fresh : dict
        Blocks of which something was encoded since it was cleared, each with a mask (block, block) of what.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings
        self.largest = LARGEST if embeddings.runner.device.type == "cpu" else 2 * LARGEST
        self.fresh: dict[BlockIndex, npt.NDArray[np.bool_]] = {}
        self._lock = threading.Lock()

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
            Windows that cover all entries: those of them that something is missing of are encoded. By default, windows
            are laid out for what is missing.
        """
        lacking = self._lacking(groups)
        if laid_out is not None:
            windows = touched(laid_out, lacking)
        elif focus is None:
            windows = self._evened(self.embeddings.windows(lacking, self.largest))
        else:
            windows = self._from_focus(groups, lacking, focus)
        waiting = WaitingGroups(groups, windows, self.embeddings.block)
        for window, pixels in self._ahead(windows, threads, cancelled):
            yield from waiting.ready(cancelled)
            if pixels is not None:
                self._encode(window, pixels, cancelled)
            waiting.encoded(window)
        yield from waiting.ready(cancelled)

    def _ahead(
        self, windows: Sequence[Window], threads: ThreadPoolExecutor, cancelled: Callable[[], bool]
    ) -> Iterator[tuple[Window, U8 | None]]:
        """Yield windows with their pixels, or with None if they are already encoded.

        On a processor with several cores two threads read and encode windows side by side, each with half the cores:
        so no core waits for another, nor for a file. Elsewhere threads read ahead, and windows are encoded in turn.
        """
        if not self._side_by_side or len(windows) == 1:
            yield from read_ahead(windows, self.embeddings.read, threads)
            return

        def encode(window: Window) -> None:
            if cancelled():
                raise Cancelled("stopped")
            self._encode(window, self.embeddings.read(window), cancelled)

        threads = compute_threads("encode", ENCODERS, torch.get_num_threads() // ENCODERS)
        yield from read_ahead(windows, encode, threads, ENCODE_AHEAD)

    @property
    def _side_by_side(self) -> bool:
        return self.embeddings.runner.device.type == "cpu" and torch.get_num_threads() >= ENCODERS

    def _evened(self, windows: list[Window]) -> list[Window]:
        """Share the work of windows between the threads that encode side by side."""
        if not self._side_by_side or not isinstance(self.embeddings, DenseEmbeddings):
            return windows
        return evened(windows, self.embeddings.rules(self.largest), ENCODERS)

    def entries(self, group: PlaceGroup) -> IntArray:
        """Entries (n, 2) that must be encoded before a group's embeddings can be read."""
        if isinstance(self.embeddings, DenseEmbeddings) and not _whole(group):
            return self.embeddings.corners(group.entries.astype(np.float64, copy=False))
        return np.asarray(group.entries, dtype=np.int64)

    def _lacking(self, groups: Sequence[PlaceGroup]) -> IntArray:
        return self.embeddings.lacking(np.concatenate([np.empty((0, 2), np.int64), *map(self.entries, groups)]))

    def _from_focus(self, groups: Sequence[PlaceGroup], lacking: IntArray, focus: tuple[float, float]) -> list[Window]:
        """Order windows by the groups that need them, small ones first; in each step from the focus outwards."""
        centre = self.embeddings.entries(np.array([focus]))[0]
        dense = not isinstance(self.embeddings, PatchEmbeddings)
        of_block = {index: lacking[mine] for index, mine in self.embeddings.by_block(lacking)}
        pending, windows = set[BlockIndex](), list[Window]()
        limit = FIRST if dense else 1
        for group in groups:
            pending |= group.blocks & of_block.keys()
            if pending and (len(pending) >= limit * limit or group is groups[-1]):
                # All of a block that any group needs, so that what is left of it is no window of its own.
                step = np.concatenate([of_block.pop(index) for index in sorted(pending)])
                found = self.embeddings.windows(step, min(limit, self.largest))
                windows += sorted(found, key=lambda w: float(np.hypot(*(w.centre - centre))))
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
            problem = error.with_traceback(None)  # its frames hold what the failed attempt has made
        else:
            self._note(window)
            return
        del pixels
        side = self.embeddings.block
        if max(window.shape) <= side:
            raise Nh2stError(NO_MEMORY) from problem
        free_memory_of(self.embeddings.runner.device)
        self.largest = max(1, -(-max(window.shape) // (2 * side)))
        for half in window.halves():
            self._encode(half, self.embeddings.read(half), cancelled)

    def _note(self, window: Window) -> None:
        side = self.embeddings.block
        with self._lock:
            for index in window.blocks(side):
                mask = self.fresh.setdefault(index, np.zeros((side, side), dtype=bool))
                mask[window.within(index, side).seen_from(index[0] * side, index[1] * side)] = True

    def embeddings_of(self, group: PlaceGroup, cancelled: Callable[[], bool]) -> F32:
        """Embeddings (m, d) of a group's entries; what is no longer in memory, or damaged on disk, comes anew."""
        with suppress(KeyError):  # a whole block is gone; what is missing is encoded below
            values = self._at_hand(group)
            if not np.isnan(values[:, 0]).any():
                return values
        for window in self.embeddings.windows(self.embeddings.lacking(self.entries(group), sure=True), self.largest):
            self._encode(window, self.embeddings.read(window), cancelled)
        return self._at_hand(group)

    def _at_hand(self, group: PlaceGroup) -> F32:
        if _whole(group):
            return self.embeddings.take(group.entries.astype(np.int64, copy=False))
        return self.embeddings.interpolate(group.entries.astype(np.float64, copy=False))

    def count_fresh(self, group: PlaceGroup) -> int:
        """Count the places of a group whose own entry was freshly encoded."""
        own = np.floor(np.asarray(group.entries, dtype=np.float64)[group.own]).astype(np.int64)
        count = 0
        for index, mine in self.embeddings.by_block(own):
            mask = self.fresh.get(index)
            if mask is not None:
                r, c = (own[mine] % self.embeddings.block).T
                count += int(mask[r, c].sum())
        return count


def _whole(group: PlaceGroup) -> bool:
    """Tell whether a group's embeddings are read at whole entries."""
    return np.issubdtype(group.entries.dtype, np.integer)
