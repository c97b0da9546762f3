"""Sections in h5ad files: counts, spots, genes, what lies under tissue. Runs in a process of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import columns
from napari_nh2st.expression.columns import fold
from napari_nh2st.expression.counts import (
    Counts,
    beyond_library,
    odd_value,
    only_genes,
    others_left_out,
    part_of_library,
    totals_of,
)
from napari_nh2st.expression.frame import frame_of
from napari_nh2st.expression.hdf5 import (
    Matrix,
    Node,
    Table,
    as_texts,
    attribute,
    child,
    members,
    only_columns,
    open_checked,
    read_array,
    read_column,
    read_matrix,
    read_number,
    real,
)
from napari_nh2st.expression.patients import nobody
from napari_nh2st.expression.several_slides import several_slides

_NO_CENTRES = '{} has no obsm["spatial"]: spot centres (x, y) in pixels of the slide'
_COLUMNS = "pxl_col_in_fullres and pxl_row_in_fullres, or pixel_x and pixel_y"
_SPATIAL = ("spatial", "xspatial")  # folded
_BARCODE = re.compile(r"[ACGT]{12,}(-\d+)?")
_OF_COUNTS = ("count", "raw", "umi")  # a layer with one of these in its name may hold counts
_NOT_KNOWN = ("", "nan", "none", "na", "<na>")
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
        return read_open(file, path.name)


def read_open(file: Node, name: str) -> Counts:
    """Read a section of an open file that was checked; `name` is what it is called."""
    obs, var = child(file, "obs"), child(file, "var")
    if obs is None or var is None:
        raise SampleError(f"{name} holds no obs and var: it is not an AnnData file")
    spots = Table(obs)
    names = spots.index()
    _refuse_turned(file, name)
    where, matrix, genes = _counts(file, name, len(names))
    gene_columns, matrix, others = _genes(name, genes, matrix, Table(var))
    centres, table = _centres(file, name, spots)
    if len(centres) != len(names):
        raise SampleError(f"{name}: {len(names):,} spots, but {len(centres):,} centres")
    out = Counts(matrix.data, matrix.indices, matrix.indptr, names, gene_columns.symbols, matrix.by_columns)
    out.ids, out.centres, out.array = gene_columns.ids, centres, _array(spots)
    out.says = [*where, *others, *columns.several_genomes(genes.index()), *_exchanged(centres, spots)]
    _refuse_several_slides(file, name, spots, out)
    _read_tissue(out, [t for t in (spots, table) if t is not None])
    if not others:  # a library that the file names holds them too
        _read_library(out, spots)
    out.frame, out.slides = _frame(file, spots), _slides(file, spots)
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
        patient = named.pop() if len(named) == 1 and not any(map(nobody, named)) else ""
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
        if problem := odd_value(matrix.data) or ("" if matrix.data.any() else "all values are 0"):
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


def _refuse_turned(file: Node, name: str) -> None:
    """Raise an error where genes stand in rows and spots in columns."""
    var = child(file, "var")
    spots = Table(var).index() if var is not None else []
    barcodes = sum(_BARCODE.fullmatch(spot) is not None for spot in spots)
    if barcodes > len(spots) / 2 or any(fold(key) in _SPATIAL for key, _ in members(child(file, "varm"))):
        raise SampleError(f"{name} has genes in its rows and spots in its columns: turn it (adata.T) and save it again")


def _genes(name: str, table: Table, matrix: Matrix, var: Table) -> tuple[columns.GeneColumns, Matrix, list[str]]:
    """Sort out the genes; what is none of them (antibodies, guides) is left out, and told.

    Where the table is that of raw counts and has ids alone, as CELLxGENE's, the symbols are those of var.
    """
    texts = {c: table.texts(c) for c in table.columns if table.has_text(c)}
    names = table.index()
    known = columns.find(var.columns, columns.SYMBOLS)
    if known is not None and columns.find(texts, columns.SYMBOLS) is None and var.has_text(known):
        symbols = dict(zip(var.index(), var.texts(known), strict=True))
        texts[known] = [symbols.get(gene, "") for gene in names]
    column = columns.find(texts, ("featuretypes", "featuretype"))
    kept = None if column is None else only_genes(name, texts[column])
    if column is None or kept is None:
        return columns.genes(names, texts), matrix, []
    says = others_left_out(texts[column], kept)
    texts = {c: [v for v, gene in zip(values, kept, strict=True) if gene] for c, values in texts.items()}
    names = [n for n, gene in zip(names, kept, strict=True) if gene]
    return columns.genes(names, texts), only_columns(matrix, kept), says


def _centres(file: Node, name: str, spots: Table) -> tuple[npt.NDArray[np.float64], Table | None]:
    """Read the spot centres, and the table in which they stand, if that is not obs."""
    places = {fold(key): node for key, node in members(child(file, "obsm"))}
    node = next((places[key] for key in _SPATIAL if key in places), None)
    if node is None:
        return _centres_of_obs(name, spots, [str(n.name).rpartition("/")[2] for n in places.values()]), None
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
        raise SampleError(f"{where} is not a table: give two numbers (x, y) a spot")
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


def _centres_of_obs(name: str, spots: Table, others: list[str]) -> npt.NDArray[np.float64]:
    pair = columns.centres(spots.columns)
    if pair is None:
        there = f"; if one of obsm[{', '.join(map(repr, others[:6]))}] holds them, name it so" if others else ""
        there += f"; columns of obs with x and y are read if they are named so: {_COLUMNS}" if spots.columns else ""
        raise SampleError(_NO_CENTRES.format(name) + there)
    values = np.stack([spots.numbers(pair.x), spots.numbers(pair.y)], axis=1)
    if columns.places_of_array(values):
        raise SampleError(f"{_NO_CENTRES.format(name)}; obs has only places on the array ({pair.x}, {pair.y})")
    return values


def _exchanged(centres: npt.NDArray[np.float64], spots: Table) -> list[str]:
    """Say where obs names the same pixels the other way round."""
    pair = columns.centres(spots.columns)
    if pair is None or pair.rank > columns.PIXELS or not len(centres):
        return []
    try:
        named = np.stack([spots.numbers(pair.x), spots.numbers(pair.y)], axis=1)
    except SampleError:
        return []
    as_is, turned = (np.nanmedian(np.abs(centres - v), axis=0).max() for v in (named, named[:, ::-1]))
    if not turned < 1 < as_is:
        return []
    return [f'by obs[{pair.x!r}] and obs[{pair.y!r}], x and y of obsm["spatial"] are exchanged: which are right?']


def _array(spots: Table) -> npt.NDArray[np.float64] | None:
    """Return rows and columns on the array (n, 2), where obs has them."""
    names = [columns.find(spots.columns, (axis,)) for axis in ("arrayrow", "arraycol")]
    try:
        return np.stack([spots.numbers(name) for name in names if name is not None], axis=1) if all(names) else None
    except SampleError:
        return None


def _refuse_several_slides(file: Node, name: str, spots: Table, counts: Counts) -> None:
    """Raise an error where spots of several slides stand in one file: by their pictures, or by their places."""
    groups = {c: spots.texts(c) for c in spots.columns if fold(c) in _SLIDES}
    libraries = set(_libraries(file))
    said = ""
    for column, values in groups.items():
        there = libraries & set(values)
        if len(there) > 1:
            said = f"{len(there)} slides by obs[{column!r}] ({', '.join(sorted(there)[:4])})"
    if not said and counts.centres is not None:
        by = several_slides(counts.spots, counts.centres, counts.array, groups)
        said = by and f"several slides, whose places lie on one another, by {by}"
    if said:
        raise SampleError(f"{name} holds spots of {said}: save each in a file of its own")


def _read_tissue(counts: Counts, tables: list[Table]) -> None:
    for table in tables:
        column = columns.find(table.columns, columns.UNDER_TISSUE)
        if column is None and columns.find(table.columns, ("imagerow",)):  # as Seurat names it
            column = columns.find(table.columns, ("tissue",))
        if column is None:
            continue
        texts = table.texts(column)
        known = np.array([text.strip().casefold() not in _NOT_KNOWN for text in texts])
        values = columns.under_tissue([text for text, told in zip(texts, known, strict=True) if told])
        if values is None or not known.any():
            counts.says.append(f"{column} is ignored: it holds something other than 0 and 1")
            continue
        if not known.all():
            counts.says.append(f"{column} has no value for {int((~known).sum()):,} spots: they are left out")
        under = np.zeros(len(known), dtype=bool)
        under[known] = values
        before = counts.under_tissue
        counts.under_tissue = under if before is None else before & under


def _read_library(counts: Counts, spots: Table) -> None:
    column = columns.find(spots.columns, columns.LIBRARY)
    if column is None:
        return
    try:
        told = spots.numbers(column)
    except SampleError:
        return
    totals = totals_of(counts)
    says = part_of_library(totals, told, f'obs["{column}"]')
    if not says and fold(column).startswith("ncount"):  # of Seurat: of the assay of raw counts
        says = beyond_library(totals, told, f'obs["{column}"]')
    if says:
        counts.says.append(says)


def _libraries(file: Node) -> dict[str, Node]:
    """Return the pictures that scanpy keeps, by their names; CELLxGENE's mark `is_single` beside them is none."""
    kept = members(child(child(file, "uns"), "spatial"))
    return {name: node for name, node in kept if not hasattr(node, "dtype")}


