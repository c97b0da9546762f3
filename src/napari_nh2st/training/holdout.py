"""Sections that a run only scores: which they are, and how the model of an epoch does on them."""

from __future__ import annotations

from collections.abc import Sequence

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample
from napari_nh2st.training.config import TrainingConfig


def split_samples(samples: Sequence[Sample], config: TrainingConfig) -> tuple[list[Sample], list[Sample]]:
    """Tell what a run learns from, and what it only scores.

    Returns
    -------
    train, held_out : list of Sample
        Each in the order of the sheet; nothing is held out where the settings name nothing: a block of each section
        is then. A patient that is held out is so with all sections.

    Raises
    ------
    SampleError
        If the settings name a sample or patient that the sheet does not have, or all of it.
    """
    sections, patients = config.hold_out_sections or [], config.hold_out_patients or []
    lacking = [f"sample {name}" for name in sections if name not in {s.sample for s in samples}]
    lacking += [f"patient {name}" for name in patients if name not in {s.patient for s in samples}]
    if lacking:
        names = ", ".join(f"{s.sample} (patient {s.patient})" for s in samples)
        raise SampleError(f"there is no {', '.join(lacking)} to hold out: the sheet has {names}")
    held_out = [s for s in samples if s.sample in sections or s.patient in patients]
    train = [s for s in samples if s not in held_out]
    if not train:
        raise SampleError("all sections are held out: leave at least one to train on")
    return train, held_out
