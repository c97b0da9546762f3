"""One slide and one model, open: asked for places, it encodes what is missing, looks, and hands out what is ready."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.engine.device import choose_device, choose_precision
from napari_nh2st.engine.embeddings import DenseEmbeddings, PatchEmbeddings, read_patches
from napari_nh2st.engine.encoder import F32, U8, Coder, out_of_memory
from napari_nh2st.engine.job import Chunk, Job, never
from napari_nh2st.engine.places import lattice_for, neighbourhood, shows_tissue, slide_box
from napari_nh2st.engine.store import DAMAGED, EMPTY, PREDICTED
from napari_nh2st.engine.windows import Index, Window
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import NEIGHBOUR_STEPS, SELF, Box, FloatArray, IntArray, TileSet
from napari_nh2st.slides.cache import cache_folder

if TYPE_CHECKING:
    from napari_nh2st.model.folder import Model
    from napari_nh2st.slides import Slide

# Side of a group of tiles that is handed out at once, in model pixels; a smaller one where somebody is waiting.
GROUP, NEAR_GROUP = 1024, 256
# Blocks per side of a window that is encoded at once. The larger, the less is computed twice; it fits into 1 GB.
LARGEST = 12
# Where somebody is waiting, windows start small and grow as the answers move away from the focus.
FIRST, NEAR = 3, 6
# Given places of a patch encoder, or quick looks, that are encoded at once.
SPOT_BATCH = 32
# Windows read ahead of the encoder, and places planned at once: both bound what is held in memory.
READ_AHEAD, PLAN = 2, 400_000

__all__ = ["Chunk", "Job", "Session"]


@dataclass(frozen=True, eq=False)
class _Group:
    """Places that are handed out at once, with their surroundings.

    Attributes
    ----------
    indices : (k,) int64
        Positions among the places that were asked for.
    entries : (m, 2)
        Where embeddings are read: whole entries (int64), or places between them (float64).
    own : (k,) int32
        Which entry is the place itself.
    nine : (k, 9) int32
        Which entries are its surroundings; its own where one is absent.
    present : (k, 9) bool
    blocks : frozenset of (row, column)
        All that must be encoded first.
    """

    indices: IntArray
    entries: npt.NDArray[np.generic]
    own: npt.NDArray[np.int32]
    nine: npt.NDArray[np.int32]
    present: npt.NDArray[np.bool_]
    blocks: frozenset[Index]


class Session:
    """Predicts at places of one slide with one model; what is encoded stays at hand for the next question.

    Slow to make (it loads torch and prepares the encoder), cheap to ask. One stream at a time: a second one waits until
    the first has ended or heard its cancel.

    Parameters
    ----------
    slide : Slide
        Its mpp must be known.
    model : Model
    pitch : int, optional
        Distance between lattice tiles, model pixels; the patch size by default (the coarse map), the encoder's stride
        for the finest one.
    job : Job, optional

    Raises
    ------
    MppNeeded
        If the slide does not say how large its pixels are.
    """

    def __init__(self, slide: Slide, model: Model, *, pitch: int | None = None, job: Job | None = None) -> None:
        self.slide, self.model = slide, model
        self.job = Job() if job is None else job
        self.pitch = model.card.patch if pitch is None else pitch
        device = choose_device(self.job.device)
        self.coder = Coder(model.net, device, choose_precision(self.job.precision, device))
        root = cache_folder() if self.job.cache else None
        self.dense: bool = model.net.dense
        self.embeddings: DenseEmbeddings | PatchEmbeddings = (
            DenseEmbeddings(slide, model, self.coder, root, self.job.view)
            if self.dense
            else PatchEmbeddings(slide, model, self.coder, self.pitch, root, self.job.view)
        )
        self.tissue = slide.tissue() if self.job.tissue is None else self.job.tissue
        self._lock = threading.Lock()
        self._largest = LARGEST if device.type == "cpu" else 2 * LARGEST
        self._fresh: set[Index] = set()

    @property
    def precision(self) -> str:
        """In which it computes: fp32 or bf16."""
        return self.coder.precision

    @property
    def scale(self) -> float:
        """Level-0 pixels per model pixel."""
        return self.embeddings.scale

    def places(self, region: Box | None = None) -> TileSet:
        """Return the lattice tiles of a region that show tissue; see `lattice_for`."""
        return lattice_for(self.slide, self.model.card, region, self.pitch, self.tissue)

    def stream(
        self,
        places: TileSet,
        *,
        focus: tuple[float, float] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[Chunk]:
        """Predict at places and hand them out as they are ready.

        Parameters
        ----------
        places : TileSet
            From `places`, or given places such as spots.
        focus : (x, y), optional
            Level-0 pixels: nearest first, and in small chunks, for somebody who is waiting. Else row by row.
        cancelled : callable, optional
            Asked beside the job's own.

        Yields
        ------
        Chunk
            First what the store holds already.

        Raises
        ------
        Cancelled
            Within a fraction of a window after it turns true. What was encoded stays in the cache, what was handed out
            stays in the store.
        Nh2stError
            If the slide can no longer be read, or memory does not suffice.
        """
        stopped = self._either(cancelled)
        with self._alone(stopped):
            yield from self._stream(places, focus, stopped)

    def preview(self, places: TileSet, *, cancelled: Callable[[], bool] | None = None) -> npt.NDArray[np.float16]:
        """Look quickly: each place's patch alone, without its surroundings.

        Returns
        -------
        (n, h) float16
            Hidden vectors as in `stream`, though not the same: a hint until the true ones are there.
        """
        stopped = self._either(cancelled)
        parts = []
        with self._alone(stopped):
            for i in range(0, len(places), SPOT_BATCH):
                cells = self._patches_at(places.centres[i : i + SPOT_BATCH], stopped)
                own = np.arange(len(cells), dtype=np.int32)
                present = np.zeros((len(cells), 9), dtype=bool)
                present[:, SELF] = True
                parts.append(self.coder.look(cells, own, np.repeat(own[:, None], 9, axis=1), present))
        width = self.model.net.decoder.in_features
        return np.concatenate(parts).astype(np.float16) if parts else np.empty((0, width), np.float16)

    def hidden(
        self,
        places: TileSet,
        *,
        absent: npt.NDArray[np.bool_] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> npt.NDArray[np.float16]:
        """Predict at places as `stream` does, with some of their surroundings taken away; the store is not touched.

        Parameters
        ----------
        places : TileSet
        absent : (n, 9) bool, optional
            True where a neighbour, in the order of `geometry.NEIGHBOUR_STEPS`, is left out as if there were no tissue;
            none by default. The place itself stays. Without effect on a model that does not look at neighbours.

        Returns
        -------
        (n, h) float16
            Hidden vectors, NaN where the file is damaged.
        """
        stopped = self._either(cancelled)
        out = np.full((len(places), self.model.net.decoder.in_features), np.nan, dtype=np.float16)
        with self._alone(stopped):
            for group, hidden, _ in self._work(places, None, stopped, absent):
                out[group] = hidden
        return out

    def embed(self, places: TileSet, *, cancelled: Callable[[], bool] | None = None) -> F32:
        """Encode places: what the model sees of each patch by itself, before its surroundings come in.

        Returns
        -------
        (n, d) float32
            Of a dense encoder its channels and the stain statistics. What is at hand is not encoded again.
        """
        stopped = self._either(cancelled)
        out = np.empty((len(places), self.model.net.embedding_dim), dtype=np.float32)
        with self._alone(stopped):
            if places.grid is None and not self.dense:
                for i in range(0, len(places), SPOT_BATCH):
                    out[i : i + SPOT_BATCH] = self._patches_at(places.centres[i : i + SPOT_BATCH], stopped)
            else:
                for group in self._encoded(places, None, stopped):
                    out[group.indices] = self._cells(group, stopped)[group.own]
        return out

    def ready(self, places: TileSet) -> bool:
        """Tell whether places can be answered without encoding anything; cheap."""
        if not len(places):
            return True
        return not self.embeddings.missing(self._group(places, np.arange(len(places))).blocks)

    def _either(self, cancelled: Callable[[], bool] | None) -> Callable[[], bool]:
        """Hear a cancel beside the job's own."""
        given = cancelled or never
        return lambda: given() or self.job.cancelled()

    @contextlib.contextmanager
    def _alone(self, cancelled: Callable[[], bool]) -> Iterator[None]:
        while not self._lock.acquire(timeout=0.05):
            if cancelled():
                raise Cancelled("stopped")
        try:
            yield
        finally:
            self._lock.release()

    def _stream(
        self, places: TileSet, focus: tuple[float, float] | None, cancelled: Callable[[], bool]
    ) -> Iterator[Chunk]:
        total, done, store = len(places), 0, self.job.store
        todo = np.arange(total)
        if store is not None and places.grid is not None and total:
            state = store.state_at(places.grid)
            known = np.flatnonzero(state != EMPTY)
            if len(known):
                done = len(known)
                yield Chunk(known, store.read(places.grid[known]), done, total, 0)
            todo = np.flatnonzero(state == EMPTY)
        self._fresh.clear()
        for group, hidden, encoded in self._work(places.select(todo), focus, cancelled):
            indices = todo[group]
            if store is not None and places.grid is not None:
                state = np.where(np.isfinite(hidden).all(axis=1), PREDICTED, DAMAGED).astype(np.uint8)
                store.write(places.grid[indices], hidden, state)
            done += len(indices)
            yield Chunk(indices, hidden, done, total, encoded)

    def _work(
        self,
        places: TileSet,
        focus: tuple[float, float] | None,
        cancelled: Callable[[], bool],
        absent: npt.NDArray[np.bool_] | None = None,
    ) -> Iterator[tuple[IntArray, npt.NDArray[np.float16], int]]:
        """Encode what is missing and look: yields (positions, hidden vectors, newly encoded places)."""
        if places.grid is None and not self.dense:
            yield from self._spots(places, cancelled)
            return
        for group in self._encoded(places, focus, cancelled):
            seen = group if absent is None or not self.dense else _without(group, absent[group.indices])
            yield group.indices, self._look(seen, places, cancelled), self._count_fresh(group)

    def _encoded(
        self, places: TileSet, focus: tuple[float, float] | None, cancelled: Callable[[], bool]
    ) -> Iterator[_Group]:
        """Plan, read ahead and encode; yields groups of places as soon as all that they see is there."""
        with ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="nh2st-read") as reader:
            for part in self._parts(places, focus):
                groups = [self._group(places, indices) for indices in part]
                yield from self._as_ready(groups, focus, reader, cancelled)

    def _parts(self, places: TileSet, focus: tuple[float, float] | None) -> Iterator[list[IntArray]]:
        """Squares of the lattice in the order in which they are wanted, as many at once as are planned together."""
        part, size = list[IntArray](), 0
        for indices in _squares(places, self.model.card.patch, GROUP if focus is None else NEAR_GROUP, focus):
            part.append(indices)
            size += len(indices)
            if size >= PLAN:
                yield part
                part, size = [], 0
        if part:
            yield part

    def _as_ready(
        self,
        groups: list[_Group],
        focus: tuple[float, float] | None,
        reader: ThreadPoolExecutor,
        cancelled: Callable[[], bool],
    ) -> Iterator[_Group]:
        """Encode what groups need, and give each as soon as all of it is there."""
        if isinstance(self.embeddings, PatchEmbeddings):
            for group in groups:
                self.embeddings.want(np.asarray(group.entries, dtype=np.int64))
        lacking = set(self.embeddings.missing(set().union(*(g.blocks for g in groups))))
        waiting = deque(groups)
        windows = self._windows(groups, lacking, focus)
        for window in _ahead(windows, self.embeddings.read, reader):
            yield from _give(waiting, lacking, cancelled)
            self._encode(*window, cancelled)
            lacking.difference_update(window[0].blocks)
        yield from _give(waiting, lacking, cancelled)

    def _windows(self, groups: list[_Group], lacking: set[Index], focus: tuple[float, float] | None) -> list[Window]:
        """Say what to encode, in order: for the nearest groups first where somebody is waiting."""
        if focus is None:
            return self.embeddings.windows(sorted(lacking), self._largest)
        at = self.embeddings.entries(np.array([focus]))[0] / self.embeddings.block
        sizes = [FIRST] if self.dense else []
        left, pending, out = set(lacking), set[Index](), list[Window]()
        for group in groups:
            pending |= group.blocks & left
            limit = sizes[0] if sizes else NEAR if self.dense else 1
            if len(pending) >= limit * limit or group is groups[-1]:
                found = self.embeddings.windows(sorted(pending), min(limit, self._largest))
                out += sorted(found, key=lambda w: float(np.hypot(*(w.centre - at))))
                left -= pending
                pending = set()
                sizes = sizes[1:]
        return out

    def _encode(self, window: Window, pixels: U8, cancelled: Callable[[], bool]) -> None:
        """Encode a window; where memory does not suffice, its halves, and smaller windows from then on."""
        try:
            self.embeddings.encode(window, pixels, cancelled)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            problem = error
        else:
            self._fresh.update(window.blocks)
            return
        del pixels
        if max(window.shape) == 1:
            raise Nh2stError(
                "there is not enough memory for even a small piece of this slide: close other programs, or use the cpu"
            ) from problem
        _free(self.coder.device.type)
        self._largest = max(1, -(-max(window.shape) // 2))
        for half in window.halves():
            self._encode(half, self.embeddings.read(half), cancelled)

    def _look(self, group: _Group, places: TileSet, cancelled: Callable[[], bool]) -> npt.NDArray[np.float16]:
        """Hidden vectors (k, h) of a group; NaN where the file is damaged."""
        hidden = self.coder.look(self._cells(group, cancelled), group.own, group.nine, group.present)
        hidden[self._damaged(places.centres[group.indices])] = np.nan
        return hidden.astype(np.float16)

    def _cells(self, group: _Group, cancelled: Callable[[], bool]) -> F32:
        """Embeddings (m, d) of a group's entries; what is no longer in memory, or damaged on disk, comes anew."""
        try:
            return self._known(group)
        except KeyError:
            again = [index for index in sorted(group.blocks) if self.embeddings.cache.get(index) is None]
            for window in self.embeddings.windows(again, self._largest):
                self._encode(window, self.embeddings.read(window), cancelled)
            return self._known(group)

    def _known(self, group: _Group) -> F32:
        if np.issubdtype(group.entries.dtype, np.integer):
            return self.embeddings.take(group.entries.astype(np.int64, copy=False))
        return self.embeddings.at(group.entries.astype(np.float64, copy=False))

    def _spots(
        self, places: TileSet, cancelled: Callable[[], bool]
    ) -> Iterator[tuple[IntArray, npt.NDArray[np.float16], int]]:
        """Given places of a patch encoder: each is a patch of its own, to the nearest model pixel."""
        for i in range(0, len(places), SPOT_BATCH):
            if cancelled():
                raise Cancelled("stopped")
            indices = np.arange(i, min(i + SPOT_BATCH, len(places)))
            cells = self._patches_at(places.centres[indices], cancelled)
            own = np.arange(len(cells), dtype=np.int32)
            hidden = self.coder.look(cells, own, own[:, None], np.ones((len(cells), 1), dtype=bool))
            hidden[self._damaged(places.centres[indices])] = np.nan
            yield indices, hidden.astype(np.float16), len(indices)

    def _patches_at(self, centres: FloatArray, cancelled: Callable[[], bool]) -> F32:
        corners = np.round(centres[:, ::-1] / self.scale - self.model.card.patch / 2).astype(np.int64)
        pixels = read_patches(self.slide, corners, self.model.card.patch, self.scale, self.job.view)
        return self.coder.patches(pixels, cancelled)

    def _damaged(self, centres: FloatArray) -> npt.NDArray[np.bool_]:
        """Tell which places have a damaged part of the file under their patch."""
        out = np.zeros(len(centres), dtype=bool)
        if not self.slide.damaged(slide_box(self.slide)):
            return out
        half = self.model.card.patch * self.scale / 2
        for i, (x, y) in enumerate(centres):
            out[i] = self.slide.damaged(Box(x - half, y - half, x + half, y + half), self.scale)
        return out

    def _group(self, places: TileSet, indices: IntArray) -> _Group:
        """Lay out what some places see."""
        own = self.embeddings.entries(places.centres[indices])
        if not self.dense:
            return self._lone(indices, own)
        step, rest = divmod(self.model.card.pitch, self.embeddings.spacing)
        if rest or (own != np.round(own)).any():
            return self._between(places.select(indices), indices)
        # On the encoder's own cells places share their surroundings: each cell is asked for once.
        nine = own.astype(np.int64)[:, None, :] + NEIGHBOUR_STEPS[None, :, ::-1] * step
        inside = np.all((nine >= 0) & (nine < self.embeddings.shape), axis=2)
        nine = np.where(inside[..., None], nine, nine[:, SELF, None])
        across = self.embeddings.shape[1]
        flat, where = np.unique((nine[..., 0] * across + nine[..., 1]).ravel(), return_inverse=True)
        entries = np.stack(np.divmod(flat, across), axis=1)
        tissue = shows_tissue(self.slide, self.model.card, self.embeddings.centres(entries), self.tissue)
        where = where.reshape(-1, 9)
        present = inside & tissue[where]
        present[:, SELF] = True
        return self._compact(indices, entries, where, present)

    def _compact(self, indices: IntArray, entries: IntArray, where: IntArray, present: npt.NDArray[np.bool_]) -> _Group:
        """Drop the entries that nobody sees, so that they are not encoded."""
        own = where[:, SELF]
        where = np.where(present, where, own[:, None])
        used, number = np.unique(where.ravel(), return_inverse=True)
        nine = number.reshape(-1, 9).astype(np.int32)
        kept = entries[used]
        return _Group(indices, kept, nine[:, SELF], nine, present, frozenset(self.embeddings.blocks(kept)))

    def _between(self, places: TileSet, indices: IntArray) -> _Group:
        """Spots that lie between cells: every place is interpolated for itself."""
        assert isinstance(self.embeddings, DenseEmbeddings)
        centres, present = neighbourhood(places, self.model.card, slide_box(self.slide), self.tissue)
        entries = self.embeddings.entries(centres[present])
        number = np.full(present.shape, -1, dtype=np.int32)
        number[present] = np.arange(len(entries))
        own = number[:, SELF].copy()
        nine = np.where(present, number, own[:, None])
        blocks = frozenset(self.embeddings.blocks(self.embeddings.corners(entries)))
        return _Group(indices, entries, own, nine, present, blocks)

    def _lone(self, indices: IntArray, own: FloatArray) -> _Group:
        """Tiles of a patch encoder, which look at nothing but themselves."""
        entries = np.round(own).astype(np.int64)
        number = np.arange(len(entries), dtype=np.int32)
        present = np.ones((len(entries), 1), dtype=bool)
        return _Group(indices, entries, number, number[:, None], present, frozenset(self.embeddings.blocks(entries)))

    def _count_fresh(self, group: _Group) -> int:
        """How many places of a group lie in blocks that were encoded for this stream."""
        own = np.floor(np.asarray(group.entries, dtype=np.float64)[group.own]).astype(np.int64) // self.embeddings.block
        return sum((int(r), int(c)) in self._fresh for r, c in own)


def _without(group: _Group, absent: npt.NDArray[np.bool_]) -> _Group:
    """Take neighbours away from a group: (k, 9), True where one is left out."""
    present = group.present & ~absent
    present[:, SELF] = True
    return replace(group, present=present, nine=np.where(present, group.nine, group.own[:, None]))


def _squares(places: TileSet, patch: int, side: int, focus: tuple[float, float] | None) -> list[IntArray]:
    """Split places into squares of the lattice, row by row or from the focus outwards."""
    if not len(places):
        return []
    step = max(1, side // places.pitch) * places.pitch
    corner = places.centres / places.scale - patch / 2
    square = np.floor(corner[:, ::-1] / step + 1e-6).astype(np.int64)
    _, owner = np.unique(square, axis=0, return_inverse=True)
    order = np.argsort(owner.ravel(), kind="stable")
    out = np.split(order, np.flatnonzero(np.diff(owner.ravel()[order])) + 1)
    if focus is not None:
        out.sort(key=lambda mine: float(np.hypot(*(places.centres[mine].mean(axis=0) - focus))))
    return out


def _ahead(
    windows: list[Window], read: Callable[[Window], U8], reader: ThreadPoolExecutor
) -> Iterator[tuple[Window, U8]]:
    """Read windows in threads, a few ahead of the one that is encoded."""
    coming: deque[tuple[Window, Future[U8]]] = deque()
    rest = iter(windows)
    try:
        while True:
            while len(coming) < READ_AHEAD and (window := next(rest, None)) is not None:
                coming.append((window, reader.submit(read, window)))
            if not coming:
                return
            window, pixels = coming.popleft()
            if (following := next(rest, None)) is not None:
                coming.append((following, reader.submit(read, following)))
            yield window, pixels.result()
    finally:
        for _, future in coming:
            future.cancel()


def _give(waiting: deque[_Group], lacking: Collection[Index], cancelled: Callable[[], bool]) -> Iterator[_Group]:
    """Take out and give the groups for which nothing lacks any more, in their order."""
    for _ in range(len(waiting)):
        if cancelled():
            raise Cancelled("stopped")
        group = waiting.popleft()
        if group.blocks.isdisjoint(lacking):
            yield group
        else:
            waiting.append(group)


def _free(device: str) -> None:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
