"""Coverage of a model's intervals on a section: how many measured values they hold, and how wide they are for that."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.model.intervals import LEVEL

Array = npt.NDArray[np.floating[Any]]


def coverage(truth: Array, predicted: Array, half_widths: Array, spread: Array, level: float = LEVEL) -> dict[str, Any]:
    """Compare intervals with what was measured.

    Parameters
    ----------
    truth, predicted, half_widths : (n, G)
        In label units.
    spread : (G,)
        Half-widths from which on an interval says nothing of a gene (`Intervals.spread`).
    level : float
        The share of measured values that the intervals claim to hold.

    Returns
    -------
    dict
        ``claimed``; ``held``, the share that they hold; ``genes_low`` and ``genes_high``, the 5th and the 95th
        percentile of that share over genes; ``width``, the mean half-width in units of the section's own standard
        deviation, over genes that vary; ``not_informative``, the share of intervals as wide as the spread.
    """
    held = np.abs(truth - predicted) <= half_widths
    low, high = np.percentile(held.mean(axis=0), (5, 95))
    deviation = truth.std(axis=0)
    varies = deviation > 0
    width = (half_widths.mean(axis=0)[varies] / deviation[varies]).mean() if varies.any() else np.nan
    found = {"held": held.mean(), "genes_low": low, "genes_high": high, "width": width}
    found["not_informative"] = (half_widths >= spread).mean()
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
    return (
        f"intervals that claim to hold {100 * figures['claimed']:.0f}% of the measured values hold "
        f"{100 * figures['held']:.0f}%, {said}; half of one is {figures['width']:.2f} of the section's SD"
    )
