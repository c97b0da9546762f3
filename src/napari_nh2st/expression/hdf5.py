"""HDF5 files that nobody vouches for: read only in a process of its own (`apart`), and only what was checked before.

An HDF5 file can take its bytes from other files, link to them, link in circles, and declare sizes that it does not
have; a damaged one can hang or crash the library. h5py and NumPy only: the process must start fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError

_DEEPEST, _MOST_OBJECTS = 64, 100_000
_SMALL = 64 << 20  # bytes that may be declared whatever lies in the file
_PACKED = 4096  # times that a dataset may be larger than its bytes in the file; deflate cannot do more than 1,032
_BLOCK = 4 << 20  # cells of a dense matrix that are read at once
_TEXT = ("O", "S", "U")
_EXACT = 2**53  # whole numbers below are exact as floating ones
Node = Any  # an h5py.Group or h5py.Dataset; h5py has no types


@dataclass(frozen=True)
class Matrix:
    """Counts in compressed rows (spots, genes) or, if `by_columns`, in compressed columns.

    Attributes
    ----------
    data : (nnz,) numbers
    indices : (nnz,) int32
    indptr : (n + 1,) int64
    shape : (spots, genes)
    """

    data: npt.NDArray[Any]
    indices: npt.NDArray[np.int32]
    indptr: npt.NDArray[np.int64]
    shape: tuple[int, int]
    by_columns: bool = False

    def turned(self) -> Matrix:
        """Return the transposed matrix; nothing is copied."""
        return Matrix(self.data, self.indices, self.indptr, self.shape[::-1], not self.by_columns)


def open_checked(path: Path) -> h5py.File:
    """Open a file that keeps all it says in itself.

    Raises
    ------
    SampleError
        If it links anywhere, or takes bytes from another file.
    OSError
        If it is not an HDF5 file.
    """
    file = h5py.File(path, "r")
    try:
        _check(file)
    except BaseException:
        file.close()
        raise
    return file


def _check(file: h5py.File) -> None:
    """Walk over all objects without following a link."""
    visited: set[tuple[int, int]] = set()
    waiting: list[tuple[Any, str, int]] = [(file.id, "", 0)]
    while waiting:
        group, place, depth = waiting.pop()
        if depth > _DEEPEST:
            raise SampleError(f"its groups lie more than {_DEEPEST} deep: that is not a measurement")
        names: list[bytes] = []
        group.links.iterate(names.append)
        for name in names:
            where = f"{place}/{name.decode('utf-8', 'replace')}".lstrip("/")
            if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                raise SampleError(f"{where} is a link: save the file again with what it links to in it")
            info = h5py.h5o.get_info(group, name)
            if (info.fileno, info.addr) in visited:
                continue
            visited.add((info.fileno, info.addr))
            if len(visited) > _MOST_OBJECTS:
                raise SampleError(f"it holds more than {_MOST_OBJECTS:,} objects: that is not a measurement")
            item = h5py.h5o.open(group, name)
            if isinstance(item, h5py.h5g.GroupID):
                waiting.append((item, where, depth + 1))
            elif isinstance(item, h5py.h5d.DatasetID):
                _check_storage(item, where)


def _check_storage(dataset: Any, where: str) -> None:
    made = dataset.get_create_plist()
    if made.get_external_count():
        raise SampleError(f"{where} keeps its data in another file: save it again as one file")
    if made.get_layout() == h5py.h5d.VIRTUAL:
        raise SampleError(f"{where} is put together from other files: save it again as one file")


def child(group: Node, name: str) -> Node | None:
    """Return a member of a group, or None."""
    return group[name] if isinstance(group, h5py.Group) and name in group else None


def attribute(node: Node, name: str) -> Any:
    """Return an attribute, text as str, one alone not as a list (R writes that); None where it is not there."""
    value = node.attrs.get(name)
    value = value.reshape(-1)[0] if isinstance(value, np.ndarray) and value.size == 1 else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def read_array(node: Node, ndim: int | None = None) -> npt.NDArray[Any]:
    """Read a dataset whose declared size the file can hold.

    Raises
    ------
    SampleError
        If it declares more, or has another number of axes.
    """
    if not isinstance(node, h5py.Dataset):
        raise SampleError(f"{_name(node)} is not an array")
    _check_size(node)
    if ndim is not None and node.ndim != ndim:
        raise SampleError(f"{_name(node)} has {node.ndim} axes instead of {ndim}")
    return np.asarray(node[()])


def _check_size(node: Node) -> None:
    itemsize, stored = node.dtype.itemsize, node.id.get_storage_size()
    most = max(_SMALL, _PACKED * stored)
    parts = [node.shape or (), node.chunks or ()]
    if any(itemsize * float(np.prod(part, dtype=np.float64)) > most for part in parts):
        shape = " x ".join(f"{n:,}" for n in node.shape)
        raise SampleError(f"{_name(node)} claims to have {shape} values, but the file is far too small for them")


def _name(node: Node) -> str:
    return str(node.name or "a part of it").lstrip("/")


def as_texts(values: npt.NDArray[Any]) -> list[str]:
    """Return values as text; an empty text where there is none."""
    if values.dtype.kind in "SO":
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else "" if v is None else str(v) for v in values]
    return [str(v) for v in values.tolist()]


def read_column(node: Node, categories: Node | None = None) -> npt.NDArray[Any]:
    """Read a column of a table (n,) as anndata of any age writes it.

    Parameters
    ----------
    node : dataset or group
    categories : dataset, optional
        Where they are kept apart, as anndata before 0.8 did.
    """
    if isinstance(node, h5py.Dataset):
        column = read_array(node, 1)
        return column if categories is None else _of_categories(column, read_array(categories, 1))
    codes, names = child(node, "codes"), child(node, "categories")
    if codes is not None and names is not None:
        return _of_categories(read_array(codes, 1), read_column(names))
    values, mask = child(node, "values"), child(node, "mask")
    if values is None or mask is None:
        raise SampleError(f"{_name(node)} is not a column of a table")
    out = read_array(values, 1)
    absent = read_array(mask, 1).astype(bool)
    if out.shape != absent.shape:
        raise SampleError(f"{_name(node)}: values and mask differ in length")
    if absent.any():
        out = out.astype(object if out.dtype.kind in _TEXT else np.float64)
        out[absent] = None if out.dtype.kind == "O" else np.nan
    return out


def _of_categories(codes: npt.NDArray[Any], names: npt.NDArray[Any]) -> npt.NDArray[Any]:
    codes = whole(codes, "categories without whole numbers as codes").astype(np.int64)
    if len(codes) and (codes.max() >= len(names) or codes.min() < -1):
        raise SampleError("a column names a category that is not there")
    found: npt.NDArray[Any] = np.append(names.astype(object), [None])[codes]
    return found


class Table:
    """A table of the file (obs, var, a table in obsm): its index and its columns, each read when it is asked for."""

    def __init__(self, node: Node) -> None:
        self._record: npt.NDArray[Any] | None = None
        self.name = _name(node)
        if isinstance(node, h5py.Dataset) and node.dtype.names:  # anndata before 0.7
            self._record = read_array(node, 1)
            self._index = next((n for n in ("index", "_index") if n in node.dtype.names), node.dtype.names[0])
            self.columns = [n for n in node.dtype.names if n != self._index]
        elif isinstance(node, h5py.Group):
            self._index = str(attribute(node, "_index") or "_index")
            self._index = self._index if self._index in node else "index"
            self.columns = [n for n in node if n not in (self._index, "__categories")]
        else:
            raise SampleError(f"{self.name} is not a table")
        self._node = node

    def index(self) -> list[str]:
        """Return the names of the rows."""
        if self._record is None and self._index not in self._node:
            raise SampleError(f"{self.name} has no names of its rows")
        return self.texts(self._index)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column (n,)."""
        if self._record is not None:
            return np.asarray(self._record[name])
        kept_apart = child(self._node, "__categories")
        return read_column(self._node[name], None if kept_apart is None else child(kept_apart, name))

    def texts(self, name: str) -> list[str]:
        """Return a column as text."""
        return as_texts(self.column(name))

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """Return a column (n,) float64.

        Raises
        ------
        SampleError
            If it holds no numbers.
        """
        values = self.column(name)
        try:
            if values.dtype.kind in _TEXT:
                return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
            return real(values, f"{self.name}[{name!r}]")
        except (TypeError, ValueError):
            raise SampleError(f"{self.name}[{name!r}] holds no numbers") from None

    def has_text(self, name: str) -> bool:
        """Tell whether a column may hold text; nothing is read."""
        if self._record is not None:
            return self._record[name].dtype.kind in _TEXT
        node = self._node[name]
        if isinstance(node, h5py.Group):
            return child(node, "categories") is not None or attribute(node, "encoding-type") == "nullable-string-array"
        return node.dtype.kind in _TEXT or child(self._node, "__categories") is not None


