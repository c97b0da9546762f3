"""GeoJSON as QuPath writes and reads it: a feature an annotation, level-0 pixels, measurements as properties.

QuPath's reader (`qupath.lib.io.GsonTools`) takes a FeatureCollection, a list of features or a single one. A feature
without an object type is an annotation. Colours are [r, g, b]; before 0.4 they were one packed number.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_nh2st.annotations.annotation import Annotation, Annotations, Rings, ellipse, hex_colour, ring
from napari_nh2st.atomic import finished_file
from napari_nh2st.reading import contents, parse_json

_LIMIT = 512 * 10**6  # bytes
_TYPES = {  # object types that are no annotations, as they are now and were in 0.2
    **{"detection": "detections", "cell": "cells", "tile": "tiles", "tmaCore": "TMA cores", "root": "others"},
    **{"PathDetectionObject": "detections", "PathCellObject": "cells", "PathTileObject": "tiles"},
    **{"TMACoreObject": "TMA cores", "PathRootObject": "others"},
}
_DECIMALS = 2  # of a pixel, as QuPath writes them


def read(path: Path, slide: Path | None = None) -> Annotations:
    """Read annotations; detections, cells, tiles, points and lines are counted and left out."""
    document = parse_json(contents(path, _LIMIT), infinite=True, repeated=True)  # QuPath writes "metadata" twice
    dropped: Counter[str] = Counter()
    annotations = [a for feature in _features(document) if (a := _annotation(feature, dropped)) is not None]
    return Annotations(annotations, dropped)


def _features(document: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the features of a collection, a list or a single one, and those that lie in one another."""
    if isinstance(document, Mapping) and isinstance(document.get("features"), list):
        document = document["features"]
    items = document if isinstance(document, list) else [document]
    for item in items:
        if not isinstance(item, Mapping) or (item.get("type") != "Feature" and "coordinates" not in item):
            raise ValueError("it is no GeoJSON: in QuPath, choose File > Export objects as GeoJSON")
        feature = item if "geometry" in item else {"geometry": item}
        yield feature
        properties = feature.get("properties") or {}
        children = properties.get("childObjects") or properties.get("children") or []
        if isinstance(children, list):
            yield from _features(children)


def _annotation(feature: Mapping[str, Any], dropped: Counter[str]) -> Annotation | None:
    properties, geometry = feature.get("properties") or {}, feature.get("geometry") or {}
    kind = properties.get("objectType", properties.get("object_type", feature.get("id")))
    if kind in _TYPES:
        dropped[_TYPES[kind]] += 1
        return None
    plane = geometry.get("plane") or {}
    if plane.get("z") or plane.get("t"):
        dropped["objects of other planes"] += 1
        return None
    polygons = _polygons(geometry)
    if not polygons:
        what = str(geometry.get("type", "")).removeprefix("Multi")
        dropped[{"Point": "points", "LineString": "lines"}.get(what, "objects without an outline")] += 1
        return None
    title, colour = _classification(properties.get("classification"))
    return Annotation(
        polygons,
        name=str(properties.get("name") or ""),
        kind=title,
        colour=hex_colour(properties.get("color", properties.get("colorRGB"))) or colour,
        locked=properties.get("isLocked") is True or properties.get("locked") is True,
    )


def _polygons(geometry: Mapping[str, Any]) -> list[Rings]:
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection":
        return [polygon for part in geometry.get("geometries") or [] for polygon in _polygons(part)]
    if kind not in ("Polygon", "MultiPolygon") or not coordinates:
        return []
    polygons = [[ring(r) for r in polygon] for polygon in ([coordinates] if kind == "Polygon" else coordinates)]
    if geometry.get("isEllipse") is True:
        low, high = polygons[0][0].min(axis=0), polygons[0][0].max(axis=0)
        return [[ellipse((low + high) / 2, (high - low) / 2)]]
    return polygons


def _classification(value: Any) -> tuple[str, str | None]:
    """Return name and colour of a class."""
    if isinstance(value, str):
        return value, None
    if not isinstance(value, Mapping):
        return "", None
    names = value.get("names")
    name = ": ".join(map(str, names)) if isinstance(names, list) else str(value.get("name") or "")
    return name, hex_colour(value.get("color", value.get("colorRGB")))


def write_annotations(
    path: str | Path,
    annotations: Sequence[Annotation],
    measurements: Mapping[str, Mapping[str, float]] | None = None,
    record: Mapping[str, Any] | None = None,
) -> Path:
    """Write annotations for QuPath; the file appears when it is complete.

    Parameters
    ----------
    path : path
    annotations : sequence of Annotation
    measurements : mapping, optional
        By the title of an annotation, its numbers by their names; those that are not finite are left out.
    record : mapping, optional
        Where it all comes from: kept in the member ``nh2st``, which QuPath leaves alone.
    """
    features = [feature_of(a, (measurements or {}).get(a.title, {})) for a in annotations]
    with finished_file(path) as draft, draft.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection",\n')
        if record is not None:
            file.write(f'"nh2st": {json.dumps(record)},\n')
        file.write('"features": [\n' + ",\n".join(json.dumps(f, ensure_ascii=False) for f in features) + "\n]}\n")
    return Path(path)


def feature_of(annotation: Annotation, numbers: Mapping[str, float]) -> dict[str, Any]:
    """Return an annotation as QuPath's GeoJSON has it, with its numbers by their names."""
    rgb = None if annotation.colour is None else [int(annotation.colour[i : i + 2], 16) for i in (1, 3, 5)]
    properties: dict[str, Any] = {"objectType": "annotation"}
    if annotation.name:
        properties["name"] = annotation.name
    if annotation.kind:  # QuPath's reader needs a class's colour beside its name, and takes a name alone as text
        properties["classification"] = annotation.kind if rgb is None else {"name": annotation.kind, "color": rgb}
    elif rgb is not None:
        properties["color"] = rgb
    if annotation.locked:
        properties["isLocked"] = True
    finite = {name: float(value) for name, value in numbers.items() if np.isfinite(value)}
    if finite:
        properties["measurements"] = finite
    polygons = [[_closed(r) for r in polygon] for polygon in annotation.polygons]
    one = len(polygons) == 1
    geometry = {"type": "Polygon" if one else "MultiPolygon", "coordinates": polygons[0] if one else polygons}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _closed(outline: Any) -> list[list[float]]:
    corners: list[list[float]] = np.round(np.asarray(outline, dtype=np.float64), _DECIMALS).tolist()
    return [*corners, corners[0]]
