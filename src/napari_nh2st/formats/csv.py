"""A plain table: one row a tile, one column a gene."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.exporter import Exporter, Progress, in_blocks
from napari_nh2st.formats.importer import Contents, Importer
from napari_nh2st.formats.table import (
    CARD,
    half_width_columns,
    rows_and_columns,
    sidecar_path,
    slide_mpp,
    tile_ids,
    value_blocks,
)
from napari_nh2st.model.card import Card
from napari_nh2st.reading import read_frame, read_json, written_cell

# Columns of a tile; the genes' columns follow. px: continuous level-0 pixels; um: the same times mpp.
COLUMNS = ("tile", "row", "col", "x_px", "y_px", "x_um", "y_um")

_CHUNK = 512


def write(
    prediction: Prediction, path: Path, genes: Sequence[str], progress: Progress, *, intervals: bool = False
) -> None:
    """Write the table in UTF-8, decoding a few hundred tiles at a time; half-widths follow the genes.

    Notes
    -----
    Every value has enough digits to give the same float32 (float64 for places) when read back.
    """
    mpp, places = slide_mpp(prediction), prediction.places
    ids, index = tile_ids(places), rows_and_columns(places)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([*COLUMNS, *map(written_cell, [*genes, *half_width_columns(genes, intervals=intervals)])])
        for part, block in value_blocks(prediction, genes, _CHUNK, progress, intervals=intervals):
            centres = places.centres[part]
            microns = np.round(centres * mpp, 4)
            values = block.astype("U16")  # shortest text of each float32
            columns = (ids[part], index[part].tolist(), centres.tolist(), microns.tolist(), values.tolist())
            for name, cell, pixels, um, expression in zip(*columns, strict=True):
                out.writerow([name, *cell, *pixels, *um, *expression])


def read(path: Path) -> Contents:
    """Read the table, and the provenance beside it."""
    note = sidecar_path(path)
    if not note.exists():
        raise Nh2stError(f"{note.name} is not beside it: it says of which slide and model the table is")
    record = read_json(note)
    genes = {written_cell(gene): gene for gene in Card.model_validate(record[CARD]).genes}
    table = read_frame(path)
    there = [column for column in table.columns[len(COLUMNS) :] if column in genes]
    grid, centres = table[["row", "col"]].to_numpy(np.int64), table[["x_px", "y_px"]].to_numpy(np.float64)
    return Contents(record, [genes[c] for c in there], table[there].to_numpy(np.float32), grid, centres)


IMPORTER = Importer("csv", read)
EXPORTER = Exporter(
    "csv",
    ".csv",
    "Table, a row a tile and a column a gene (CSV)",
    write,
    sidecar=True,
    keeps_intervals=True,
    memory=in_blocks(4 * _CHUNK),
)