def _frame(file: Node, spots: Table) -> dict[str, Any]:
    """Return what scanpy and HEST keep about the image, under the name of the library."""
    libraries = {name: node for name, node in _libraries(file).items() if child(node, "scalefactors") is not None}
    if len(libraries) > 1:  # of these spots, if they say which it is
        named = {v for c in spots.columns if fold(c) in _SLIDES for v in spots.texts(c)}
        libraries = {name: node for name, node in libraries.items() if name in named}
    if len(libraries) != 1:
        return {}
    (library,) = libraries.values()
    pictures = child(library, "images")
    try:
        factors = {key: read_number(node) for key, node in members(child(library, "scalefactors"))}
        return frame_of(factors, lambda name: _size(child(pictures, name)))
    except (SampleError, TypeError, ValueError):  # others keep other things there
        return {}


def _slides(file: Node, spots: Table) -> list[str]:
    """Return the names of the slide: of its one library, and what stands in columns that have one value for all."""
    libraries = list(_libraries(file))
    columns_of = [set(spots.texts(c)) for c in spots.columns if fold(c) in _SLIDES and fold(c) != "batch"]
    said = [next(iter(values)) for values in (set(libraries), *columns_of) if len(values) == 1]
    return [name for name in dict.fromkeys(said) if name.strip().casefold() not in _NOT_KNOWN]


def _size(picture: Node | None) -> tuple[int, int] | None:
    return None if picture is None or len(getattr(picture, "shape", ())) < 2 else picture.shape[:2]