def whole(values: npt.NDArray[Any], otherwise: str) -> npt.NDArray[Any]:
    """Return whole numbers of any type, such as R's, which are all floating, as integers.

    Raises
    ------
    SampleError
        Saying `otherwise`, if one is not.
    """
    if values.dtype.kind == "f" and (np.abs(values) < _EXACT).all() and (values == np.round(values)).all():
        return values.astype(np.int64)
    if values.dtype.kind not in "iu":
        raise SampleError(otherwise)
    return values


def read_number(node: Node) -> float:
    """Read a dataset of one number, whether or not it is a list.

    Raises
    ------
    SampleError
        If there are more, or it is none.
    """
    values = read_array(node)
    if values.size != 1:
        raise SampleError(f"{_name(node)} holds {values.size:,} values instead of one")
    return float(real(values, _name(node)).reshape(-1)[0])


def real(values: npt.NDArray[Any], where: str) -> npt.NDArray[np.float64]:
    """Return numbers as float64.

    Raises
    ------
    SampleError
        If they are complex, or no numbers.
    """
    if values.dtype.kind not in "iufb":
        kind = "complex numbers" if values.dtype.kind == "c" else "no numbers"
        raise SampleError(f"{where} holds {kind}")
    return values.astype(np.float64)


def read_matrix(node: Node, rows: int, columns: int) -> Matrix:
    """Read a matrix, dense or sparse, of which every index is checked.

    Parameters
    ----------
    node : dataset or group
    rows, columns : int
        As the tables beside it say.

    Raises
    ------
    SampleError
        If the shape is another one, or it is damaged.
    """
    if isinstance(node, h5py.Dataset):
        if node.shape == (columns, rows) != (rows, columns):
            raise SampleError(
                f"{_name(node)} has genes in its rows and spots in its columns: turn it, and save it again"
            )
        if node.shape != (rows, columns):
            raise SampleError(
                f"{_name(node)} has the shape {node.shape}, but there are {rows:,} spots and {columns:,} genes"
            )
        return _read_dense(node)
    kind = str(attribute(node, "encoding-type") or attribute(node, "h5sparse_format") or "")
    shape = attribute(node, "shape")
    shape = attribute(node, "h5sparse_shape") if shape is None else shape
    return read_sparse(node, shape, (rows, columns), kind.startswith("csc"))


