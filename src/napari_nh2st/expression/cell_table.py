"""Cells in two tables, counts by gene and positions, as MERSCOPE (`cell_by_gene`) and CosMx (`exprMat_file`) write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import columns
from napari_nh2st.expression.cosmx_pixel import POSITIONS, guessed_pixel, told_pixel
from napari_nh2st.expression.counts import SAYS, Counts
from napari_nh2st.expression.pool import GUESS, MPP
from napari_nh2st.expression.positions import (
    UNNAMED,
    at_positions,
    headed,
    named_columns,
    names_of,
    numbers_of,
    read_headed,
)
from napari_nh2st.expression.spot_csv import numbers
from napari_nh2st.expression.transform_files import UNPLACED
from napari_nh2st.reading import read_frame_parts

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

# Probes and codes that stand for no gene: blanks of MERSCOPE, negative probes and false codes of CosMx.
_CONTROL = re.compile(
    r"(blank|negprb|negative|negcontrol|systemcontrol|falsecode)([-_ ]?\w*\d\w*)|(blank|neg_?control)[-_].+",
    re.IGNORECASE,
)
_WANTED = (
    "its cells are in {} of the assay's own image, not on the H&E: give a matrix or landmarks in the column transform"
)


class _Maker(NamedTuple):
    """Names of the files and columns of one maker; each column by the names that it may have, lower case."""

    counts: str
    cells: str
    names: Sequence[Sequence[str]]
    x: Sequence[str]
    y: Sequence[str]
    unit: str
    mpp: float | None = None


_CELL = (("cell", "cell_id", "entityid", *UNNAMED),)
_MAKERS = (
    _Maker("cell_by_gene", "cell_metadata", _CELL, ("center_x",), ("center_y",), "micrometres", 1.0),
    _Maker(
        *("exprMat_file", "metadata_file", (("fov",), ("cell_id",))),
        *(("centerx_global_px",), ("centery_global_px",), "pixels"),
    ),
)
_ENDS = (".csv", ".csv.gz")
_PART = 16_000_000  # values of the table of counts that are in memory at once, with their zeros


def cell_table_folder(path: Path) -> Path | None:
    """Return the folder of two such tables that a path means, itself or that of its table of counts; else None."""
    if path.is_dir():
        return path if _tables(path) is not None else None
    counts = any(path.name.endswith(maker.counts + end) for maker in _MAKERS for end in _ENDS)
    return path.parent if counts and _tables(path.parent) is not None else None


def read_cell_table(expression: Path, spots: Path | None) -> ad.AnnData:
    """Read a folder with counts of cells by gene, and with their centres.

    Returns
    -------
    AnnData
        Raw counts by cell, without control probes; ``obsm["spatial"]`` centres (x, y) in pixels of ``uns["mpp"]``
        micrometres, or of ``uns["mpp_guess"]``; ``uns["unplaced"]``, what is needed to lay them on the H&E.

    Raises
    ------
    SampleError
        If a file or a column is missing.
    """
    found = _tables(expression)
    if found is None:
        raise SampleError(
            f"{expression} holds no cells: it needs cell_by_gene.csv and cell_metadata.csv, or CosMx's ..._exprMat_file"
            ".csv and ..._metadata_file.csv"
        )
    maker, counted, placed = found
    counts, cells = _counts(counted, maker), read_headed(placed)
    x, y = named_columns(cells, (maker.x, maker.y), placed.name)
    data = at_positions(
        counts,
        _names(cells, named_columns(cells, maker.names, placed.name)),
        numbers_of(cells, (x, y), placed.name),
        (counted.name, placed.name),
        "cells",
    )
    data.uns[UNPLACED] = _WANTED.format(maker.unit)
    if maker.mpp is not None:
        data.uns[MPP] = maker.mpp
    else:
        _find_pixel(data, expression, cells)
    return data


def _find_pixel(data: ad.AnnData, folder: Path, cells: pd.DataFrame) -> None:
    """Enter the pixel size of CosMx, and where it comes from."""
    path = next((p for end in _ENDS for p in sorted(folder.glob(f"*{POSITIONS}{end}"))), None)
    told = None if path is None else told_pixel(path)
    if told is None or path is None:
        data.uns[GUESS] = guessed_pixel(cells)
        return
    data.uns[MPP] = told
    data.uns[SAYS] = [
        *data.uns[SAYS],
        f"a pixel has {told:.5g} µm by {path.name}, which has places in pixels and in mm",
    ]


def _tables(folder: Path) -> tuple[_Maker, Path, Path] | None:
    """Return the maker, the counts and the positions, where a folder has one of each."""
    for maker in _MAKERS:
        pair = [
            [p for end in _ENDS for p in sorted(folder.glob(f"*{name}{end}"))] for name in (maker.counts, maker.cells)
        ]
        if all(len(there) == 1 for there in pair):
            return maker, pair[0][0], pair[1][0]
    return None


def _counts(path: Path, maker: _Maker) -> Counts:
    """Read counts part by part, and keep what is not 0."""
    import scipy.sparse as sp

    names: list[str] = []
    parts: list[sp.csr_matrix] = []
    named: list[str] = []
    columns_of_genes: list[str] = []
    controls: list[str] = []
    for table in map(headed, read_frame_parts(path, error=SampleError, values=_PART)):
        if table.empty:
            continue
        if not parts:
            named = named_columns(table, maker.names, path.name)
            columns_of_genes, controls = _sorted(table, named)
        names += _names(table, named)
        parts.append(sp.csr_matrix(numbers(table[columns_of_genes], path)))
    if not names:
        raise SampleError(f"{path.name} has no cells")
    genes = columns.genes([str(c) for c in columns_of_genes], {})
    counts = sp.vstack(parts, format="csr")
    out = Counts(counts.data, counts.indices, counts.indptr, names, genes.symbols, ids=genes.ids)
    if controls:
        first = ", ".join(controls[:3]) + ("…" if len(controls) > 3 else "")
        out.says = [f"{len(controls):,} control probes are left out ({first})"]
    return out


def _sorted(table: pd.DataFrame, named: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the columns that are genes, and those of control probes."""
    rest = [c for c in table.columns if c not in named]
    numbered = [c for c in rest[:1] if c.strip().casefold() in UNNAMED]  # rows, as R writes beside a name
    beside = {*numbered, *(c for c in rest if c.casefold() in ("cell_id", "cell", "fov"))}
    probes = [c for c in rest if c not in beside]
    controls = [c for c in probes if _CONTROL.fullmatch(c.strip()) is not None]
    return [c for c in probes if c not in set(controls)], controls


def _names(table: pd.DataFrame, named: Sequence[str]) -> list[str]:
    parts = [names_of(table[column]) for column in named]
    return ["_".join(names) for names in zip(*parts, strict=True)]
