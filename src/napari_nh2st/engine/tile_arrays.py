"""Arrays over a lattice as files: zarr v3, one zstd file a chunk, each of them there as a whole or not at all.

Any zarr library reads them. We do it ourselves because nothing in a file is believed: the user of an array says what it
looks like, its zarr.json must say the same, a chunk has the size that follows from it, and only plain files are opened.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from napari_nh2st.reading import contents, parse_json

METADATA = "zarr.json"
_LEVEL = 1
_SLACK = 4096  # what zstd and a file's frame may add to data that do not shrink
_DRAFT = ".part"

Place = tuple[int, ...]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ArraySpec:
    """Shape, chunks and kind of an array.

    Attributes
    ----------
    shape, chunks : tuple of int
    dtype : {"float16", "float32", "uint8", "uint32", "uint64"}
    fill : int or float
        The value where there is no chunk.
    """

    shape: Place
    chunks: Place
    dtype: str
    fill: float = 0

    @property
    def metadata(self) -> dict[str, Any]:
        """The content of the array's zarr.json."""
        filled: Any = "NaN" if math.isnan(self.fill) else float(self.fill) if "float" in self.dtype else int(self.fill)
        order = {} if self.dtype == "uint8" else {"configuration": {"endian": "little"}}
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.chunks)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": filled,
            "codecs": [
                {"name": "bytes", **order},
                {"name": "zstd", "configuration": {"level": _LEVEL, "checksum": False}},
            ],
            "attributes": {},
        }

    @property
    def chunk_grid(self) -> Place:
        """Number of chunks along each axis."""
        return tuple(-(-n // chunk) for n, chunk in zip(self.shape, self.chunks, strict=True))

    def empty_chunk(self) -> Array:
        """Return a chunk without values."""
        return np.full(self.chunks, self.fill, dtype=self.dtype)


class ArrayFolder:
    """One array on disk.

    Parameters
    ----------
    path : Path
    spec : ArraySpec
    """

    def __init__(self, path: Path, spec: ArraySpec) -> None:
        self.path, self.spec = path, spec
        self._dtype = np.dtype(spec.dtype).newbyteorder("<")
        self._bytes = math.prod(spec.chunks) * self._dtype.itemsize

    def write_metadata(self) -> None:
        """Write zarr.json."""
        write_json(self.path / METADATA, self.spec.metadata)

    def is_as_described(self) -> bool:
        """Tell whether zarr.json says what it should."""
        return bool(read_json(self.path / METADATA, 1 << 16) == self.spec.metadata)

    def file(self, place: Place) -> Path:
        """Return the file of a chunk; axes that `place` does not name are not divided."""
        return self.path.joinpath("c", *map(str, place + (0,) * (len(self.spec.shape) - len(place))))

    def read(self, place: Place) -> Array | None:
        """Return a chunk; None where it is missing or cannot be decoded.

        Raises
        ------
        OSError
            If the file is there and cannot be read.
        """
        packed = read_plain_file(self.file(place), self._bytes + self._bytes // 128 + _SLACK)
        if not packed:
            return None
        try:
            data = imagecodecs.zstd_decode(packed, out=bytearray(self._bytes))
        except (ValueError, RuntimeError, TypeError):  # RuntimeError: imagecodecs' own errors
            return None
        if len(data) != self._bytes:
            return None
        return np.frombuffer(bytearray(data), dtype=self._dtype).reshape(self.spec.chunks).astype(self.spec.dtype)

    def write(self, place: Place, values: Array) -> None:
        """Write a chunk in one step."""
        packed = imagecodecs.zstd_encode(values.astype(self._dtype, copy=False).tobytes(), level=_LEVEL)
        write_bytes(self.file(place), bytes(packed))

    def remove(self, place: Place) -> None:
        """Take a chunk away, whatever has its name."""
        _clear(self.file(place))


def read_plain_file(path: Path, most: int) -> bytes | None:
    """Read a file; None where it is missing, larger than it can be, or no plain file (a pipe would wait for ever).

    Raises
    ------
    OSError
        If the file is there and cannot be read.
    """
    try:
        return contents(path, most)
    except OSError:
        if path.is_file() and path.stat().st_size <= most:
            raise
        return None


def read_json(path: Path, most: int) -> Any:
    """Read a JSON file; None where it is missing, larger than it can be, or damaged.

    Raises
    ------
    OSError
        If the file is there and cannot be read.
    """
    data = read_plain_file(path, most)
    try:
        return None if data is None else parse_json(data, infinite=True)
    except ValueError:
        return None


def write_json(path: Path, document: Any) -> None:
    """Write a JSON file in one step."""
    write_bytes(path, json.dumps(document, indent=1).encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file in one step."""
    draft = path.with_name(f".{secrets.token_hex(4)}{_DRAFT}")
    try:
        try:
            draft.write_bytes(data)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            _make_folder(path.parent)
            draft.write_bytes(data)
        if path.is_dir():
            _clear(path)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise


def remove_drafts(folder: Path) -> None:
    """Remove what a killed process has left in a folder of arrays. Nobody may be writing there."""
    for draft in folder.rglob(f".*{_DRAFT}"):
        with suppress(OSError):
            draft.unlink()


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # a file where a folder belongs, or a link in a circle
        if error.errno not in (errno.EEXIST, errno.ENOTDIR, errno.ELOOP):
            raise
        for part in (path, *path.parents):
            if os.path.lexists(part) and not part.is_dir():
                part.unlink()
                break
        path.mkdir(parents=True, exist_ok=True)


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