def read_sparse(node: Node, shape: Any, expected: tuple[int, int], by_columns: bool) -> Matrix:
    """Read the arrays data, indices and indptr of a group, and check them in full.

    Raises
    ------
    SampleError
    """
    parts = [child(node, name) for name in ("data", "indices", "indptr")]
    name = _name(node)
    if None in parts:
        raise SampleError(f"{name} is not a matrix: it lacks data, indices or indptr")
    shape = np.atleast_1d(np.asarray(shape)) if shape is not None else np.array(expected)
    differs = f"{name} has the shape {shape.tolist()}, but there are {expected[0]:,} and {expected[1]:,} names"
    if tuple(whole(shape, differs).tolist()) != expected:
        raise SampleError(differs)
    data, indices, indptr = (read_array(part, 1) for part in parts)
    indices, indptr = (whole(v, f"{name} is damaged: its indices are not whole numbers") for v in (indices, indptr))
    across, along = expected[::-1] if by_columns else expected
    _check_sparse(name, data, indices, indptr, across, along)
    return Matrix(data, indices.astype(np.int32), indptr.astype(np.int64), expected, by_columns)


def _check_sparse(
    name: str, data: npt.NDArray[Any], indices: npt.NDArray[Any], indptr: npt.NDArray[Any], across: int, along: int
) -> None:
    """Check that compressed rows point where something is; `across` rows of `along` places."""
    steps = np.diff(indptr.astype(np.int64))
    fits = len(indptr) == across + 1 and len(data) == len(indices)
    if not fits or indptr[0] != 0 or indptr[-1] != len(data) or (steps < 0).any():
        raise SampleError(f"{name} is damaged: its parts (data, indices, indptr) do not belong together")
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= along):
        raise SampleError(f"{name} is damaged: an index lies outside of the matrix")


def _read_dense(node: Node) -> Matrix:
    """Read a dense matrix by blocks of rows and keep what is not 0."""
    _check_size(node)
    rows, columns = node.shape
    if node.dtype.kind not in "iufbc":
        raise SampleError(f"{_name(node)} holds no numbers")
    together = node.chunks[0] if node.chunks else 1  # rows that are unpacked together
    step = together * max(1, _BLOCK // max(columns * together, 1))
    data, indices, lengths = [], [], []
    for start in range(0, rows, step):
        block = np.asarray(node[start : start + step])
        at = np.nonzero(block)
        data.append(block[at])
        indices.append(at[1].astype(np.int32))
        lengths.append(np.bincount(at[0], minlength=len(block)))
    indptr = np.concatenate([[0], *(np.asarray(n) for n in lengths)]).cumsum().astype(np.int64)
    return Matrix(_joined(data, node.dtype), _joined(indices, np.int32), indptr, (rows, columns))


def _joined(parts: Sequence[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def only_columns(matrix: Matrix, kept: npt.NDArray[np.bool_]) -> Matrix:
    """Return a matrix (spots, genes) with only some of its genes."""
    shape = (matrix.shape[0], int(kept.sum()))
    if matrix.by_columns:
        lengths = np.diff(matrix.indptr)
        there = np.repeat(kept, lengths)
        ends = np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64)
        return Matrix(matrix.data[there], matrix.indices[there], ends, shape, by_columns=True)
    place = np.cumsum(kept) - 1
    there = kept[matrix.indices]
    ends = np.concatenate([[0], np.cumsum(there)])[matrix.indptr].astype(np.int64)
    return Matrix(matrix.data[there], place[matrix.indices[there]].astype(np.int32), ends, shape)


def members(node: Node | None) -> Iterator[tuple[str, Node]]:
    """Iterate over the members of a group; none of what is no group."""
    if isinstance(node, h5py.Group):
        yield from node.items()
