"""The cache of embeddings, in memory and in the user's cache folder. Its folders may be evicted."""

from __future__ import annotations

import hashlib
import json
import threading
import warnings
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine import eviction
from napari_nh2st.engine.block_files import FORMAT, BlockFolder, encode
from napari_nh2st.engine.windows import BlockIndex
from napari_nh2st.errors import Nh2stError

__all__ = ["MEMORY_LIMIT", "EmbeddingCache"]

MEMORY_LIMIT = 256 * 2**20
# What other processes write is looked at every so many blocks: some 35 MB of our own.
CHECK_BLOCKS = 256


class EmbeddingCache:
    """One slide's embeddings by one model, block by block, in memory and on disk.

    Blocks that were used last stay in memory, up to `MEMORY_LIMIT` bytes. On disk all are kept until the folder is
    evicted, which happens to none that a living process has open. What cannot be kept on disk (it is full or may
    not be written, the limit is reached) is kept in memory only; `problems` and one warning say so.

    `get` may give None where `has` has said True, since `has` looks at marks only: the block is damaged, or somebody
    has cleared the cache. It is to be encoded again.

    All methods may be called from any thread; `has` never waits for a block that is read or written.

    Parameters
    ----------
    signature : dict
        What the numbers depend on; its digest names the folder, so that other numbers are never met.
    root : Path or None
        The cache folder; None keeps blocks in memory only: one that is dropped from there is gone.
    block, dim : int
        Entries per side of a block; length of an embedding.
    label : str or None
        A name for people, such as that of the slide and the model. `nh2st cache` shows it.

    Attributes
    ----------
    problems : list of str
        Why blocks are not kept on disk, where they are not.
    """

    def __init__(
        self, signature: dict[str, Any], root: Path | None, block: int, dim: int, *, label: str | None = None
    ) -> None:
        self.block, self.dim = block, dim
        self.problems: list[str] = []
        self._recent: OrderedDict[BlockIndex, npt.NDArray[np.float16]] = OrderedDict()
        self._memory_bytes = 0
        self._lock = threading.Lock()
        self._order = threading.Lock()  # one block is written at a time, and nobody who only asks waits for it
        self._disk: BlockFolder | None = None
        self._writing, self._limit, self._others, self._written = False, 0, 0, 0
        if root is not None:
            self._open(root, signature, label)

    def _open(self, root: Path, signature: dict[str, Any], label: str | None) -> None:
        try:
            self._limit = eviction.limit_of(root)
        except Nh2stError as error:
            self._limit = eviction.default_limit(root)
            self._tell(f"{error}; the limit is {eviction.size_text(self._limit)}")
        if self._limit == 0:
            return
        about = {"format": FORMAT, "signature": signature, "block": self.block, "dim": self.dim}
        digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=12).hexdigest()
        parent = eviction.embeddings_folder(root)
        eviction.sweep(parent)
        try:
            disk = BlockFolder(parent / digest, about, (self.block, self.block, self.dim), label)
        except OSError as error:
            self._tell(f"embeddings are kept in memory only: the cache cannot be used ({error})")
            return
        weakref.finalize(self, disk.close)
        self._disk = disk
        if disk.read_only is not None:
            self._tell(f"new embeddings are kept in memory only: the cache cannot be written ({disk.read_only})")
            return
        self._writing = True
        self._others = eviction.make_room(parent, self._limit, disk.path, disk.bytes)

    def has(self, index: BlockIndex) -> bool:
        """Tell whether a block is in memory or marked on disk. No values are loaded."""
        with self._lock:
            if index in self._recent:
                return True
        return self._disk is not None and self._disk.has(index)

    def get(self, index: BlockIndex) -> npt.NDArray[np.float16] | None:
        """Return a block (block, block, dim), NaN where not encoded, or None where nothing is.

        The array is the cache's own: do not change it.
        """
        if self._disk is not None:
            self._disk.touch()
        with self._lock:
            if index in self._recent:
                self._recent.move_to_end(index)
                return self._recent[index]
        stored = None if self._disk is None else self._disk.read(index)
        if stored is None:
            return None
        with self._lock:
            newer = self._recent.get(index)  # put while the disk was read
            if newer is None:
                self._remember(index, stored)
            return stored if newer is None else newer

    def put(self, index: BlockIndex, values: npt.NDArray[np.float16]) -> None:
        """Keep a copy of a block; its mark is written after its values.

        Raises
        ------
        ValueError
            If it is not (block, block, dim).
        """
        if values.shape != (self.block, self.block, self.dim):
            raise ValueError(f"a block is {(self.block, self.block, self.dim)}, not {values.shape}")
        own = np.array(values, dtype=np.float16, order="C")
        with self._lock:
            self._remember(index, own)
        if self._writing:
            with self._order:
                self._write(index, own)

    def clear_memory(self) -> None:
        """Drop the blocks in memory; those on disk stay."""
        with self._lock:
            self._recent.clear()
            self._memory_bytes = 0

    def close(self) -> None:
        """Give the folder on disk free, as happens by itself when the cache is no longer referred to."""
        self._writing = False
        if self._disk is not None:
            self._disk.close()

    def _remember(self, index: BlockIndex, values: npt.NDArray[np.float16]) -> None:
        older = self._recent.pop(index, None)
        self._memory_bytes += values.nbytes - (0 if older is None else older.nbytes)
        self._recent[index] = values
        while self._memory_bytes > MEMORY_LIMIT and len(self._recent) > 1:
            self._memory_bytes -= self._recent.popitem(last=False)[1].nbytes

    def _write(self, index: BlockIndex, values: npt.NDArray[np.float16]) -> None:
        assert self._disk is not None
        if not self._writing:
            return
        data = encode(values)
        try:
            if self._has_room(len(data)):
                self._disk.write(index, data)
                return
            reason = f"the cache has reached its limit of {eviction.size_text(self._limit)} ({eviction.LIMIT_VARIABLE})"
        except OSError as error:
            reason = f"the cache cannot be written ({error})"
        self._writing = False
        self._tell(f"new embeddings are kept in memory only: {reason}")

    def _has_room(self, size: int) -> bool:
        """Tell whether so many bytes more may be written; others are evicted for them."""
        assert self._disk is not None
        path, own = self._disk.path, self._disk.bytes
        self._written += 1
        if own + size + self._others > self._limit or self._written % CHECK_BLOCKS == 0:
            self._others = eviction.make_room(path.parent, self._limit, path, own, size)
        return own + size + self._others <= self._limit

    def _tell(self, problem: str) -> None:
        self.problems.append(problem)
        warnings.warn(problem, RuntimeWarning, stacklevel=3)
