"""The cache of embeddings: what was encoded once, in memory and in the user's cache folder. It may be evicted."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec
from zarr.errors import GroupNotFoundError

BLOCKS_IN_MEMORY = 64

Index = tuple[int, int]


class EmbeddingCache:
    """One slide's embeddings by one model, block by block, in memory and on disk.

    Parameters
    ----------
    signature : dict
        What the numbers depend on; its digest names the folder, so that other numbers are never met.
    root : Path or None
        The cache folder; None keeps blocks in memory only.
    block, dim : int
        Entries per side of a block; length of an embedding.
    """

    def __init__(self, signature: dict[str, Any], root: Path | None, block: int, dim: int) -> None:
        self.block, self.dim = block, dim
        self._recent: OrderedDict[Index, npt.NDArray[np.float16]] = OrderedDict()
        self._values: Any = None
        self._done: Any = None
        if root is None:
            return
        text = json.dumps(signature, sort_keys=True)
        folder = root / "embeddings" / hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
        rows, columns = signature["grid"]
        blocks = -(-rows // block), -(-columns // block)
        try:
            group = zarr.open_group(folder, mode="r+")
        except (GroupNotFoundError, FileNotFoundError):
            group = zarr.open_group(folder, mode="a", attributes={"signature": signature})
        self._values = group.require_array(
            "values",
            shape=(blocks[0] * block, blocks[1] * block, dim),
            chunks=(block, block, dim),
            dtype="float16",
            fill_value=np.nan,
            compressors=[ZstdCodec(level=1)],
        )
        self._done = group.require_array("done", shape=blocks, chunks=(1, 1), dtype="uint8", fill_value=0)

    def get(self, index: Index) -> npt.NDArray[np.float16] | None:
        """Return a block (block, block, dim), NaN where not encoded, or None where nothing is."""
        found = self._recent.get(index)
        if found is None and self._done is not None and int(self._done[index]):
            found = np.asarray(self._values.blocks[(*index, 0)])
        if found is not None:
            self._remember(index, found)
        return found

    def put(self, index: Index, values: npt.NDArray[np.float16]) -> None:
        """Keep a block; its `done` mark is written after its values."""
        self._remember(index, values)
        if self._values is not None:
            self._values.blocks[(*index, 0)] = values
            self._done[index] = 1

    def _remember(self, index: Index, values: npt.NDArray[np.float16]) -> None:
        self._recent[index] = values
        self._recent.move_to_end(index)
        while len(self._recent) > BLOCKS_IN_MEMORY:
            self._recent.popitem(last=False)
