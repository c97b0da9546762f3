"""How far a gene lies above or below its mean in training."""

from __future__ import annotations

import numpy as np

from napari_nh2st.targets.ln1p_cp10k import LN1P_CP10K
from napari_nh2st.targets.target import Facts, Floats, SpotCounts, Target


def _make(spots: SpotCounts, facts: Facts) -> Floats:
    """ln(1 + counts per 10,000) less the gene's mean of that over the training spots."""
    return LN1P_CP10K.make(spots, {}) - np.asarray(facts["mean"], dtype=np.float32)


DELTA = Target(
    name="delta",
    title="difference from the mean",
    unit="ln(1 + counts per 10,000) above the training mean",
    about="ln(1 + counts per 10,000) less the gene's mean over the training spots. 0 is that mean: a model that has "
    "learnt nothing says 0 everywhere.",
    make=_make,
    facts=("mean",),
    learn=lambda training: {"mean": LN1P_CP10K.make(training, {}).mean(axis=0, dtype=np.float64).tolist()},
    cite="Mejia et al. (SEPAL), ICCV workshops 2023, arXiv 2309.01036",
)
