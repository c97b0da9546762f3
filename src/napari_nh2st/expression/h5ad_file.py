"""What an h5ad file says of a section: counts, spots, genes, what lies under tissue. Runs in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import columns
from napari_nh2st.expression.columns import fold
from napari_nh2st.expression.counts import Counts, odd_value, part_of_library, totals_of
from napari_nh2st.expression.frame import frame_of
from napari_nh2st.expression.hdf5 import (
    Matrix,
    Node,
    Table,
    as_texts,
    attribute,
    child,
    members,
    open_checked,
    read_array,
    read_column,
    read_matrix,
    real,
)

_NO_CENTRES = '{} has no obsm["spatial"]: spot centres (x, y) in pixels of the slide'
_SPATIAL = ("spatial", "X_spatial")
_OF_COUNTS = ("count", "raw", "umi")  # a layer with one of these in its name may hold counts
_SLIDES = ("libraryid", "library", "sampleid", "sample", "batch", "slide", "section", "sectionid")


def read(path: Path) -> Counts:
    """Read a section.

    Raises
    ------
    SampleError
        If it keeps data elsewhere, is damaged, or lacks counts or places.
    OSError, ValueError, KeyError, RuntimeError
        Whatever h5py makes of a damaged file.
    """
    with open_checked(path) as file:
        obs, var = child(file, "obs"), child(file, "var")
        if obs is None or var is None:
            raise SampleError(f"{path.name} holds no obs and var: it is no AnnData file")
        spots = Table(obs)
        names = spots.index()
        where, matrix, genes = _counts(file, path.name, len(names))
        gene_columns = _genes(genes)
        centres, table = _centres(file, path.name, spots)
        if len(centres) != len(names):
            raise SampleError(f"{path.name}: {len(names):,} spots, but {len(centres):,} centres")
        out = Counts(matrix.data, matrix.indices, matrix.indptr, names, gene_columns.symbols, matrix.by_columns)
        out.ids, out.centres, out.says = gene_columns.ids, centres, list(where)
        _refuse_several_slides(file, path.name, spots)
        _read_tissue(out, [t for t in (spots, table) if t is not None])
        _read_library(out, spots)
        out.frame = _frame(file)
        return out


def facts(path: Path) -> dict[str, Any]:
    """Return the one patient that a file names, and whether it is a prediction that we exported."""
    with open_checked(path) as file:
        named: set[str] = set()
        obs = child(file, "obs")
        if obs is not None and "patient" in (table := Table(obs)).columns:
            named |= set(table.texts("patient"))
        uns = child(child(file, "uns"), "patient")
        if uns is not None:
            named |= {_text(uns)} if getattr(uns, "shape", None) == () else set(as_texts(read_column(uns)))
        named = {name.strip() for name in named}
        patient = named.pop() if len(named) == 1 and not named & {"", "nan"} else ""
        return {"patient": patient, "prediction": child(child(child(file, "uns"), "nh2st"), "content") is not None}


def _text(node: Node) -> str:
    value = read_array(node, 0)[()]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _matrices(file: Node) -> Iterator[tuple[str, Node, Node]]:
    """Iterate over what may hold counts, with its table of genes: first what is called so."""
    layers = dict(members(child(file, "layers")))
    first = [name for name in layers if fold(name) in ("counts", "count", "rawcounts")]
    more = [n for n in layers if n not in first and any(word in fold(n) for word in _OF_COUNTS)]
    raw = child(file, "raw")
    raw_x, raw_var = (child(raw, "X"), child(raw, "var")) if raw is not None else (None, None)
    if raw is None:
        raw_x, raw_var = child(file, "raw.X"), child(file, "raw.var")
    places = [(f'layers["{n}"]', layers[n], file["var"]) for n in first]
    places += [("X", child(file, "X"), file["var"]), ("raw", raw_x, raw_var)]
    places += [(f'layers["{n}"]', layers[n], file["var"]) for n in more]
    yield from ((name, node, var) for name, node, var in places if node is not None and var is not None)


def _counts(file: Node, name: str, spots: int) -> tuple[list[str], Matrix, Table]:
    """Choose among the matrices of whole numbers the one with most genes, and say so where it is not the first."""
    best: tuple[str, Matrix, Table] | None = None
    odd, whole = [], []
    for where, node, var in _matrices(file):
        if attribute(node, "encoding-type") == "null":
            continue
        table = Table(var)
        size = len(table.index())
        if best is not None and size <= best[1].shape[1]:
            continue
        matrix = read_matrix(node, spots, size)
        if problem := odd_value(matrix.data) or ("" if matrix.data.any() else "there is none in it"):
            odd.append(problem)
            continue
        if best is not None and matrix.data.max(initial=0) <= 1 < best[1].data.max(initial=0):
            continue  # only tells which genes were seen
        whole.append(f"{where} ({size:,} genes)")
        best = (where, matrix, table)
    if best is None:
        if not odd:
            raise SampleError(f"{name} holds no counts")
        raise SampleError(f"{name} holds no raw counts (whole numbers, 0 and up): {odd[0]}")
    says = [] if len(whole) < 2 else [f"of {' and '.join(whole)} the counts of most genes are taken: {best[0]}"]
    return says, best[1], best[2]


def _genes(table: Table) -> columns.GeneColumns:
    return columns.genes(table.index(), {c: table.texts(c) for c in table.columns if table.has_text(c)})


def _centres(file: Node, name: str, spots: Table) -> tuple[npt.NDArray[np.float64], Table | None]:
    """Read the spot centres, and the table in which they stand, if that is not obs."""
    obsm = child(file, "obsm")
    node = next((n for key in _SPATIAL if (n := child(obsm, key)) is not None), None)
    if node is None:
        return _centres_of_obs(name, spots), None
    where = f"{name}: obsm[{str(node.name).rpartition('/')[2]!r}]"
    if hasattr(node, "dtype") and not node.dtype.names:
        values = real(read_array(node), where)
        if values.ndim != 2 or values.shape[1] < 2:
            raise SampleError(f"{where} has shape {values.shape}, not two numbers (x, y) a spot")
        return values[:, :2], None
    if hasattr(node, "dtype"):
        fields = read_array(node).reshape(-1)  # (n, 1) from anndata
        return columns.centres_of_table(fields.dtype.names or (), lambda n: real(fields[n], where), where), None
    if attribute(node, "encoding-type") not in ("dataframe", None):
        raise SampleError(f"{where} is no table: give two numbers (x, y) a spot")
    table = Table(node)
    values = columns.centres_of_table(_in_order(table, node), table.numbers, where)
    order = _order(spots.index(), table.index(), where)
    return (values if order is None else values[order]), (table if order is None else None)


def _in_order(table: Table, node: Node) -> list[str]:
    """Return a table's columns as they were written; the file sorts them."""
    written = attribute(node, "column-order")
    if written is None:
        return table.columns
    names = [n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in np.atleast_1d(written)]
    return [n for n in names if n in table.columns]


