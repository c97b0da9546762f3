"""Common places of several predictions of one slide, whatever their lattices: models look at tiles of their own size.

The common places are the cells of the coarsest lattice. Each finer lattice is laid on them by first-order conservative
remapping (Jones 1999, Monthly Weather Review 127: 2204-2210): a place gets the mean of the tiles that it overlaps,
weighted by the area of the overlap. On the same lattice that is each tile's own value, unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import FloatArray, IntArray, TileSet
from napari_nh2st.slide_path import slide_stem

if TYPE_CHECKING:
    from scipy.sparse import csr_array

COVERED = 0.5  # of a common place's area must be predicted by each model
LEAST = 10  # common places from which anything is worked out
_SLIVER = 1e-6  # of a tile's side: less overlap than that is rounding

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CommonPlaces:
    """Places at which all of several predictions have a value.

    Attributes
    ----------
    places : TileSet
        The m places: tiles of the prediction with the largest ones.
    coarsest : int
        Which prediction that is.
    weights : tuple of (m, n_i) sparse arrays
        For each prediction, the share of each of its n_i places in each common place; rows add up to 1.
    """

    places: TileSet
    coarsest: int
    weights: tuple[csr_array, ...]

    def __len__(self) -> int:
        return len(self.places)

    def lay(self, i: int, values: npt.NDArray[np.floating]) -> F32:
        """Lay values (n_i,) or (n_i, G) of prediction i on the common places: (m,) or (m, G)."""
        # a place that is not predicted has no weight, and NaN times 0 would be NaN
        laid: F32 = np.asarray(self.weights[i] @ np.nan_to_num(values, nan=0.0), dtype=np.float32)
        return laid


def common_places(predictions: Sequence[Prediction], names: Sequence[str]) -> CommonPlaces:
    """Find the places that several predictions of one slide have in common.

    Parameters
    ----------
    predictions : sequence of Prediction
        At least two, each on a lattice, or all at the same given places.
    names : sequence of str
        What errors call them.

    Raises
    ------
    Nh2stError
        If they are of different slides or pixel sizes, cannot be laid on one another, or hardly overlap.
    """
    _check_slides(predictions, names)
    given = [name for name, p in zip(names, predictions, strict=True) if p.places.grid is None]
    if given:
        found = _at_given(predictions, given)
    else:
        coarsest = int(np.argmax([p.places.pitch * p.places.scale for p in predictions]))
        target = predictions[coarsest].places
        weights = [_overlaps(target, p.places, p.done) for p in predictions]
        found = CommonPlaces(target, coarsest, tuple(weights))
    kept = np.flatnonzero(np.min([w.sum(axis=1) for w in found.weights], axis=0) >= COVERED)
    if len(kept) < LEAST:
        raise Nh2stError(
            f"{' and '.join(names)} have {len(kept)} tiles in common on this slide, {LEAST} are needed: "
            "predict the same part with each"
        )
    return CommonPlaces(found.places.select(kept), found.coarsest, tuple(_rows(w, kept) for w in found.weights))


def _check_slides(predictions: Sequence[Prediction], names: Sequence[str]) -> None:
    """Refuse predictions of different slides, or of one slide at different pixel sizes."""
    first = predictions[0].slide
    for name, prediction in zip(names[1:], predictions[1:], strict=True):
        slide = prediction.slide
        prints = first.get("fingerprint"), slide.get("fingerprint")
        if None not in prints and prints[0] != prints[1]:
            stems = [slide_stem(str(s.get("path") or "")) or "a slide" for s in (first, slide)]
            raise Nh2stError(
                f"{names[0]} predicted {stems[0]} and {name} {stems[1]}, another image: compare models on one slide"
            )
        one, other = first.get("mpp"), slide.get("mpp")
        if one is not None and other is not None and not np.isclose(one, other, rtol=1e-3):
            raise Nh2stError(
                f"{names[0]} took the slide's pixels for {one:g} µm and {name} for {other:g} µm: "
                "predict again with the right size"
            )


def _at_given(predictions: Sequence[Prediction], given: Sequence[str]) -> CommonPlaces:
    """Take given places, such as spots, as they are: there is nothing between them."""
    from scipy.sparse import diags_array

    first = predictions[0].places.centres
    same = all(p.places.centres.shape == first.shape and np.allclose(p.places.centres, first) for p in predictions)
    if not same or len(given) < len(predictions):
        raise Nh2stError(
            f"{' and '.join(given)} predicted at given places, not on a lattice: the others must have the same places"
        )
    weights = tuple(diags_array(p.done.astype(np.float64)).tocsr() for p in predictions)
    return CommonPlaces(predictions[0].places, 0, weights)


def _overlaps(target: TileSet, source: TileSet, done: npt.NDArray[np.bool_]) -> csr_array:
    """Return the share (m, n) of each target cell that each source cell covers, of those that are predicted."""
    from scipy.sparse import csr_array

    shape = len(target), len(source)
    if not done.any():
        return csr_array(shape, dtype=np.float64)
    assert source.grid is not None
    side, source_side = target.pitch * target.scale, source.pitch * source.scale
    first = source.grid.min(axis=0)
    index = np.full(tuple(source.grid.max(axis=0) - first + 1), -1, dtype=np.int64)
    index[tuple((source.grid[done] - first).T)] = np.flatnonzero(done)
    corner = source.centres[0] - (source.grid[0] - first)[::-1] * source_side - source_side / 2
    low = target.centres - side / 2
    columns, across = _along(low[:, 0], side, corner[0], source_side)
    rows, down = _along(low[:, 1], side, corner[1], source_side)
    parts = []
    for i in range(rows.shape[1]):
        for j in range(columns.shape[1]):
            share = down[:, i] * across[:, j] / side**2
            here = (rows[:, i] >= 0) & (rows[:, i] < index.shape[0])
            here &= (columns[:, j] >= 0) & (columns[:, j] < index.shape[1]) & (share > 0)
            at = np.flatnonzero(here)
            tile = index[rows[at, i], columns[at, j]]
            parts.append((at[tile >= 0], tile[tile >= 0], share[at][tile >= 0]))
    at, tile, share = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return csr_array((share, (at, tile)), shape=shape)


def _along(low: FloatArray, side: float, corner: float, step: float) -> tuple[IntArray, FloatArray]:
    """Return the indices (m, k) of cells of width `step` that intervals begin with, and how much they overlap."""
    start = (low - corner) / step
    cell = np.floor(start + _SLIVER).astype(np.int64)[:, None] + np.arange(int(np.ceil(side / step)) + 1)
    begin = corner + cell * step
    overlap = np.minimum(begin + step, low[:, None] + side) - np.maximum(begin, low[:, None])
    return cell, np.where(overlap > _SLIVER * step, overlap, 0.0)


def _rows(weights: csr_array, kept: IntArray) -> csr_array:
    """Keep some rows, each with the sum 1."""
    from scipy.sparse import diags_array

    part = weights[kept]
    scaled: csr_array = (diags_array(1 / part.sum(axis=1)) @ part).tocsr()
    return scaled
