"""The folder `filtered_feature_bc_matrix` of Space Ranger: counts in Matrix Market's format, names in tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import columns
from napari_nh2st.expression.counts import GENE_EXPRESSION, Counts, only_genes, others_left_out, refuse_what_is_no_count
from napari_nh2st.reading import contents, plain_cell, read_numbers, text_of, told

if TYPE_CHECKING:
    import scipy.sparse as sp

_NAMES = 256 << 20  # bytes of a table of names
_HEAD = 64 << 10  # bytes with the first lines of a matrix
_LINE = 40  # bytes that a line of the matrix may have
_MOST = 1 << 31  # values


def read(folder: Path) -> Counts:
    """Read the counts of genes by barcode; other features (antibodies, guides) are left out.

    Raises
    ------
    SampleError
        If a file is missing, damaged, or does not fit the others.
    """
    features = _rows(folder, "features", "genes")
    barcodes = [row[0] for row in _rows(folder, "barcodes")]
    path = _file(folder, "matrix.mtx")
    ids = [row[0] for row in features]
    symbols = [row[1] if len(row) > 1 else row[0] for row in features]
    counts = _read_matrix(path, (len(features), len(barcodes)))
    kinds, says = [row[2] if len(row) > 2 else GENE_EXPRESSION for row in features], list[str]()
    genes = only_genes(folder.name, kinds)
    if genes is not None:
        says = others_left_out(kinds, genes)
        kept = np.flatnonzero(genes).tolist()
        counts = counts[:, kept]
        symbols, ids = [symbols[i] for i in kept], [ids[i] for i in kept]
    refuse_what_is_no_count(folder.name, counts.data)
    out = Counts(counts.data, counts.indices, counts.indptr, barcodes, columns.without_genomes(symbols))
    out.ids = [columns.ensembl_id(i) or i for i in ids]
    out.says = [*says, *columns.several_genomes(symbols)]
    return out


def _file(folder: Path, *names: str) -> Path:
    for name in names:
        for end in (".gz", ""):
            if (path := folder / f"{name}{end}").exists():
                return path
    raise SampleError(f"{folder} lacks {' or '.join(names)}, packed (.gz) or not")


def _rows(folder: Path, *names: str) -> list[list[str]]:
    path = _file(folder, *(f"{name}.tsv" for name in names))
    with told(path, error=SampleError):
        text = text_of(contents(path, _NAMES, unpack=True), guess=True)
    rows = [[plain_cell(cell) for cell in line.split("\t")] for line in re.split(r"\r\n|\n|\r", text) if line.strip()]
    if not rows:
        raise SampleError(f"{path} is empty")
    return rows


def _read_matrix(path: Path, names: tuple[int, int]) -> sp.csr_matrix:
    """Read counts (barcodes, features) of a file of (features, barcodes)."""
    import scipy.sparse as sp

    total, skipped = _declared(path, names)
    table = np.zeros((0, 3))
    if total:
        table = read_numbers(path, error=SampleError, columns=3, skip=skipped, most=_LINE * total + _HEAD)
    if len(table) != total:
        raise SampleError(f"{path} is damaged: it says that it has {total:,} values, but has {len(table):,}")
    at = table[:, :2]
    if not ((at >= 1) & (at <= names) & (at == np.round(at))).all():
        raise SampleError(f"{path} is damaged: a value stands outside of the matrix")
    features, barcodes = at.astype(np.int64).T - 1
    return sp.csr_matrix((table[:, 2], (barcodes, features)), shape=names[::-1])


def _declared(path: Path, names: tuple[int, int]) -> tuple[int, int]:
    """Return how many values a matrix says it has, and how many lines stand before them."""
    with told(path, error=SampleError):
        lines = text_of(contents(path, _HEAD, unpack=True, cut=True), guess=True).splitlines()
    words = lines[0].casefold().split() if lines else []
    if len(words) < 5 or words[0] != "%%matrixmarket" or words[2] != "coordinate" or words[4] != "general":
        raise SampleError(f"{path} is not a sparse matrix in Matrix Market's format")
    if words[3] not in ("integer", "real"):
        raise SampleError(f"{path} holds {words[3]} values, no counts")
    place = next((i for i, line in enumerate(lines) if not line.startswith("%")), len(lines) - 1)
    try:
        rows, columns, total = map(int, lines[place].split())
    except ValueError:
        raise SampleError(f"{path} does not say how large its matrix is") from None
    if (rows, columns) != names:
        raise SampleError(f"{path} has {rows:,} x {columns:,} places for {names[0]:,} and {names[1]:,} names")
    if not 0 <= total <= min(_MOST, rows * columns):
        raise SampleError(f"{path} cannot have {total:,} values")
    return total, place + 1