def _order(spots: list[str], rows: list[str], where: str) -> list[int] | None:
    """Return which row belongs to which spot; None where they are in the same order already."""
    if spots == rows:
        return None
    place = {row: i for i, row in enumerate(rows)}
    if len(place) != len(spots) or not set(spots) <= place.keys():
        raise SampleError(f"{where} names other spots than obs")
    return [place[spot] for spot in spots]


def _centres_of_obs(name: str, spots: Table) -> npt.NDArray[np.float64]:
    pair = columns.centres(spots.columns)
    if pair is None:
        raise SampleError(_NO_CENTRES.format(name))
    values = np.stack([spots.numbers(pair.x), spots.numbers(pair.y)], axis=1)
    if columns.places_of_array(values):
        raise SampleError(f"{_NO_CENTRES.format(name)}; obs has only places on the array ({pair.x}, {pair.y})")
    return values


def _refuse_several_slides(file: Node, name: str, spots: Table) -> None:
    """Raise an error where spots of several slides, each with a picture of its own, stand in one file."""
    libraries = {library for library, _ in members(child(child(file, "uns"), "spatial"))}
    if len(libraries) < 2:
        return
    for column in spots.columns:
        there = libraries & set(spots.texts(column)) if fold(column) in _SLIDES else set()
        if len(there) > 1:
            raise SampleError(
                f"{name} holds spots of {len(there)} slides by obs[{column!r}] ({', '.join(sorted(there)[:4])}): "
                "save each in a file of its own"
            )


def _read_tissue(counts: Counts, tables: list[Table]) -> None:
    for table in tables:
        column = columns.find(table.columns, columns.UNDER_TISSUE)
        if column is None:
            continue
        values = columns.under_tissue(table.texts(column))
        if values is None:
            counts.says.append(f"{column} says something else than 0 and 1, and is ignored")
        else:
            before = counts.under_tissue
            counts.under_tissue = values if before is None else before & values


def _read_library(counts: Counts, spots: Table) -> None:
    column = columns.find(spots.columns, columns.LIBRARY)
    if column is None:
        return
    try:
        told = spots.numbers(column)
    except SampleError:
        return
    if says := part_of_library(totals_of(counts), told, f'obs["{column}"]'):
        counts.says.append(says)


def _frame(file: Node) -> dict[str, Any]:
    """Return what scanpy and HEST keep about the image, under the name of the library."""
    for _, library in members(child(child(file, "uns"), "spatial")):
        pictures = child(library, "images")
        try:
            factors = {key: float(read_array(node, 0)) for key, node in members(child(library, "scalefactors"))}
            return frame_of(factors, lambda name: _size(child(pictures, name)))  # noqa: B023 - called here and now
        except (SampleError, TypeError, ValueError):  # others keep other things there
            return {}
    return {}


def _size(picture: Node | None) -> tuple[int, int] | None:
    return None if picture is None or len(getattr(picture, "shape", ())) < 2 else picture.shape[:2]
