"""ln(1 + counts per 10,000): expression as most people draw it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_nh2st.targets.target import Facts, Floats, SpotCounts, Target


def _make(spots: SpotCounts, facts: Facts) -> Floats:
    """ln(1 + 10,000 x / depth), raw, not smoothed; 0 where a spot has no count at all."""
    depth = np.where(spots.depth > 0, spots.depth, 1.0)
    labels: Floats = np.log1p(spots.counts / (depth / 1e4).astype(np.float32)[:, None])
    return labels


def _counts(values: Floats, depth: npt.NDArray[np.float64]) -> Floats:
    """Return ``depth (exp(y) - 1) / 10,000``."""
    counts: Floats = np.expm1(np.maximum(values, 0)) * (depth / 1e4).astype(np.float32)[:, None]
    return counts


LN1P_CP10K = Target(
    name="ln1p-cp10k",
    title="ln(1 + counts per 10,000)",
    unit="ln(1 + counts per 10,000)",
    about="Expression as most people draw it. In shallow sections, most of how it varies from spot to spot is how many "
    "molecules were counted there.",
    make=_make,
    counts=_counts,
)
