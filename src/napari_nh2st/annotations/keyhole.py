"""Polygons with holes as one outline, for programs without holes: a cut of no width leads to each hole and back."""

from __future__ import annotations

import numpy as np

from napari_nh2st.annotations.annotation import Rings
from napari_nh2st.geometry import FloatArray


def outline_of(rings: Rings) -> FloatArray:
    """Return a polygon with holes as one outline (k, 2), which visits the ends of each cut twice."""
    outline, *holes = (_turning(r, hole=i > 0) for i, r in enumerate(rings))
    for hole in holes:
        start, end = _nearest(outline, hole)
        around = np.concatenate([hole[end:], hole[: end + 1]])
        outline = np.concatenate([outline[: start + 1], around, outline[start:]])
    return outline


def rings_of(outline: FloatArray) -> list[Rings]:
    """Return the polygons that an outline encloses, each with its holes: `outline_of` undone.

    An outline that touches itself in a corner is taken apart there.
    """
    loops: list[FloatArray] = []
    path: list[tuple[float, float]] = []
    seen: dict[tuple[float, float], int] = {}
    for x, y in outline.tolist():
        corner = (x, y)
        if corner in seen:
            first = seen[corner]
            loops.append(np.array(path[first:]))
            for gone in path[first + 1 :]:
                del seen[gone]
            del path[first + 1 :]
        else:
            seen[corner] = len(path)
            path.append(corner)
    loops = [loop for loop in (*loops, np.array(path)) if len(loop) > 2]
    return nested(loops) or [[outline]]


def nested(loops: list[FloatArray]) -> list[Rings]:
    """Tell holes from outlines: a hole lies in a larger outline, and not in a hole of that."""
    polygons: list[Rings] = []
    for loop in sorted(loops, key=lambda r: -abs(_area(r))):
        inside = (p for p in polygons if _holds(p[0], loop) and not any(_holds(hole, loop) for hole in p[1:]))
        around = next(inside, None)
        if around is None:
            polygons.append([loop])
        else:
            around.append(loop)
    return polygons


def _holds(outline: FloatArray, loop: FloatArray) -> bool:
    """Tell whether a loop lies within an outline; they may share corners."""
    from skimage.measure import points_in_poly

    inside = points_in_poly((loop + np.roll(loop, 1, axis=0)) / 2, outline)  # type: ignore[no-untyped-call]
    return bool(np.mean(inside) > 1 / 2)


def _nearest(outline: FloatArray, hole: FloatArray) -> tuple[int, int]:
    """Return the corners of both between which the cut is shortest; of long outlines, of some."""
    a, b = (np.arange(0, len(r), max(1, len(r) // 1000)) for r in (outline, hole))
    away = ((outline[a][:, None] - hole[b][None]) ** 2).sum(axis=2)
    i, j = np.unravel_index(int(away.argmin()), away.shape)
    return int(a[i]), int(b[j])


def _area(r: FloatArray) -> float:
    x, y = r.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _turning(r: FloatArray, *, hole: bool) -> FloatArray:
    """Return an outline that runs one way, or a hole that runs the other: areas then add up."""
    return r[::-1] if (_area(r) < 0) != hole else r
