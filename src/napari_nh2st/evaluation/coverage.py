"""Coverage of a model's intervals on a section: how many measured values they hold, and how wide they are for that."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.evaluation.shallower import LESS, thinned_limits
from napari_nh2st.model.intervals import LEVEL
from napari_nh2st.targets import Target

Array = npt.NDArray[np.floating[Any]]

_MOST_SPOTS = 500  # that intervals are widened for: each takes milliseconds
_EXACT = 1e-5  # label units: a label is one of few values, where counts are


def coverage(
    truth: Array,
    predicted: Array,
    half_widths: Array,
    spread: Array,
    level: float = LEVEL,
    *,
    depth: npt.NDArray[np.float64] | None = None,
    calibrated_at: float | None = None,
    target: Target | None = None,
) -> dict[str, Any]:
    """Compare intervals with what was measured.

    Parameters
    ----------
    truth, predicted, half_widths : (n, G)
        In label units.
    spread : (G,)
        Half-widths from which on an interval says nothing of a gene (`Intervals.spread`).
    level : float
        The share of measured values that the intervals claim to hold.
    depth : (n,), optional
        Library size of each spot.
    calibrated_at : float, optional
        That of the median spot on which the intervals were calibrated (`Intervals.depth`).
    target : Target, optional
        Of which the values are labels.

    Returns
    -------
    dict
        ``claimed``; ``held``, the share that they hold; ``genes_low`` and ``genes_high``, the 5th and the 95th
        percentile of that share over genes; ``width``, the mean half-width in units of the section's own standard
        deviation, over genes that vary; ``not_informative``, the share of intervals as wide as the spread. Where depths
        are known, also ``depth``, the section's over that of the calibration, and ``held_at_depth``, the share that
        intervals hold which are widened for it (`thinned_limits`), at every so many spots if there are over 500.
    """
    held = np.abs(truth - predicted) <= half_widths
    low, high = np.percentile(held.mean(axis=0), (5, 95))
    deviation = truth.std(axis=0)
    varies = deviation > 0
    width = (half_widths.mean(axis=0)[varies] / deviation[varies]).mean() if varies.any() else np.nan
    found = {"held": held.mean(), "genes_low": low, "genes_high": high, "width": width}
    found["not_informative"] = (half_widths >= spread).mean()
    if depth is not None and calibrated_at is not None and target is not None and target.counts is not None:
        found["depth"] = ratio = float(np.median(depth)) / calibrated_at
        found["held_at_depth"] = found["held"]
        if 0 < ratio < LESS:
            some = slice(None, None, -(-len(truth) // _MOST_SPOTS))
            low, high = thinned_limits(predicted[some], half_widths[some], depth[some], ratio, level, target)
            found["held_at_depth"] = ((truth[some] >= low - _EXACT) & (truth[some] <= high + _EXACT)).mean()
    return {"claimed": level, **{name: round(float(value), 4) for name, value in found.items()}}


def coverage_words(figures: dict[str, Any]) -> str:
    """Say what a section's intervals hold, and how wide they are.

    Parameters
    ----------
    figures : dict
        From `coverage`.
    """
    off = 100 * (figures["held"] - figures["claimed"])
    said = "as claimed" if abs(off) < 0.5 else f"{abs(off):.0f} points {'more' if off > 0 else 'fewer'} than claimed"
    words = (
        f"intervals that claim to hold {100 * figures['claimed']:.0f}% of the measured values hold "
        f"{100 * figures['held']:.0f}%, {said}; half of one is {figures['width']:.2f} of the section's SD"
    )
    if (depth := figures.get("depth", 1)) < LESS:
        deep, held = (f"{100 * share:.0f}%" for share in (depth, figures["held_at_depth"]))
        words += f"; widened, since the section was measured {deep} as deeply as the training, they hold {held}"
    return words
