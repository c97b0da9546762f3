"""GeoJSON in QuPath's form: tiles as squares in level-0 pixels, values of genes as their measurements.

Drag the file onto the slide in QuPath (0.4 or newer), or import it with a script. *Measure > Show measurement maps*
colours the tiles. Drawn regions follow the tiles as annotations. The member ``nh2st`` beside the features has the
provenance and the facts of each gene.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.annotations import Annotation
from napari_nh2st.annotations.qupath import feature_of
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.formats.exporter import Exporter, Progress, in_blocks
from napari_nh2st.formats.importer import Contents, Importer
from napari_nh2st.formats.shapes import Outlines
from napari_nh2st.formats.table import gene_facts, tile_ids, tile_side, value_blocks, written_record
from napari_nh2st.geometry import FloatArray
from napari_nh2st.reading import parse_json

_ROWS = 512
_NAME = re.compile(r"r(\d+)_c(\d+)")  # of a tile on the lattice
_RECORD = 10**7  # characters of the provenance, at most
_MOST_VALUES = 2_000_000  # a file of about 100 MB, which QuPath reads into memory as a whole

# Of a square, from the top left, closed: steps of half a side. The exterior ring as GeoJSON has it.
_RING = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]], dtype=np.float64)


def _held_out(facts: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the held-out PCC of the genes that were evaluated, as measurements: the same in every tile."""
    return {f"{gene}: held-out PCC": f["heldout_pcc"] for gene, f in facts.items() if f["heldout_pcc"] is not None}


def _features(
    ids: Sequence[str], centres: FloatArray, side: float, values: npt.NDArray[np.float32], genes: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield one feature a tile. Numbers have enough digits to give the same float32 when read back."""
    squares = (centres[:, None] + _RING * (side / 2)).tolist()
    for name, square, row in zip(ids, squares, values.astype("U16").tolist(), strict=True):
        yield {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [square]},
            "properties": {
                "objectType": "tile",
                "name": name,
                "measurements": dict(zip(genes, map(float, row), strict=True)),
            },
        }


def write(
    prediction: Prediction,
    path: Path,
    genes: Sequence[str],
    progress: Progress,
    *,
    regions: Outlines | None = None,
) -> None:
    """Write a feature collection, a line a tile and a line a region."""
    places, facts = prediction.places, gene_facts(prediction, genes)
    ids, side, trust = tile_ids(places), tile_side(places), _held_out(facts)
    record = written_record(prediction) | {"gene_facts": facts}
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"type": "FeatureCollection",\n"nh2st": {json.dumps(record)},\n"features": [')
        comma = "\n"
        for part, values in value_blocks(prediction, genes, _ROWS, progress):
            for feature in _features(ids[part], places.centres[part], side, values, genes):
                feature["properties"]["measurements"] |= trust
                file.write(comma + json.dumps(feature))
                comma = ",\n"
        for name, polygons in (regions or {}).items():
            region = feature_of(Annotation([list(polygon) for polygon in polygons], name=name), {})
            file.write(comma + json.dumps(region))
        file.write("\n]}\n")


def read_record(path: Path) -> dict[str, Any]:
    """Return the provenance, without reading the tiles."""
    with path.open(encoding="utf-8") as file:
        file.readline(_RECORD)
        return dict(parse_json(file.readline(_RECORD).strip().removeprefix('"nh2st":').removesuffix(",")))


def read(path: Path) -> Contents:
    """Read a line a tile, as `write` has them."""
    record, genes = read_record(path), None
    grid, centres, rows = [], [], []
    with path.open(encoding="utf-8") as file:
        for line in file:
            text = line.strip().removesuffix(",")
            if not text.startswith('{"type": "Feature",'):
                continue
            feature = parse_json(text)
            if feature["properties"]["objectType"] == "annotation":
                continue
            facts, square = feature["properties"], feature["geometry"]["coordinates"][0]
            genes = genes or [gene for gene in record["gene_facts"] if gene in facts["measurements"]]
            rows.append(np.array([facts["measurements"][gene] for gene in genes], dtype=np.float32))
            centres.append((np.array(square[0]) + square[2]) / 2)
            name = _NAME.fullmatch(facts["name"])
            grid.append((int(name[1]), int(name[2])) if name else (-1, -1))
    values = np.array(rows, dtype=np.float32).reshape(len(rows), len(genes or ()))
    return Contents(record, genes or (), values, np.array(grid), np.array(centres))


IMPORTER = Importer("geojson", read)
EXPORTER = Exporter(
    "geojson",
    ".geojson",
    "Tiles as squares with their values as measurements, for QuPath (GeoJSON)",
    write,
    read_record=read_record,
    keeps_regions=True,
    most_values=_MOST_VALUES,
    memory=in_blocks(4 * _ROWS),
)
