"""Weights of spots: how much each one's error counts in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_nh2st.training.config import SpotWeight
from napari_nh2st.training.sections.section import Section


def training_weights(sections: Sequence[Section], kind: SpotWeight) -> npt.NDArray[np.float64]:
    """Weights of all spots that are not held out, sections one after another, (n,)."""
    return np.concatenate([spot_weights(s, kind)[~s.held_out] for s in sections])


def spot_weights(section: Section, kind: SpotWeight) -> npt.NDArray[np.float64]:
    """Weigh the spots of a section, (n,), 1 on average over those that are not held out.

    The fewer counts a spot has, the noisier its labels are. Sections are not weighed against each other: one that was
    sequenced deeper is not more of a patient.

    Parameters
    ----------
    kind : {"equal", "root-depth"}
        All alike, or by the square root of the library size.
    """
    learnt = ~section.held_out
    weights = np.sqrt(section.depth.clip(min=1)) if kind == "root-depth" else np.ones(len(section.depth))
    return weights / weights[learnt].mean() if learnt.any() else weights
