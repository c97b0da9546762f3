"""Smooth a map for the eye, the same in the window and in a figure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FINE = 4  # pixels along a side of a smoothed cell


def smoothed(values: npt.NDArray[np.float32], fine: int = FINE) -> npt.NDArray[np.float32]:
    """Return an image of `fine` x `fine` pixels a cell, interpolated between the centres of cells.

    Bilinear, without the weights of cells that have no value, so that the tissue's edge keeps its values.

    Parameters
    ----------
    values : (rows, columns) float32
        NaN where there is no value.

    Returns
    -------
    (rows * fine, columns * fine) float32
        NaN in the same cells, and only there.
    """
    finite = np.isfinite(values)
    total, weight = (
        _stretched(_stretched(part, fine).T, fine).T
        for part in (np.where(finite, values, 0), finite.astype(np.float32))
    )
    out = np.full(total.shape, np.nan, dtype=np.float32)
    return np.divide(total, weight, out=out, where=finite.repeat(fine, 0).repeat(fine, 1))


def _stretched(values: npt.NDArray[np.float32], fine: int) -> npt.NDArray[np.float32]:
    """Interpolate along the rows, with 0 outside."""
    before, after = np.pad(values, ((1, 0), (0, 0)))[:-1], np.pad(values, ((0, 1), (0, 0)))[1:]
    out = np.empty((len(values) * fine, values.shape[1]), dtype=np.float32)
    for i in range(fine):
        step = np.float32((i + 0.5) / fine - 0.5)  # from the centre of the cell, in cells
        out[i::fine] = (1 - abs(step)) * values + abs(step) * (after if step > 0 else before)
    return out
