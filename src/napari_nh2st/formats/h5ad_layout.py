"""AnnData's layout on disk, written with h5py alone.

Loading AnnData with pandas takes longer than predicting a small slide, and writing needs neither. The layout (AnnData's
"on-disk format", https://anndata.readthedocs.io) names each element's encoding in its attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import h5py

_GROUPS = ("layers", "obsm", "obsp", "varm", "varp", "uns")
_PICTURE = (256, 256, 3)  # all colours of a pixel in one piece: smaller and faster than plane by plane


@dataclass(frozen=True)
class Frame:
    """A table: a name for each of its n rows, and columns.

    Attributes
    ----------
    name : str
        Of the index.
    index : sequence of str
        (n,)
    columns : dict of (n,) arrays
        Numbers, or texts of dtype object.
    """

    name: str
    index: Sequence[str]
    columns: Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Parts:
    """The parts of an AnnData but for X, as plain values: ``obsm`` has arrays, ``uns`` what `plain_values` returns."""

    obs: Frame
    var: Frame
    obsm: Mapping[str, npt.NDArray[Any]]
    uns: Mapping[str, Any]


def write_parts(file: h5py.File, parts: Parts) -> None:
    """Write everything but X into an empty file."""
    _encode(file, "anndata", "0.1.0")
    for name, frame in (("obs", parts.obs), ("var", parts.var)):
        _write_frame(file, name, frame)
    filled: dict[str, Mapping[str, Any]] = {"obsm": parts.obsm, "uns": parts.uns}
    for name in _GROUPS:
        _write(file, name, filled.get(name, {}))


def write_rows(file: h5py.File, name: str, shape: tuple[int, int], side: int) -> h5py.Dataset:
    """Make a dense table of float32 that is filled later, in pieces of `side` rows and columns."""
    chunks = min(side, shape[0]), min(side, shape[1])
    table = file.create_dataset(name, shape, np.float32, chunks=chunks, compression="gzip")
    _encode(table, "array", "0.2.0")
    return table


def _write_frame(group: h5py.Group, name: str, frame: Frame) -> None:
    made = group.create_group(name)
    _encode(made, "dataframe", "0.2.0")
    made.attrs["_index"] = frame.name
    made.attrs["column-order"] = np.array(list(frame.columns), dtype=object)
    for column, values in ((frame.name, np.array(frame.index, dtype=object)), *frame.columns.items()):
        _write(made, column, values)


def _write(group: h5py.Group, name: str, value: Any) -> None:
    import h5py

    if isinstance(value, Mapping):
        made = group.create_group(name)
        _encode(made, "dict", "0.1.0")
        for key, part in value.items():
            _write(made, key, part)
    elif isinstance(value, np.ndarray) and value.ndim:
        texts = value.dtype == object
        chunks = tuple(map(min, value.shape, _PICTURE)) if value.ndim == 3 else None
        settings: dict[str, Any] = {"dtype": h5py.string_dtype()} if texts else {}
        if value.size:
            settings |= {"compression": "gzip", "chunks": chunks, "compression_opts": 1 if chunks else 4}
        _encode(group.create_dataset(name, data=value, **settings), "string-array" if texts else "array", "0.2.0")
    elif isinstance(value, str):
        _encode(group.create_dataset(name, data=value, dtype=h5py.string_dtype()), "string", "0.2.0")
    else:
        _encode(group.create_dataset(name, data=value), "numeric-scalar", "0.2.0")


def _encode(element: Any, kind: str, version: str) -> None:
    element.attrs.update({"encoding-type": kind, "encoding-version": version})
