"""The mean profile of the training spots, for every spot: a prediction before any look."""

from __future__ import annotations

import numpy as np

from napari_nh2st.evaluation.baselines.baseline import Array, Baseline, Fitting, Predict
from napari_nh2st.training.sections.section import Section


def _fit(fitting: Fitting) -> Predict:
    profile = fitting.labels.mean(axis=0, dtype=np.float64).astype(np.float32)

    def predict(section: Section) -> Array:
        return np.tile(profile, (len(section.centres), 1))

    return predict


MEAN_PROFILE = Baseline(
    name="mean-profile",
    about="The mean profile of the training spots, for every spot.",
    seeded=False,
    fit=_fit,
)
