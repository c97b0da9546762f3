"""Embeddings of a slide that answer at places: encoded once, kept in the user's cache.

Both kinds live on a grid anchored at the slide's origin: entry (row, column) belongs to the patch whose top-left corner
is at ``(column - border, row - border) * spacing`` model pixels. A dense encoder (``context``) runs over windows of
tissue and leaves one embedding per cell of its feature map; a place between cells is interpolated. A patch encoder
(``paper``) leaves one per lattice tile.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.cache import EmbeddingCache
from napari_nh2st.engine.model_runner import F32, U8, ModelRunner
from napari_nh2st.engine.windows import BlockIndex, Rules, Window, cover
from napari_nh2st.geometry import FloatArray, IntArray
from napari_nh2st.provenance import printable

if TYPE_CHECKING:
    from napari_nh2st.model.folder import Model
from napari_nh2st.slides import Slide

# Part of every cache signature: raise it when reading or preprocessing changes what an embedding holds.
PREPROCESSING_VERSION = 2
# Entries kept left of and above the slide's origin, for places nearer to its border than half a patch.
BORDER = 4
# Cells that could be encoded in the time that a window takes beside its encoding.
WINDOW_COST = 100

F16 = npt.NDArray[np.float16]


class Embeddings(ABC):
    """Embeddings of one slide by one model, and how to encode more of them.

    Parameters
    ----------
    slide : Slide
    model : Model
    runner : ModelRunner
    spacing : int
        Model pixels between entries.
    block : int
        Entries per side of a block, the unit that is kept.
    border : int
        Entries left of and above the slide's origin.
    cache_root : Path or None
        The cache folder; None keeps blocks in memory only.
    view : int
        How tissue is turned before it is encoded; see `PredictionOptions`.
    """

    def __init__(
        self,
        slide: Slide,
        model: Model,
        runner: ModelRunner,
        *,
        spacing: int,
        block: int,
        border: int,
        cache_root: Path | None,
        view: int = 0,
    ) -> None:
        self.slide, self.model, self.runner = slide, model, runner
        self.spacing, self.block, self.border, self.view = spacing, block, border, view
        self.scale = model.card.scale_on(slide.require_mpp())
        self.patch = model.card.patch
        grid = [int(np.ceil(v / self.scale / spacing)) + 2 * border for v in slide.shape]
        signature = {
            "slide": slide.fingerprint,
            "scale": self.scale,
            "model": model.hash,
            "precision": f"{runner.precision} {runner.device.type}",
            "spacing": spacing,
            "block": block,
            "grid": grid,
            "preprocessing": PREPROCESSING_VERSION,
            **({"view": view} if view else {}),
        }
        self.shape = grid[0], grid[1]
        label = printable(f"{slide.path.name}, {model.card.name}")
        self.cache = EmbeddingCache(signature, cache_root, block, model.net.embedding_dim, label=label)

    def entries(self, centres: FloatArray) -> FloatArray:
        """Entries (row, column) of places, fractional between them; whole to a thousandth of an entry."""
        entries: FloatArray = (centres[:, ::-1] / self.scale - self.patch / 2) / self.spacing + self.border
        nearest = np.round(entries)
        return np.asarray(np.where(np.abs(entries - nearest) < 1e-3, nearest, entries), dtype=np.float64)

    def centres(self, entries: IntArray) -> FloatArray:
        """Centres (x, y) of entries, level-0 pixels."""
        corners = (entries[:, ::-1].astype(np.float64) - self.border) * self.spacing
        return np.asarray((corners + self.patch / 2) * self.scale, dtype=np.float64)

    def blocks(self, entries: npt.NDArray[np.generic]) -> list[BlockIndex]:
        """Blocks that answer at these entries, row by row."""
        return [(int(r), int(c)) for r, c in np.unique(np.asarray(entries, dtype=np.int64) // self.block, axis=0)]

    @abstractmethod
    def lacking(self, entries: IntArray, *, sure: bool = False) -> IntArray:
        """Return those of some entries (n, 2), each once, that must be encoded before `take` can answer.

        `sure` looks at the values of every block instead of the marks: what was dropped or damaged lacks.
        """

    @abstractmethod
    def windows(self, entries: IntArray, largest: int) -> list[Window]:
        """Return windows of at most so many blocks a side that, encoded one by one, give these entries."""

    @abstractmethod
    def read(self, window: Window) -> U8:
        """Read the pixels of a window. Safe from any thread."""

    @abstractmethod
    def encode(self, window: Window, pixels: U8, cancelled: Callable[[], bool]) -> None:
        """Encode a window that was read, and keep its blocks."""

    def take(self, entries: IntArray) -> F32:
        """Embeddings (n, d) of whole entries whose blocks are there.

        Raises
        ------
        KeyError
            If one has not been encoded, or was dropped from memory since.
        """
        out = np.empty((len(entries), self.cache.dim), dtype=np.float32)
        for (row, column), mine in self.by_block(entries):
            values = self._block((row, column))
            if values is None:
                raise KeyError(f"block {row, column} has not been encoded")
            r, c = (entries[mine] % self.block).T
            out[mine] = values[r, c]
        return out

    def by_block(self, entries: IntArray) -> Iterator[tuple[BlockIndex, IntArray]]:
        """Yield blocks with the positions of their entries."""
        owner = entries // self.block
        across = int(owner[:, 1].max(initial=0)) + 1
        flat = owner[:, 0] * across + owner[:, 1]
        order = np.argsort(flat, kind="stable")
        for mine in np.split(order, np.flatnonzero(np.diff(flat[order])) + 1):
            if len(mine):
                row, column = owner[mine[0]]
                yield (int(row), int(column)), mine

    def _block(self, index: BlockIndex) -> F16 | None:
        """Return a block, NaN where nothing is encoded, or None."""
        return self.cache.get(index)

    def interpolate(self, entries: FloatArray) -> F32:
        """Embeddings (n, d) at entries, bilinear between the four nearest ones."""
        low = np.floor(entries)
        part = (entries - low).astype(np.float32)
        out = np.zeros((len(entries), self.cache.dim), dtype=np.float32)
        for dr in (0, 1):
            for dc in (0, 1):
                weight = np.abs(1 - dr - part[:, 0]) * np.abs(1 - dc - part[:, 1])
                used = np.flatnonzero(weight > 0)
                out[used] += weight[used, None] * self.take(low[used].astype(np.int64) + np.array([dr, dc]))
        return out


class DenseEmbeddings(Embeddings):
    """Embeddings of an encoder that runs over windows: blocks are exact at their seams, from whatever window."""

    BLOCK = 16  # cells a side: small, so that little is computed before the first answer

    def __init__(self, slide: Slide, model: Model, runner: ModelRunner, cache_root: Path | None, view: int = 0) -> None:
        stride = model.card.architecture.stride
        super().__init__(
            slide, model, runner, spacing=stride, block=self.BLOCK, border=BORDER, cache_root=cache_root, view=view
        )  # fmt: skip
        self._merging = threading.Lock()

    def corners(self, entries: FloatArray) -> IntArray:
        """Return the whole entries around these."""
        low, high = np.floor(entries), np.ceil(entries)
        mixed = [np.stack([low[:, 0], high[:, 1]], 1), np.stack([high[:, 0], low[:, 1]], 1)]
        return np.concatenate([low, high, *mixed]).astype(np.int64)

    def lacking(self, entries: IntArray, *, sure: bool = False) -> IntArray:
        """See `Embeddings.lacking`."""
        entries = np.unique(entries, axis=0)
        there = np.zeros(len(entries), dtype=bool)
        for index, mine in self.by_block(entries):
            if self.cache.has(index) and (not sure or self.cache.get(index) is not None):
                there[mine] = True
            elif (part := self._part(index)) is not None:
                r, c = (entries[mine] % self.block).T
                there[mine] = ~np.isnan(part[r, c, 0])
        return entries[~there]

    def windows(self, entries: IntArray, largest: int) -> list[Window]:
        """See `Embeddings.windows`."""
        return cover(entries, self.rules(largest))

    def rules(self, largest: int) -> Rules:
        """Return the rules for windows of at most so many blocks a side."""
        # The deeper a layer, the less of the halo it computes: on average about half.
        rim = 6 + self.runner.halo / self.spacing
        return Rules(largest * self.block, rim, WINDOW_COST, self.block)

    def _block(self, index: BlockIndex) -> F16 | None:
        whole = self.cache.get(index) if self.cache.has(index) else None
        return self._part(index) if whole is None else whole

    def _part(self, index: BlockIndex) -> F16 | None:
        key = _key_of_part(index)
        return self.cache.get(key) if self.cache.has(key) else None

    def read(self, window: Window) -> U8:
        """See `Embeddings.read`."""
        height, width = (self.runner.window_side(n) for n in window.shape)
        # Half a cell inside the lattice: convolutions centre cell j on pixel stride * j (docs/architecture.md). The
        # halo is as wide before the first cell's centre as after the last one's, so that a mirrored window's cells are
        # centred on the same pixels.
        y, x = (
            (i - self.border) * self.spacing + self.spacing // 2 - self.runner.halo for i in (window.top, window.left)
        )
        return turned(self.slide.read(x, y, width, height, self.scale), self.view)

    def encode(self, window: Window, pixels: U8, cancelled: Callable[[], bool]) -> None:
        """See `Embeddings.encode`."""
        values = turned_back(self.runner.encode_window(pixels, cancelled).astype(np.float16, copy=False), self.view)
        for index in window.blocks(self.block):
            part = window.within(index, self.block)
            self._keep(index, part, values[part.seen_from(window.top, window.left)])

    def _keep(self, index: BlockIndex, part: Window, values: F16) -> None:
        """Keep a part of a block, with what was there of it."""
        if part.shape == (self.block, self.block):
            self.cache.put(index, values)
            return
        with self._merging:
            earlier = self._block(index)
            shape = (self.block, self.block, self.cache.dim)
            block = np.full(shape, np.nan, dtype=np.float16) if earlier is None else earlier.copy()
            block[part.seen_from(index[0] * self.block, index[1] * self.block)] = values
            self.cache.put(_key_of_part(index) if np.isnan(block[..., 0]).any() else index, block)


def _key_of_part(index: BlockIndex) -> BlockIndex:
    """Key of a block of which a part is encoded: versions before this one take a block that is there for whole."""
    return -1 - index[0], index[1]


class PatchEmbeddings(Embeddings):
    """Embeddings of an encoder that takes patches: one entry per lattice tile, for tiles that were asked for."""

    BLOCK = 8

    def __init__(
        self, slide: Slide, model: Model, runner: ModelRunner, pitch: int, cache_root: Path | None, view: int = 0
    ) -> None:
        super().__init__(
            slide, model, runner, spacing=pitch, block=self.BLOCK, border=0, cache_root=cache_root, view=view
        )  # fmt: skip
        self._wanted: dict[BlockIndex, IntArray] = {}

    def lacking(self, entries: IntArray, *, sure: bool = False) -> IntArray:
        """See `Embeddings.lacking`."""
        entries = np.unique(entries, axis=0)
        parts = [self._lacking(index, entries[mine]) for index, mine in self.by_block(entries)]
        return np.concatenate([entries[:0], *parts])

    def _lacking(self, index: BlockIndex, entries: IntArray) -> IntArray:
        """Those of some entries of a block that are not encoded."""
        block = self.cache.get(index) if self.cache.has(index) else None
        if block is None:
            return entries
        r, c = (entries % self.block).T
        lacking: IntArray = entries[np.isnan(block[r, c, 0])]
        return lacking

    def windows(self, entries: IntArray, largest: int) -> list[Window]:
        """See `Embeddings.windows`. A window is a block; which of its entries are encoded is noted here."""
        out = []
        for index, mine in self.by_block(entries):
            earlier = self._wanted.get(index, entries[:0])
            self._wanted[index] = np.unique(np.concatenate([earlier, entries[mine]]), axis=0)
            top, left = (n * self.block for n in index)
            out.append(Window(top, left, top + self.block, left + self.block))
        return out

    def _entries_of(self, window: Window) -> tuple[BlockIndex, IntArray]:
        """Return the block that a window is, and those of its entries that are to be encoded."""
        index = window.blocks(self.block)[0]
        return index, self._lacking(index, self._wanted[index])

    def read(self, window: Window) -> U8:
        """See `Embeddings.read`."""
        _, entries = self._entries_of(window)
        return read_patches(self.slide, entries * self.spacing, self.patch, self.scale, self.view)

    def encode(self, window: Window, pixels: U8, cancelled: Callable[[], bool]) -> None:
        """See `Embeddings.encode`."""
        index, entries = self._entries_of(window)
        rows, columns = (entries % self.block).T
        earlier = self.cache.get(index) if self.cache.has(index) else None
        shape = (self.block, self.block, self.cache.dim)
        block = np.full(shape, np.nan, dtype=np.float16) if earlier is None else earlier.copy()
        if len(rows):
            block[rows, columns] = self.runner.encode_patches(pixels, cancelled)
        self.cache.put(index, block)


def read_patches(slide: Slide, corners: IntArray, side: int, scale: float, view: int = 0) -> U8:
    """Read patches by their top-left corners (n, 2), (y, x) model pixels, turned -> (n, side, side, 3)."""
    patches = [turned(slide.read(int(x), int(y), side, side, scale), view) for y, x in corners]
    return np.stack(patches) if patches else np.empty((0, side, side, 3), dtype=np.uint8)


def _moves(view: int) -> tuple[bool, bool, bool]:
    """Say whether a view swaps rows and columns, and before that mirrors rows (top to bottom) and columns."""
    return bool(view & 4), bool(view & 2), bool(view & 1)


def turned(picture: npt.NDArray[Any], view: int) -> npt.NDArray[Any]:
    """Turn a picture (h, w, ...) as a view has it; see `PredictionOptions`."""
    swapped, rows, columns = _moves(view)
    picture = picture[:: -1 if rows else 1, :: -1 if columns else 1]
    return np.ascontiguousarray(picture.swapaxes(0, 1) if swapped else picture)


def turned_back(picture: npt.NDArray[Any], view: int) -> npt.NDArray[Any]:
    """Undo `turned`."""
    swapped, rows, columns = _moves(view)
    picture = picture.swapaxes(0, 1) if swapped else picture
    return picture[:: -1 if rows else 1, :: -1 if columns else 1]
