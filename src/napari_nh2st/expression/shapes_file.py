"""Shapes of a SpatialData store in (Geo)Parquet, as centres. Runs in a process of its own."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.parquet_file import MOST_ROWS, Columns, as_array

INDEX, X, Y, RADIUS = "index", "x", "y", "radius"
_POINT, _POLYGON, _MANY = 1, 3, 6  # kinds of well-known binary
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000  # marks that PostGIS sets in the kind


def read(path: Path) -> Columns:
    """Read the centre of each shape or point.

    Returns
    -------
    Columns
        ``index``; ``x`` and ``y``, the centre of area; ``radius`` of circles.

    Raises
    ------
    SampleError
        If its geometry is of another kind.
    """
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        if file.metadata.num_rows > MOST_ROWS:
            raise SampleError(f"{path.name} claims to have {file.metadata.num_rows:,} rows: too many")
        told = file.schema_arrow.pandas_metadata or {}
        names = file.schema_arrow.names
        index = next((c for c in told.get("index_columns", []) if c in names), None) if names else None
        wanted = [c for c in dict.fromkeys(("geometry", X, Y, RADIUS, index)) if c in names]
        table = file.read(columns=wanted, use_threads=False)
    out = {INDEX: np.arange(table.num_rows) if index is None else as_array(table[index])}
    if "geometry" in table.column_names:
        centres = _centres(table["geometry"], path.name)
    elif {X, Y} <= set(table.column_names):
        centres = np.stack([as_array(table[c]).astype(np.float64) for c in (X, Y)], axis=1)
    else:
        raise SampleError(f"{path.name} holds no shapes: it has neither geometry nor x and y")
    out |= {X: np.ascontiguousarray(centres[:, 0]), Y: np.ascontiguousarray(centres[:, 1])}
    if RADIUS in table.column_names:
        out[RADIUS] = as_array(table[RADIUS]).astype(np.float64)
    return Columns(out)


def _centres(column: Any, name: str) -> npt.NDArray[np.float64]:
    from pyarrow.types import is_binary, is_large_binary, is_struct

    depth, leaf = _nested(column.type)
    if is_struct(column.type):  # points as GeoArrow has them
        flat = column.combine_chunks()
        return np.stack([as_array(flat.field(axis)).astype(np.float64) for axis in (X, Y)], axis=1)
    if depth in (2, 3) and is_struct(leaf) and {X, Y} <= {leaf.field(i).name for i in range(leaf.num_fields)}:
        return _of_lists(column.combine_chunks())
    if not (is_binary(column.type) or is_large_binary(column.type)):
        raise SampleError(
            f"{name}: shapes of the kind {column.type} are not read: save them as well-known binary (WKB)"
        )
    try:
        return np.array([_centre(value) for value in column.to_pylist()], dtype=np.float64).reshape(-1, 2)
    except (struct.error, ValueError, IndexError, TypeError):
        raise SampleError(f"{name} is damaged: a shape is cut off, or none at all") from None


def _nested(kind: Any) -> tuple[int, Any]:
    """Return how deep lists lie in one another, and what is in the innermost."""
    from pyarrow.types import is_large_list, is_list

    depth = 0
    while is_list(kind) or is_large_list(kind):
        depth, kind = depth + 1, kind.value_type
    return depth, kind


def _of_lists(shapes: Any) -> npt.NDArray[np.float64]:
    """Return the centres of area of polygons as GeoArrow has them: lists of rings of corners, or lists of such lists.

    Of a polygon the first ring is its outline, the others are holes.
    """
    ends, node = [], shapes
    while _nested(node.type)[0]:
        ends.append(np.asarray(node.offsets).astype(np.int64))
        node = node.values
    corners = np.stack([as_array(node.field(axis)).astype(np.float64) for axis in (X, Y)], axis=1)
    polygons, rings = ends[-2], ends[-1]
    ring, n = _owners(rings, len(corners)), len(rings) - 1
    begins = corners[np.minimum(rings[:-1], len(corners) - 1)] if len(corners) else np.zeros((n, 2))
    follows = (ring[1:] == ring[:-1]) & (ring[1:] >= 0)
    of = ring[1:][follows]
    (x, y), (u, v) = (corners[:-1][follows] - begins[of]).T, (corners[1:][follows] - begins[of]).T
    cross = x * v - u * y
    area = np.bincount(of, cross, n) / 2
    moments = np.stack([np.bincount(of, sums * cross, n) / 6 for sums in (x + u, y + v)], axis=1)
    hole = np.ones(n, dtype=bool)
    hole[polygons[:-1][np.diff(polygons) > 0]] = False
    sign = np.where((area < 0) ^ hole, -1, 1)
    total = sign[:, None] * np.column_stack([moments + begins * area[:, None], area])
    for above in reversed(ends[:-1]):
        owner = _owners(above, len(total))
        kept = owner >= 0
        total = np.stack([np.bincount(owner[kept], part[kept], len(above) - 1) for part in total.T], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total[:, :2] / total[:, 2:])


def _owners(ends: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """Return for each of n members the number of the list that holds it; -1 where none does."""
    out = np.full(n, -1, np.int64)
    out[ends[0] : ends[-1]] = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    return out


def _centre(data: bytes) -> tuple[float, float]:
    """Return the centre of area of a shape in well-known binary (OGC 06-103r4, 8.2)."""
    x, y, area, _ = _moments(data, 0)
    return (x / area, y / area) if area else (np.nan, np.nan)


def _moments(data: bytes, at: int) -> tuple[float, float, float, int]:
    """Return first moments, area and the end of a shape; a point counts as an area of 1."""
    order = "<" if data[at] else ">"
    (kind,) = struct.unpack_from(order + "I", data, at + 1)
    axes = 2 + bool(kind & _Z) + bool(kind & _M)
    at += 5 + 4 * bool(kind & _SRID)
    kind &= 0x0FFFFFFF
    axes, kind = axes + (0, 1, 1, 2)[min(kind // 1000, 3)], kind % 1000
    if kind == _POINT:
        x, y = struct.unpack_from(order + "2d", data, at)
        return x, y, 1.0, at + 8 * axes
    (count,) = struct.unpack_from(order + "I", data, at)
    at += 4
    total = np.zeros(3)
    for part in range(count):
        if kind == _MANY:
            x, y, area, at = _moments(data, at)
            total += (x, y, area)
        elif kind == _POLYGON:
            (n,) = struct.unpack_from(order + "I", data, at)
            ring = np.frombuffer(data, order + "f8", n * axes, at + 4).reshape(n, axes)[:, :2]
            at += 4 + 8 * n * axes
            total += ring_moments(ring) * (1 if part == 0 else -1)
        else:
            raise ValueError(f"kind {kind}")
    return float(total[0]), float(total[1]), float(total[2]), at


def ring_moments(ring: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return first moments and area (3,) of a ring (n, 2), as if it ran counter-clockwise (shoelace formula)."""
    corner = ring[0]
    (x, y), (u, v) = (ring[:-1] - corner).T, (ring[1:] - corner).T
    cross = x * v - u * y
    area = cross.sum() / 2
    moments = np.array([((x + u) * cross).sum() / 6, ((y + v) * cross).sum() / 6])
    sign = -1 if area < 0 else 1
    return sign * np.array([*(moments + corner * area), area])
