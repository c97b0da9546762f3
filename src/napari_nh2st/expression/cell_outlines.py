"""Outlines of cells in GeoJSON, as Space Ranger writes them, read as centres. Runs in a process of its own.

Such a file has a polygon for each cell of a section, hundreds of megabytes of text: it is read feature by feature, and
nothing of a feature is kept but its cell's number and its centre of area.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.parquet_file import MOST_ROWS, Columns
from napari_nh2st.expression.shapes_file import ring_moments

CELL, X, Y = "cell", "x", "y"
_PART = 1 << 20  # characters that are read at once
_LONGEST = 16 << 20  # characters of one feature
_FEATURES = re.compile(r'"features"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")
_NAME = re.compile(r"(?:cellid_)?0*(\d{1,15})(?:-\d+)?")
_POLYGONS = ("Polygon", "MultiPolygon")


def read(path: Path) -> Columns:
    """Read the centre of area of each cell; the polygons of one cell count together.

    Returns
    -------
    Columns
        ``cell``, numbers, int64, in ascending order; ``x`` and ``y``, pixels of the image that Space Ranger was given.

    Raises
    ------
    SampleError
        If it is no GeoJSON of cells, or damaged.
    """
    cells, moments = [], []
    with path.open(encoding="utf-8", errors="replace") as file:
        for feature in _features(file):
            cell, found = _cell(feature), _moments(feature)
            if found is not None:
                cells.append(cell)
                moments.append(found)
            if len(cells) > MOST_ROWS:
                raise SampleError(f"it holds more than {MOST_ROWS:,} cells: that is not a section")
    if not cells:
        raise SampleError("it holds no outlines of cells")
    numbers, place = np.unique(np.array(cells, dtype=np.int64), return_inverse=True)
    x, y, area = (np.bincount(place, weights=values, minlength=len(numbers)) for values in np.array(moments).T)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Columns({CELL: numbers, X: x / area, Y: y / area})


def _features(file: IO[str]) -> Iterator[dict[str, Any]]:
    """Yield the features of a collection, one at a time."""
    decoder = json.JSONDecoder()
    text = file.read(_PART)
    begins = _FEATURES.search(text)
    if begins is None:
        raise SampleError("it is no GeoJSON of cells: it has no features")
    at = begins.end()
    while True:
        between = _BETWEEN.match(text, at)
        at = at if between is None else between.end()
        if text.startswith("]", at):
            return
        try:
            feature, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            more = file.read(_PART) if len(text) - at < _LONGEST else ""
            if not more:
                raise SampleError(f"it is damaged or cut off: {error.msg}") from None
            text, at = text[at:] + more, 0
            continue
        except (ValueError, RecursionError):
            raise SampleError("it is damaged: a feature holds an endless number, or is nested too deeply") from None
        if not isinstance(feature, dict):
            raise SampleError("it is no GeoJSON of cells: a feature is none")
        yield feature


def _cell(feature: dict[str, Any]) -> int:
    properties = feature.get("properties")
    said = properties.get("cell_id") if isinstance(properties, dict) else None
    said = int(said) if isinstance(said, float) and said.is_integer() else said
    name = None if said is None or isinstance(said, bool) else _NAME.fullmatch(str(said))
    if name is None:
        raise SampleError("it is no GeoJSON of cells: a feature has no number in its property cell_id")
    return int(name[1])


def _moments(feature: dict[str, Any]) -> npt.NDArray[np.float64] | None:
    """Return first moments and area of a feature; None where it has no outline."""
    geometry = feature.get("geometry")
    if geometry is None:
        return None
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in _POLYGONS:
        raise SampleError(f"it holds shapes of the kind {str(kind)[:40]} where there should be polygons")
    coordinates = geometry.get("coordinates")
    total = np.zeros(3)
    try:
        for rings in coordinates if kind == "MultiPolygon" else [coordinates]:
            for part, ring in enumerate(rings):
                total += ring_moments(np.array(ring, dtype=np.float64)[:, :2]) * (1 if part == 0 else -1)
    except (TypeError, ValueError, IndexError):
        raise SampleError("it is damaged: an outline is no list of points") from None
    return total if total[2] > 0 else None
