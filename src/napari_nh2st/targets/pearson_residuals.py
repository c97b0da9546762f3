"""Analytic Pearson residuals: expression beyond what the depth of a spot explains."""

from __future__ import annotations

import numpy as np

from napari_nh2st import metrics
from napari_nh2st.targets.target import LIBRARY_SIZE, Facts, Floats, SpotCounts, Target

THETA = 100.0
"""Overdispersion of the negative binomial, as published."""


def _make(spots: SpotCounts, facts: Facts) -> Floats:
    """(x - mu) / sqrt(mu + mu^2 / theta), mu = depth times the gene's share, clipped; 0 where mu is 0."""
    share, theta, clip = (np.asarray(facts[name]) for name in ("share", "theta", "clip"))
    found = metrics.pearson_residuals(spots.counts, spots.depth, share=share, theta=float(theta), clip=float(clip))
    return found.astype(np.float32)


def _learn(training: SpotCounts) -> dict[str, float | list[float]]:
    share = training.counts.sum(axis=0, dtype=np.float64) / max(training.depth.sum(), 1.0)
    return {"share": share.tolist(), "theta": THETA, "clip": float(np.sqrt(len(training.depth)))}


PEARSON_RESIDUALS = Target(
    name="pearson-residuals",
    title="Pearson residuals",
    unit="Pearson residual of counts given depth",
    about="How far a gene's count lies above or below what the depth of its spot lets one expect, "
    "in standard deviations. Shows which genes a place has more of, whatever was counted there in all.",
    make=_make,
    facts=("share", "theta", "clip"),
    learn=_learn,
    outputs=(LIBRARY_SIZE,),
    cite="Lause, Berens and Kobak, Genome Biology 2021, doi:10.1186/s13059-021-02451-7",
)
