"""Maps of genes as images on the slide's lattice, one pixel a tile: what OME-TIFF and OME-Zarr have in common."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.formats.exporter import Progress
from napari_nh2st.formats.importer import Contents
from napari_nh2st.formats.table import CARD, rows_and_columns, slide_mpp, tile_side, value_blocks
from napari_nh2st.model.card import Card

Plane = npt.NDArray[np.float32]

TILE = 256  # side of a piece of the file, in pixels
_GENES = 16  # decoded at a time: 100,000 tiles take 6 MB
_ROWS = 8192


@dataclass(frozen=True)
class Frame:
    """Where the image lies on the slide.

    Attributes
    ----------
    shape : (rows, columns)
    pad : int
        Rows and columns of the image before lattice row 0 and column 0, so that it begins at the slide's corner.
    corner : float
        Of pixel [0, 0], its outer corner in x and in y: level-0 pixels from the slide's corner, less than one tile;
        negative if the pitch is larger than a patch.
    side : float
        Of a pixel, level-0 pixels.
    mpp : float
        Micrometres per level-0 pixel.
    """

    shape: tuple[int, int]
    pad: int
    corner: float
    side: float
    mpp: float

    @property
    def side_um(self) -> float:
        """Side of a pixel, micrometres."""
        return self.side * self.mpp

    def levels(self) -> list[tuple[int, int]]:
        """Return the shapes of the pyramid, from the finest: each half of the one before, to a single piece."""
        shapes = [self.shape]
        while max(shapes[-1]) > TILE:
            rows, columns = shapes[-1]
            shapes.append(((rows + 1) // 2, (columns + 1) // 2))
        return shapes


def memory(tiles: int, genes: int) -> int:
    """Return the bytes of memory for a few genes, and a plane and its pyramid that may be mostly empty."""
    return 4 * tiles * min(_GENES, genes) + 64 * tiles


def frame_of(prediction: Prediction) -> Frame:
    """Lay an image over the slide's lattice, from the slide's corner to the last tile.

    Tile (row, column) is the pixel [row + pad, column + pad].
    """
    places, side = prediction.places, tile_side(prediction.places)
    grid = rows_and_columns(places)
    first = float(places.centres[0, 0] - grid[0, 1] * side - side / 2)  # corner of lattice column 0
    pad = _pad(first, side)
    rows, columns = (int(n) for n in grid.max(axis=0) + 1 + pad)
    return Frame((rows, columns), pad, round(first - pad * side, 6), side, slide_mpp(prediction))


def _pad(first: float, side: float) -> int:
    """Return the rows and columns before the lattice, whose first column begins at `first` (level-0 pixels)."""
    return max(0, int(np.floor(first / side + 1e-9)))


def contents_of(
    record: dict[str, Any], genes: Sequence[str], planes: Iterable[npt.NDArray[np.floating[Any]]]
) -> Contents:
    """Return the tiles in the maps of genes, (rows, columns) each, as `planes` has made them."""
    where, card = record["places"], Card.model_validate(record[CARD])
    side = float(where["side_level0_px"])
    corner = side * (card.patch / int(where["pitch_model_px"]) - 1) / 2
    grid, columns = None, []
    for plane in planes:
        if grid is None:
            grid = np.argwhere(np.isfinite(plane))
        columns.append(plane[tuple(grid.T)].astype(np.float32))
    if grid is None or len(columns) != len(genes):
        raise ValueError("it has another number of maps than of genes")
    return Contents(record, genes, np.stack(columns, axis=1), grid - _pad(corner, side))


def planes(prediction: Prediction, genes: Sequence[str], frame: Frame, progress: Progress) -> Iterator[Plane]:
    """Yield the map of each gene, (rows, columns), NaN where nothing is predicted."""
    row, column = (rows_and_columns(prediction.places) + frame.pad).T
    for start in range(0, len(genes), _GENES):
        some, here = genes[start : start + _GENES], start / len(genes)
        values = np.empty((len(some), len(prediction)), dtype=np.float32)
        for part, block in value_blocks(prediction, some, _ROWS, partial(_again, progress, here)):
            values[:, part] = block.T
        for one in values:
            plane = np.full(frame.shape, np.nan, dtype=np.float32)
            plane[row, column] = one
            yield plane


def _again(progress: Progress, share: float, _: float) -> None:
    """Tell the same share once more: it can be stopped between two blocks of tiles."""
    progress(share)


def halved(plane: Plane) -> Plane:
    """Return the mean of each 2 x 2 pixels, of those that have a value."""
    padded = np.pad(plane, [(0, n % 2) for n in plane.shape], constant_values=np.nan)
    rows, columns = padded.shape
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice")
        means = np.nanmean(padded.reshape(rows // 2, 2, columns // 2, 2), axis=(1, 3))
    return np.asarray(means, dtype=np.float32)


def pyramid(plane: Plane, levels: int) -> list[Plane]:
    """Return a plane at all levels."""
    out = [plane]
    while len(out) < levels:
        out.append(halved(out[-1]))
    return out
