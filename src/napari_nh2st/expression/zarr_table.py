"""AnnData in zarr, given to the reader of h5ad: its groups and arrays, copied into an HDF5 file in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError
from napari_nh2st.reading import reason

_PARTS = ("X", "obs", "var", "raw", "layers", "obsm")  # of an AnnData: what is read of it
_DEEPEST = 8
_SMALL, _PACKED = 64 << 20, 4096  # bytes that may be declared whatever is there, and how many times the stored ones


@contextmanager
def as_hdf5(folder: Path) -> Iterator[Any]:
    """Give a table of a zarr store as an open h5py file in memory.

    Raises
    ------
    SampleError
        If the store is damaged, or declares more than it holds.
    """
    import h5py

    with h5py.File(f"{folder}.h5", "w", driver="core", backing_store=False) as file:
        group = opened(folder)
        for name in _PARTS:
            if (node := member(folder, group, name)) is not None:
                _copy(folder / name, node, file, name, 0)
        yield file


def arrays_of(folder: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Read arrays of a group, those that are there.

    Raises
    ------
    SampleError
        If one cannot be read.
    """
    group = opened(folder)
    there = {name: member(folder, group, name) for name in names}
    return {name: _array(folder / name, node) for name, node in there.items() if node is not None}


def opened(folder: Path) -> Any:
    """Open a zarr group.

    Raises
    ------
    SampleError
        If it is damaged.
    """
    import zarr

    try:
        return zarr.open_group(str(folder), mode="r", use_consolidated=False)
    except Exception as error:
        raise SampleError(f"cannot read {folder}: {reason(error)}") from error


def member(folder: Path, group: Any, name: str) -> Any:
    """Return a member of a group; None where there is none.

    Raises
    ------
    SampleError
        If it is damaged.
    """
    try:
        return group[name]
    except KeyError:
        return None
    except Exception as error:  # whatever zarr makes of a damaged store
        raise SampleError(f"cannot read {folder / name}: {reason(error)}") from error


def _copy(folder: Path, node: Any, target: Any, name: str, depth: int) -> None:
    import h5py
    import zarr

    if depth > _DEEPEST:
        raise SampleError(f"{folder}: its groups lie more than {_DEEPEST} deep: that is not a measurement")
    if isinstance(node, zarr.Group):
        made = target.create_group(name)
        for part in sorted(p.name for p in folder.iterdir() if p.is_dir()):
            if (inner := member(folder, node, part)) is not None:
                _copy(folder / part, inner, made, part, depth + 1)
    else:
        values = _array(folder, node)
        text = h5py.string_dtype() if values.dtype.kind == "O" else None
        made = target.create_dataset(name, data=values, dtype=text)
    for key, value in node.attrs.asdict().items():
        if isinstance(value, (str, int, float, bool)):
            made.attrs[key] = value
        elif isinstance(value, list) and value:
            text = h5py.string_dtype() if all(isinstance(v, str) for v in value) else None
            made.attrs[key] = np.array(value, dtype=text)


def _array(folder: Path, node: Any) -> npt.NDArray[Any]:
    """Read an array whose declared size its files can hold; text comes as str objects."""
    try:
        declared, stored = int(node.dtype.itemsize) * int(np.prod(node.shape, dtype=object)), _stored(folder)
        if declared > max(_SMALL, _PACKED * stored):
            raise SampleError(f"{folder} claims to have {declared:,} bytes, but the store is far too small for them")
        values = np.asarray(node[...])
    except SampleError:
        raise
    except Exception as error:  # whatever zarr makes of a damaged store
        raise SampleError(f"cannot read {folder}: {reason(error)}") from error
    return values.astype(object) if values.dtype.kind in "UT" else values


def _stored(folder: Path) -> int:
    return sum((Path(place) / name).stat().st_size for place, _, names in os.walk(folder) for name in names)
