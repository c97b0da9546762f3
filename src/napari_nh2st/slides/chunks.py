"""A level that is decoded chunk by chunk, shown to everyone else as a plain zarr array."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype

Rgb = npt.NDArray[np.uint8]


class ChunkReader(Protocol):
    """One level of an image, read in equal chunks.

    Attributes
    ----------
    shape : (height, width)
        Level pixels.
    chunk : (height, width)
        Size of every chunk, those at the border included.
    """

    shape: tuple[int, int]
    chunk: tuple[int, int]

    def read_chunk(self, row: int, column: int) -> Rgb | None:
        """Return a (chunk height, chunk width, 3) uint8 array, or None if all of it is white."""


class ChunkStore(Store):
    """Read-only zarr v3 store of one array over a `ChunkReader`.

    The array holds decoded RGB, so grey, palette, RGBA and planar files look alike to napari and to `Slide.read`. A
    tile that cannot be read comes out white and raises nothing while napari draws.
    """

    def __init__(self, reader: ChunkReader) -> None:
        super().__init__(read_only=True)
        self.reader = reader
        self._meta = json.dumps(_metadata(reader)).encode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChunkStore) and other.reader is self.reader

    __hash__ = None  # type: ignore[assignment]

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return the metadata or one decoded chunk."""
        if key == "zarr.json":
            return prototype.buffer.from_bytes(self._meta)
        if not key.startswith("c/"):
            return None
        row, column = (int(part) for part in key.split("/")[1:3])
        chunk = await asyncio.to_thread(self.reader.read_chunk, row, column)
        if chunk is None:
            return None
        return prototype.buffer.from_array_like(np.ascontiguousarray(chunk).reshape(-1).view("B"))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Not used by unsharded arrays."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return True for the metadata and for the name of a chunk."""
        return key == "zarr.json" or key.startswith("c/")

    @property
    def supports_writes(self) -> bool:
        """False."""
        return False

    @property
    def supports_deletes(self) -> bool:
        """False."""
        return False

    @property
    def supports_listing(self) -> bool:
        """False."""
        return False

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse."""
        raise PermissionError("slides are read only")

    async def delete(self, key: str) -> None:
        """Refuse."""
        raise PermissionError("slides are read only")

    async def list(self) -> AsyncIterator[str]:
        """List the metadata alone."""
        yield "zarr.json"

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List nothing."""
        for key in ("zarr.json",):
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List nothing."""
        async for key in self.list_prefix(prefix):
            yield key


def _metadata(reader: ChunkReader) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [*reader.shape, 3],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*reader.chunk, 3]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 255,
        "codecs": [{"name": "bytes"}],
        "attributes": {},
        "storage_transformers": [],
    }


def as_array(reader: ChunkReader) -> zarr.Array[Any]:
    """Return a level as a lazy uint8 (H, W, 3) zarr array."""
    return zarr.open_array(ChunkStore(reader), mode="r", zarr_format=3)


def reader_of(level: zarr.Array[Any]) -> ChunkReader:
    """Return the reader behind a level that `as_array` made."""
    assert isinstance(level.store, ChunkStore)
    return level.store.reader
