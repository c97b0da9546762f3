"""Spots in one table: their places in pixels of the slide and their counts, as people write a few spots by hand.

The table of `nh2st adapt --next` is one as soon as a column for each gene is added.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError, one_line
from napari_nh2st.expression import columns
from napari_nh2st.expression.counts import Counts
from napari_nh2st.reading import read_frame

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

PLACES = ("x_px", "y_px")
TOTAL = "total_counts"
_NAMES = ("spot", "place")
_BESIDE = {*PLACES, *_NAMES, TOTAL, "x_um", "y_um", "spread"}  # no genes
_OTHERS = "(all other genes)"
_FARTHEST = 1e9  # pixels: no slide is wider


def read_spot_csv(expression: Path, spots: Path | None) -> ad.AnnData:
    """Read a table with the columns x_px and y_px, a column for each gene, and perhaps total_counts and spot.

    ``total_counts`` is the library of a spot where the table has some of its genes only: values are relative to it.
    """
    import scipy.sparse as sp

    frame = read_frame(expression, error=SampleError).dropna(how="all")
    known = {str(name).strip().casefold(): name for name in frame.columns}
    lacking = [name for name in PLACES if name not in known]
    if lacking:
        raise SampleError(f"{expression.name} lacks the column {', '.join(lacking)}")
    table = frame[[name for folded, name in known.items() if folded not in _BESIDE]]
    counts, says = numbers(table, expression), list[str]()
    genes = columns.genes([str(name) for name in table.columns], {})
    symbols, ids = list(genes.symbols), genes.ids
    if TOTAL in known:
        total = numbers(frame[[known[TOTAL]]], expression)[:, 0]
        rest = total - counts.sum(axis=1)
        if (rest < 0).any():
            raise SampleError(f"{expression.name}: {TOTAL} is less than the counts of the genes in the table")
        if rest.any():
            counts, symbols = np.column_stack([counts, rest]), [*symbols, _OTHERS]
            ids = None if ids is None else [*ids, ""]
    else:
        says = [f"without a column {TOTAL}, the {len(symbols):,} genes of {expression.name} are taken for all genes"]
    places = numbers(frame[[known[name] for name in PLACES]], expression).astype(np.float64)
    if (np.abs(places) > _FARTHEST).any():
        raise SampleError(f"{expression.name}: a place lies farther away than any slide is wide")
    rows, named = sp.csr_matrix(counts), _names(frame, known)
    table_of = Counts(rows.data, rows.indices, rows.indptr, named, symbols, ids=ids, centres=places, says=says)
    return table_of.to_anndata()


def _names(frame: pd.DataFrame, known: dict[str, str]) -> list[str]:
    """Return the names of the spots: their own, else their numbers."""
    named = next((known[name] for name in _NAMES if name in known), None)
    return [str(i + 1) for i in range(len(frame))] if named is None else [str(name) for name in frame[named]]


def numbers(table: pd.DataFrame, file: Path) -> npt.NDArray[np.float32]:
    """Return counts (spots, genes) as float32; refuse what are no numbers."""
    import pandas as pd

    for name in [name for name, dtype in table.dtypes.items() if dtype.kind not in "iufb"]:
        column = table[name]
        odd = column[pd.to_numeric(column, errors="coerce").isna() & column.notna()]
        word = one_line(odd.iloc[0] if len(odd) else "text", 40)
        raise SampleError(f"{file.name}: {word!r} is not a count (of {one_line(name, 40)})")
    return table.to_numpy(dtype=np.float32)
