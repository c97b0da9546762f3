"""Beads of Slide-seq: a table of counts by gene (`digital_expression`, `MappedDGE`), and one of the beads' places."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError, one_line
from napari_nh2st.expression import columns
from napari_nh2st.expression.counts import Counts, refuse_what_is_no_count
from napari_nh2st.expression.pool import MPP
from napari_nh2st.expression.positions import UNNAMED, at_positions, named_columns, numbers_of, read_headed
from napari_nh2st.expression.transform_files import UNPLACED
from napari_nh2st.reading import open_plain, plain_cell, told

if TYPE_CHECKING:
    import anndata as ad

_COUNTS = ("*digital_expression*", "*MappedDGE*", "*mapped_dge*")
_PLACES = ("*BeadLocations*", "*bead_locations*", "*bead_location*")
_ENDS = (".csv", ".txt", ".tsv")
_NAMES = (
    ("barcode", "barcodes", "bead", "bead_barcode", *UNNAMED),
    ("xcoord", "x", "x_coord"),
    ("ycoord", "y", "y_coord"),
)
_PIXEL = 0.65  # um: of the microscope that sequences the beads
_LONGEST_LINE = 64 << 20  # bytes: a line has a number for each bead
_MOST_GENES, _MOST_VALUES = 200_000, 1 << 30
_WANTED = (
    "its beads are in pixels of the puck's own image, not on the H&E: give a matrix or landmarks in the column "
    "transform"
)


def bead_table_folder(path: Path) -> Path | None:
    """Return the folder of two such tables that a path means, itself or that of one of them; else None."""
    if path.is_dir():
        return path if _tables(path) is not None else None
    if not any(path.match(name) for name in (*_COUNTS, *_PLACES)):
        return None
    tables = _tables(path.parent)
    return path.parent if tables is not None and path in tables else None


def read_bead_table(expression: Path, spots: Path | None) -> ad.AnnData:
    """Read a folder of Slide-seq.

    Returns
    -------
    AnnData
        Raw counts by bead; ``obsm["spatial"]`` (x, y) in pixels of the puck's image, of ``uns["mpp"]`` micrometres;
        ``uns["unplaced"]``, what is needed to lay them on the H&E.

    Raises
    ------
    SampleError
        If a file or a column is missing, or holds something else.
    """
    tables = _tables(expression)
    if tables is None:
        raise SampleError(
            f"{expression} holds no beads: it needs one table of counts (…digital_expression.txt.gz, MappedDGEForR.csv)"
            " and one of places (BeadLocationsForR.csv)"
        )
    counted, placed = tables
    table = read_headed(placed)
    name, x, y = named_columns(table, _NAMES, placed.name)
    names = [str(n).strip() for n in table[name]]
    data = at_positions(
        _counts(counted), names, numbers_of(table, (x, y), placed.name), (counted.name, placed.name), "beads"
    )
    data.var_names_make_unique()
    data.uns[MPP], data.uns[UNPLACED] = _PIXEL, _WANTED
    return data


def _tables(folder: Path) -> tuple[Path, Path] | None:
    """Return the table of counts and that of places, where a folder has one of each."""
    pair = [
        [p for p in dict.fromkeys(p for name in names for p in sorted(folder.glob(name))) if _is_table(p)]
        for names in (_COUNTS, _PLACES)
    ]
    return (pair[0][0], pair[1][0]) if all(len(there) == 1 for there in pair) else None


def _is_table(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(_ENDS) and path.is_file()


@contextmanager
def _lines(path: Path) -> Iterator[IO[bytes]]:
    """Open a table, packed or not; it is read line by line, as a whole one would fill the memory with zeros."""
    with told(path, error=SampleError):
        try:
            with open_plain(path) as file:
                yield file
        except zlib.error as error:
            raise ValueError(f"it is damaged: {error}") from error


def _counts(path: Path) -> Counts:
    """Read counts of genes (rows) by bead (columns); what is not 0 is kept."""
    genes: list[str] = []
    data: list[npt.NDArray[np.float64]] = []
    beads_at: list[npt.NDArray[np.int32]] = []
    lengths, total = [0], 0
    with _lines(path) as file:
        head = file.readline(_LONGEST_LINE)
        mark = max((b"\t", b","), key=head.count)
        names = [plain_cell(cell) for cell in head.decode("utf-8", "replace").rstrip("\r\n").split(mark.decode())]
        width: int | None = None
        for line in file:
            if not line.strip():
                continue
            gene, _, rest = line.partition(mark)
            values = _numbers(rest, mark, plain_cell(gene.decode("utf-8", "replace")))
            width = len(values) if width is None else width
            if len(values) != width or len(genes) >= _MOST_GENES:
                raise ValueError(f"row {len(genes) + 1} has {len(values):,} numbers, the first has {width:,}")
            at = np.flatnonzero(values)
            total += len(at)
            if total > _MOST_VALUES:
                raise ValueError("it holds more counts than any puck")
            genes.append(plain_cell(gene.decode("utf-8", "replace")))
            data.append(values[at])
            beads_at.append(at.astype(np.int32))
            lengths.append(len(at))
        if width is None:
            raise ValueError("it has no genes")
        if width not in (len(names), len(names) - 1):
            raise ValueError(f"it names {len(names) - 1:,} beads, but its rows have {width:,} numbers")
    beads, found = names[-width:] if width else [], columns.genes(genes, {})
    values = np.concatenate(data)
    refuse_what_is_no_count(path.name, values)
    indptr = np.cumsum(lengths).astype(np.int64)
    return Counts(values, np.concatenate(beads_at), indptr, beads, found.symbols, by_columns=True, ids=found.ids)


def _numbers(text: bytes, mark: bytes, gene: str) -> npt.NDArray[np.float64]:
    try:
        return np.array(text.split(mark), dtype=np.float64)
    except ValueError:
        raise ValueError(f"the row of {one_line(gene, 40)} holds something other than counts") from None
