"""Regions as people have them in Python, as outlines: GeoDataFrames, shapely polygons, GeoJSON, arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.analysis.regions import inside
from napari_nh2st.annotations import read_annotations
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import Box, FloatArray

Parts = list[list[FloatArray]]
"""Polygons of one region, each its outline (k, 2) and those of its holes; x, y in level-0 pixels."""

_WHAT = "regions are polygons: a GeoDataFrame, shapely polygons, GeoJSON, or arrays of corners (k, 2)"


def outlines_of(regions: Any, slide: str | Path | None = None) -> dict[str, Parts]:
    """Return the polygons of each region by its name; several of one name are one region.

    Parameters
    ----------
    regions : any
        A path is a file of `annotations.READERS`.
    slide : path, optional
        On which a file of regions was drawn.

    Raises
    ------
    Nh2stError
        If something is no polygon.
    """
    indexed = str(getattr(getattr(regions, "index", None), "dtype", "")) in ("object", "str", "string")
    if isinstance(regions, (str, Path)):
        return read_annotations(regions, slide).named()
    regions = getattr(regions, "__geo_interface__", regions)
    found: dict[str, Parts] = {}
    for name, shape in _named(regions, indexed=indexed):
        found.setdefault(name, []).extend(_polygons(shape))
    return found


def within(centres: FloatArray, parts: Parts) -> npt.NDArray[np.bool_]:
    """Return a mask of the places (n, 2) that lie in any of the polygons, and not in its holes."""
    mask = np.zeros(len(centres), dtype=bool)
    for outline, *holes in parts:
        mask |= inside(centres, [outline]) & ~inside(centres, holes)
    return mask


def _named(regions: Any, *, indexed: bool) -> Iterable[tuple[str, Any]]:
    if isinstance(regions, Mapping) and regions.get("type") == "FeatureCollection":
        return [(_name(f, i, indexed=indexed), f["geometry"]) for i, f in enumerate(regions["features"], 1)]
    if isinstance(regions, Mapping) and "type" in regions:
        shape = regions.get("geometry", regions)
        return [(_name(regions, 1), shape)]
    if isinstance(regions, Mapping):
        return [(str(name), shape) for name, shape in regions.items()]
    if isinstance(regions, Box) or not isinstance(regions, Iterable) or isinstance(regions, str):
        return [("region 1", regions)]
    shapes = list(regions)
    if shapes and np.ndim(shapes[0]) == 1 and not isinstance(shapes[0], str):  # corners: one polygon
        return [("region 1", shapes)]
    return [(f"region {i}", shape) for i, shape in enumerate(shapes, 1)]


def _name(feature: Mapping[str, Any], number: int, *, indexed: bool = False) -> str:
    """Return the name of a GeoJSON feature: its own, else its class in QuPath, else its index or number."""
    facts = feature.get("properties") or {}
    kind = facts.get("classification")
    name = facts.get("name") or (kind.get("name") if isinstance(kind, Mapping) else kind)
    return str(name or (feature.get("id") if indexed else None) or f"region {number}")


def _polygons(shape: Any) -> Parts:
    if isinstance(shape, Box):
        return [[np.array([(shape.x0, shape.y0), (shape.x1, shape.y0), (shape.x1, shape.y1), (shape.x0, shape.y1)])]]
    shape = getattr(shape, "__geo_interface__", shape)
    if isinstance(shape, Mapping):
        kind, coordinates = shape.get("type"), shape.get("coordinates")
        if kind not in ("Polygon", "MultiPolygon") or coordinates is None:
            raise Nh2stError(f"a {kind} is no region: {_WHAT}")
        polygons: Sequence[Any] = [coordinates] if kind == "Polygon" else coordinates
        return [[_corners(ring) for ring in polygon] for polygon in polygons]
    return [[_corners(shape)]]


def _corners(ring: Any) -> FloatArray:
    try:
        corners = np.asarray(ring, dtype=np.float64)
    except (TypeError, ValueError):
        raise Nh2stError(_WHAT) from None
    if corners.ndim != 2 or corners.shape[0] < 3 or corners.shape[1] not in (2, 3) or not np.isfinite(corners).all():
        raise Nh2stError(f"{_WHAT}; got an array of shape {corners.shape}")
    return corners[:, :2]
