"""Outlines of sets of cells of a lattice, such as domains."""

from __future__ import annotations

import numpy as np

from napari_nh2st.annotations.annotation import Rings
from napari_nh2st.annotations.keyhole import nested
from napari_nh2st.geometry import FloatArray, IntArray, TileSet

Corner = tuple[int, int]


def outlines_of_tiles(places: TileSet) -> list[Rings]:
    """Return the outlines of tiles on the lattice, in level-0 pixels; tiles that only touch in a corner are apart.

    Raises
    ------
    ValueError
        If the places do not lie on a lattice.
    """
    if places.grid is None:
        raise ValueError("outlines need tiles on the lattice")
    if not len(places):
        return []
    side = places.pitch * places.scale
    corner = places.centres[0] - (places.grid[0, ::-1] + 0.5) * side
    return [[ring * side + corner for ring in rings] for rings in outlines_of_cells(places.grid)]


def outlines_of_cells(grid: IntArray) -> list[Rings]:
    """Return the outlines of cells (n, 2) of row and column; corners (x, y) count in cells."""
    edges: dict[Corner, list[Corner]] = {}
    cells = {(int(row), int(column)) for row, column in grid}
    for row, column in sorted(cells):
        around = ((row - 1, column), (row, column + 1), (row + 1, column), (row, column - 1))
        corners = ((column, row), (column + 1, row), (column + 1, row + 1), (column, row + 1), (column, row))
        for number, neighbour in enumerate(around):
            if neighbour not in cells:
                edges.setdefault(corners[number], []).append(corners[number + 1])
    return nested(_loops(edges))


def _loops(edges: dict[Corner, list[Corner]]) -> list[FloatArray]:
    """Chain edges that have the cells on their right; where two ways lead on, the right one stays at its cell."""
    loops = []
    while edges:
        start = next(iter(edges))
        at, heading, corners = start, (0, 0), []
        while True:
            ways = edges[at]
            _, to = max((_turn(heading, (way[0] - at[0], way[1] - at[1])), way) for way in ways)
            ways.remove(to)
            if not ways:
                del edges[at]
            step = to[0] - at[0], to[1] - at[1]
            if step != heading:
                corners.append(at)
            at, heading = to, step
            if at == start:
                break
        loops.append(np.array(corners, dtype=np.float64))
    return loops


def _turn(heading: Corner, step: Corner) -> int:
    """Return 1 for a turn to the right, y down, 0 straight on, -1 to the left."""
    return heading[0] * step[1] - heading[1] * step[0]
