"""Parts of a huge slide: chunks of its folder that one task predicts, while others predict the rest."""

from __future__ import annotations

import numpy as np

from napari_nh2st.engine.predict import chunk_tiles
from napari_nh2st.geometry import TileSet

Chunks = list[tuple[int, int]]


def divide(places: TileSet, mm2_per_tile: float, most: float) -> list[Chunks]:
    """Divide tiles into parts with about equally many, each of whole chunks of the folder, row by row.

    Parameters
    ----------
    places : TileSet
        On the lattice.
    mm2_per_tile, most : float
        mm² of a tile's own cell, and of a part.

    Returns
    -------
    list of list of (row, column)
        Chunks of each part; one part where the tiles are few.
    """
    assert places.grid is not None
    chunks, counts = np.unique(places.grid // chunk_tiles(places.pitch), axis=0, return_counts=True)
    wanted = min(len(chunks), int(np.ceil(len(places) * mm2_per_tile / most)))
    before = np.cumsum(counts) - counts
    part = np.minimum(before * wanted // len(places), wanted - 1)
    parts = [[(int(r), int(c)) for r, c in chunks[part == number]] for number in range(wanted)]
    return [p for p in parts if p]


def tiles_in(places: TileSet, chunks: Chunks) -> TileSet:
    """Return the tiles that lie in some chunks."""
    assert places.grid is not None
    own = {tuple(chunk) for chunk in chunks}
    keep = [tuple(place) in own for place in (places.grid // chunk_tiles(places.pitch)).tolist()]
    return places.select(np.array(keep, dtype=bool))
