"""Values at the two ends of the colours, the same for the window and for a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import is_constant

_SAMPLE = 200_000


@dataclass(frozen=True)
class Limits:
    """Contrast limits of a gene, and a sentence if they need one."""

    low: float
    high: float
    note: str = ""


def limits_of(values: npt.NDArray[Any], percentiles: tuple[float, float] = (1.0, 99.0)) -> Limits:
    """Return limits that napari accepts, for any values: some, all equal, or none at all."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Limits(0.0, 1.0, "nothing predicted yet")
    sample = finite[:: max(1, finite.size // _SAMPLE)] if percentiles != (0.0, 100.0) else finite
    low, high = (float(v) for v in np.percentile(sample, percentiles))
    if is_constant(low, high):  # a few cells differ from all the others
        low, high = float(finite.min()), float(finite.max())
    if is_constant(low, high):
        note = f"the same everywhere: {low:z.2f}" if finite.size > 1 else ""
        return Limits(low - 0.5, low + 0.5, note)
    return Limits(low, high)
