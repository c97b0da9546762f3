"""Spatial variability of each gene on a slide, as Moran's I of its predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import is_constant
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import NEIGHBOUR_STEPS, SELF, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from napari_nh2st.engine.prediction import Prediction

PLACES = 20_000
_WINDOW = 16  # places along a side of a window: seven of eight links between neighbours lie inside one
_GENES = 256  # decoded at a time


def some_places(grid: IntArray, most: int = PLACES) -> IntArray:
    """Choose places of a lattice that represent all of them, with their neighbours.

    It draws whole windows of 16 x 16 places at random, the same ones each time. Taking every k-th place would put
    neighbours k times as far away, and Moran's I falls with distance, so the figure would depend on the slide's size.

    Parameters
    ----------
    grid : (n, 2) int
        Row and column of each place.
    most : int
        How many to choose; all of them if there are no more.

    Returns
    -------
    (k,) int64
        Positions in `grid`, rising.
    """
    if len(grid) <= most:
        return np.arange(len(grid), dtype=np.int64)
    row, column = (grid // _WINDOW).T
    _, owner, sizes = np.unique(row * (column.max() + 1) + column, return_inverse=True, return_counts=True)
    drawn = np.random.default_rng(0).permutation(len(sizes))
    chosen: IntArray = np.flatnonzero(np.isin(owner, drawn[np.cumsum(sizes[drawn]) <= most]))
    return chosen


def neighbour_graph(grid: IntArray) -> csr_matrix:
    """Return the neighbours of each place on a lattice, (n, n), 1 for each of up to eight."""
    from scipy.sparse import csr_matrix

    first = grid.min(axis=0) - 1
    rows, columns = grid.max(axis=0) - first + 2
    flat = (grid[:, 0] - first[0]) * columns + grid[:, 1] - first[1]
    at = np.full(rows * columns, -1, dtype=np.int64)
    at[flat] = np.arange(len(grid))
    steps = np.delete(NEIGHBOUR_STEPS, SELF, axis=0)
    neighbours = at[flat[:, None] + steps[:, 1] * columns + steps[:, 0]]
    here, side = np.nonzero(neighbours >= 0)
    return csr_matrix((np.ones(len(here)), (here, neighbours[here, side])), shape=(len(grid), len(grid)))


def variability(
    prediction: Prediction, most: int = PLACES, cancelled: Callable[[], bool] = lambda: False
) -> npt.NDArray[np.float64]:
    """Return Moran's I of every gene over the lattice of a prediction.

    Near 1 the gene lies in large patches, near 0 it is scattered; 8 neighbours, all of weight 1 (Moran 1950, as
    scanpy.metrics.morans_i computes it).

    Parameters
    ----------
    prediction : Prediction
        With places on the lattice.
    most : int
        How many places to use; see `some_places`.
    cancelled : callable
        Asked between genes.

    Returns
    -------
    (G,) float64
        In the order of the panel, NaN for a gene that is the same everywhere.

    Raises
    ------
    Nh2stError
        If the places are not on a lattice, or no two of them touch.
    Cancelled
    """
    if prediction.places.grid is None:
        raise Nh2stError("this prediction was made at given spots, not on a lattice: it has no neighbours")
    done = np.flatnonzero(prediction.done)
    taken = done[some_places(prediction.places.grid[done], most)]
    graph = neighbour_graph(prediction.places.grid[taken]) if len(taken) else None
    if graph is None or not graph.nnz:
        raise Nh2stError("too little is predicted to say how genes vary in space: predict some tissue first")
    hidden = prediction.hidden[taken]
    out = np.full(len(prediction.genes), np.nan)
    for first in range(0, len(out), _GENES):
        if cancelled():
            raise Cancelled("stopped")
        genes = range(first, min(first + _GENES, len(out)))
        values = prediction.decoder(hidden, genes).astype(np.float64).T
        varies = ~np.array([is_constant(low, high) for low, high in zip(values.min(1), values.max(1), strict=True)])
        if varies.any():
            out[np.asarray(genes)[varies]] = _morans_i(graph, values[varies])
    return out


def _morans_i(graph: Any, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from scanpy.metrics import morans_i

    found: npt.NDArray[np.float64] = morans_i(graph, values)
    return found
