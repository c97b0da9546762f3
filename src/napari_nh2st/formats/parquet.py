"""A table in columns (Apache Parquet): one row a tile, one float32 column a gene.

Opens with pandas, polars, DuckDB and R's arrow. The provenance and the facts of each gene are in the file's metadata:
``pandas.read_parquet(path).attrs["nh2st"]``, or ``pyarrow.parquet.read_schema(path).metadata[b"nh2st"]``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.formats.exporter import Exporter, Progress, in_blocks
from napari_nh2st.formats.importer import Contents, Importer
from napari_nh2st.formats.table import (
    gene_facts,
    half_width_columns,
    rows_and_columns,
    slide_mpp,
    tile_ids,
    tile_side,
    value_blocks,
    written_record,
)
from napari_nh2st.reading import parse_json

if TYPE_CHECKING:
    import pyarrow

_ROWS = 8192  # of a row group: with 250 genes, 8 MB


def _schema(prediction: Prediction, genes: Sequence[str], *, intervals: bool) -> pyarrow.Schema:
    """Return the columns; a gene's column has its unit, Ensembl id and held-out PCC."""
    import pyarrow as pa

    facts = gene_facts(prediction, genes)
    tile = [pa.field("tile", pa.string()), *(pa.field(name, pa.int64()) for name in ("row", "col"))]
    place = [pa.field(name, pa.float64()) for name in ("x_px", "y_px", "x_um", "y_um", "side_px", "side_um")]
    values = [
        pa.field(gene, pa.float32(), metadata={k: str(v) for k, v in facts[gene].items() if v is not None})
        for gene in genes
    ]
    values += [pa.field(name, pa.float32()) for name in half_width_columns(genes, intervals=intervals)]
    record = written_record(prediction) | {"gene_facts": facts}
    metadata = {"nh2st": json.dumps(record), "PANDAS_ATTRS": json.dumps({"nh2st": record})}
    return pa.schema([*tile, *place, *values], metadata=metadata)


def _places(prediction: Prediction) -> tuple[list[str], list[npt.NDArray[Any]]]:
    """Return names of tiles, and the columns beside the genes in the schema's order."""
    places, mpp = prediction.places, slide_mpp(prediction)
    side = np.full(len(places), tile_side(places))
    columns = [*rows_and_columns(places).T, *places.centres.T, *(places.centres * mpp).T, side, side * mpp]
    return tile_ids(places), columns


def write(
    prediction: Prediction, path: Path, genes: Sequence[str], progress: Progress, *, intervals: bool = False
) -> None:
    """Write a row group at a time. Columns are those of the CSV, and the side of a tile."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schema = _schema(prediction, genes, intervals=intervals)
    ids, columns = _places(prediction)
    with ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as file:
        for part, values in value_blocks(prediction, genes, _ROWS, progress, intervals=intervals):
            arrays = [pa.array(ids[part]), *(pa.array(c[part]) for c in columns), *(pa.array(v) for v in values.T)]
            file.write_table(pa.table(arrays, schema=schema))


def read_record(path: Path) -> dict[str, Any]:
    """Return the provenance."""
    from pyarrow.parquet import read_schema

    return dict(parse_json(read_schema(path).metadata[b"nh2st"]))


def read(path: Path) -> Contents:
    """Read the table."""
    from pyarrow.parquet import read_table

    record, table = read_record(path), read_table(path)
    genes = [gene for gene in record["gene_facts"] if gene in table.column_names]
    values = np.empty((table.num_rows, len(genes)), dtype=np.float32)
    for column, gene in enumerate(genes):
        values[:, column] = table[gene].to_numpy()
    grid, centres = (np.stack([table[c].to_numpy() for c in names], 1) for names in (("row", "col"), ("x_px", "y_px")))
    return Contents(record, genes, values, grid, centres)


IMPORTER = Importer("parquet", read)
EXPORTER = Exporter(
    "parquet",
    ".parquet",
    "Table in columns, a row a tile and a column a gene, for pandas, polars, DuckDB and R (Parquet)",
    write,
    read_record=read_record,
    package="pyarrow",
    keeps_intervals=True,
    memory=in_blocks(_ROWS),
)
