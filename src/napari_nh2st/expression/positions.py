"""Counts and positions that stand in two files: joined by the names of the cells or beads, never by their order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError, one_line
from napari_nh2st.expression.counts import SAYS, Counts
from napari_nh2st.reading import read_frame

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

Names = Sequence[str] | npt.NDArray[np.bytes_]
UNNAMED = ("", "...1", "v1", "x")
"""A column without a name, also as R's readr, fread and read.csv name it, lower case: the last wanted of any names."""
_EXACT = 2**53  # whole numbers below are exact as floating ones


def read_headed(path: Path) -> pd.DataFrame:
    """Read a table with a line of names; a column without one is named "".

    Raises
    ------
    SampleError
        If it cannot be read.
    """
    return headed(read_frame(path, error=SampleError))


def headed(table: pd.DataFrame) -> pd.DataFrame:
    """Name a column "" that has no name; changes the table."""
    table.columns = ["" if str(c).startswith("Unnamed: ") else str(c) for c in table.columns]
    return table


def named_columns(table: pd.DataFrame, wanted: Sequence[Sequence[str]], name: str) -> list[str]:
    """Find columns by their names, whatever their capitals and blanks; of two that differ in these, one of numbers.

    Parameters
    ----------
    table : DataFrame
    wanted : sequence of sequence of str
        For each column the names that it may have, lower case.
    name : str
        Of the file.

    Raises
    ------
    SampleError
        Naming what is not there.
    """
    numeric = {column for column, dtype in table.dtypes.items() if dtype.kind in "iuf"}
    in_order = sorted(table.columns, key=numeric.__contains__)
    there = {str(column).strip().casefold(): column for column in in_order}
    found = [next((there[n] for n in names if n in there), None) for names in wanted]
    lacking = [names[0] for names, column in zip(wanted, found, strict=True) if column is None]
    if lacking:
        raise SampleError(f"{name} lacks the column {', '.join(lacking)}")
    return [column for column in found if column is not None]


def names_of(column: pd.Series) -> list[str]:
    """Return a column of names as text; whole numbers without a point, also such as R writes 1e+05."""
    there = column[column.notna()]
    if column.dtype.kind == "f" and (there.eq(there.round()) & there.abs().lt(_EXACT)).all():
        column = column.astype("Int64")
    return column.astype(str).str.strip().to_list()


def numbers_of(table: pd.DataFrame, columns: Sequence[str], name: str) -> npt.NDArray[np.float64]:
    """Return columns as numbers, (rows, columns) float64.

    Raises
    ------
    SampleError
        If one holds something else.
    """
    for column in columns:
        if table[column].dtype.kind not in "iuf":
            raise SampleError(f"{name}: the column {one_line(column, 60)} holds something other than numbers")
    return table[list(columns)].to_numpy(dtype=np.float64)


def at_positions(
    counts: Counts, names: Names, positions: npt.NDArray[np.float64], files: tuple[str, str], unit: str
) -> ad.AnnData:
    """Return counts with their positions in ``obsm["spatial"]``; units that only one of the files has are left out.

    Parameters
    ----------
    counts : Counts
    names : (n,) names
        Of the units whose positions are known.
    positions : (n, 2) float64
        (x, y) of these.
    files : (str, str)
        Names of the files of counts and of positions.
    unit : str
        What it is, in the plural: cells, beads, barcodes.

    Raises
    ------
    SampleError
        If a name stands twice, or no name is in both.
    """
    data, places = joined(counts, names, files, unit)
    data.obsm["spatial"] = positions[places]
    return data


def joined(counts: Counts, names: Names, files: tuple[str, str], unit: str) -> tuple[ad.AnnData, npt.NDArray[np.int64]]:
    """Return counts of the units that are named in both files, and which of the names is each of them.

    Parameters and errors as of `at_positions`. Millions of bins are joined by sorting; a hash of their names would need
    minutes and gigabytes.
    """
    counted, placed = _as_bytes(counts.spots), _as_bytes(names)
    order, wanted = (_in_order(each, file) for each, file in zip((placed, counted), files[::-1], strict=True))
    at = np.searchsorted(placed[order], counted[wanted]).clip(max=max(len(placed) - 1, 0))
    place = np.full(len(counted), -1, dtype=np.int64)
    if len(placed):
        found = order[at]
        place[wanted] = np.where(placed[found] == counted[wanted], found, -1)
    there = place >= 0
    if not there.any():
        examples = [one_line(_text(each[0]), 40) if len(each) else "nothing" for each in (counted, placed)]
        raise SampleError(
            f"{files[0]} and {files[1]} share none of their {unit} ({' and '.join(examples)}): write them alike"
        )
    data = counts.to_anndata()
    if lost := int((~there).sum()):
        data, place = data[there].copy(), place[there]
        data.uns[SAYS] = [*data.uns[SAYS], f"{lost:,} {unit} of {files[0]} have no position, and are left out"]
    return data, place


def _as_bytes(names: Names) -> npt.NDArray[np.bytes_]:
    if isinstance(names, np.ndarray) and names.dtype.kind == "S":
        return names
    try:
        return np.array(names, dtype="S") if len(names) else np.empty(0, "S1")
    except UnicodeEncodeError:  # letters beyond ASCII
        return np.char.encode(np.array(names, dtype="U"), "utf-8")


def _in_order(names: npt.NDArray[np.bytes_], file: str) -> npt.NDArray[np.int64]:
    """Return the order of names; refuse one that stands twice. They are in order already in Space Ranger's files."""
    order = np.arange(len(names))
    if not (names[:-1] <= names[1:]).all():
        order = np.argsort(names, kind="stable")
    in_order = names[order]
    twice = np.flatnonzero(in_order[:-1] == in_order[1:])
    if len(twice):
        raise SampleError(f"{file} names {one_line(_text(in_order[twice[0]]), 40)} twice")
    return order


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
