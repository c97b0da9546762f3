"""A gene's expected share of the molecules of a spot: a negative binomial of its counts, the library size given."""

from __future__ import annotations

import numpy as np

from napari_nh2st.targets.target import LIBRARY_SIZE, Facts, Floats, SpotCounts, Target

_PER = 1e4
_STEADIEST, _LEAST = 100.0, 0.1  # bounds of theta: hardly more than Poisson noise; hardly any information


def _make(spots: SpotCounts, facts: Facts) -> Floats:
    """ln(10,000 share (x + theta) / (mu + theta)), mu = depth times share: the posterior mean of the expected share.

    The prior of a gene's share in a spot is a gamma distribution round its share in training, of shape theta, as the
    negative binomial has it. In a shallow spot, the value hardly moves from the training's.
    """
    share, theta = (np.asarray(facts[name], dtype=np.float64) for name in ("share", "theta"))
    factor = (spots.counts + theta) / (spots.depth[:, None] * share + theta)
    labels: Floats = np.log(_PER * share * factor).astype(np.float32)
    return labels


def _learn(training: SpotCounts) -> dict[str, float | list[float]]:
    """Share of each gene, and theta by moments: var = mu + mu^2 / theta."""
    total, depth = training.counts.sum(axis=0, dtype=np.float64), training.depth
    share = np.maximum(total, 0.5) / max(depth.sum(), 1.0)
    mu = depth[:, None] * share
    beyond = ((training.counts - mu) ** 2 - mu).sum(axis=0)
    square = (mu**2).sum(axis=0)
    theta = np.clip(square / np.maximum(beyond, square / _STEADIEST), _LEAST, _STEADIEST)
    return {"share": share.tolist(), "theta": theta.tolist()}


COUNTS = Target(
    name="counts",
    title="share of the molecules",
    unit="ln(expected counts per 10,000)",
    about="The share of a spot's molecules that a gene is expected to have, fitted to the counts themselves: a shallow "
    "spot says little, a deep one much. How many molecules there are is predicted apart.",
    make=_make,
    facts=("share", "theta"),
    learn=_learn,
    loss="negative-binomial",
    outputs=(LIBRARY_SIZE,),
    cite="Hafemeister and Satija, Genome Biology 2019, doi:10.1186/s13059-019-1874-1",
)
