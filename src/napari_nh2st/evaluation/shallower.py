"""Intervals for a section that was measured less deeply than those on which a model's intervals were calibrated.

A measurement that is r times as deep is taken as a thinned one: each molecule is counted again with probability r. What
would have been measured at the depth of the calibration is taken as normal round the prediction, as wide as the
interval. Thinned draws of it, and the shortest range that holds as many of them as is claimed, make the new interval.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.targets.target import SpotCounts, Target

Array = npt.NDArray[np.floating[Any]]

LESS = 0.9
"""Sections that are this much as deep, or more, are as deep."""

_DRAWS = 200


def thinned_limits(
    predicted: Array, half_widths: Array, depth: npt.NDArray[np.float64], ratio: float, level: float, target: Target
) -> tuple[Array, Array]:
    """Return the lower and the upper ends of intervals for a shallow section.

    Parameters
    ----------
    predicted, half_widths : (n, G)
        In label units; half-widths at the depth of the calibration.
    depth : (n,)
        Library size of each spot, as measured.
    ratio : float
        Depth of the section over that of the calibration, below 1.
    level : float
        The share of measured values that the intervals claim to hold.
    target : Target
        Of which values are labels; it has `counts`.

    Returns
    -------
    low, high : (n, G)
        The same for the same input.
    """
    assert target.counts is not None
    steps = np.array([NormalDist().inv_cdf((i + 0.5) / _DRAWS) for i in range(_DRAWS)])[:, None]
    sigma = half_widths / NormalDist().inv_cdf(0.5 + level / 2)
    held, chance = int(np.ceil(level * _DRAWS)), np.random.default_rng(0)
    low, high = np.empty_like(predicted), np.empty_like(predicted)
    for i, library in enumerate(np.maximum(depth, 1.0)):
        deep = target.counts(predicted[i] + steps * sigma[i], np.full(_DRAWS, library / ratio))
        counts = chance.binomial(np.rint(deep).astype(np.int64), ratio).astype(np.float32)
        values = np.sort(target.make(SpotCounts(counts, np.full(_DRAWS, library)), {}), axis=0)
        first = (values[held - 1 :] - values[: _DRAWS - held + 1]).argmin(axis=0)[None]
        low[i], high[i] = (np.take_along_axis(values, first + k, axis=0)[0] for k in (0, held - 1))
    return low, high
