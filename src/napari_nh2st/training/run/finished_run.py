"""A finished run, as its scoring needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_nh2st.training.network.network_module import HeldOutBlock
from napari_nh2st.training.run.record import RunSettings
from napari_nh2st.training.sections.held_out_sections import HeldOutSections
from napari_nh2st.training.sections.section import Section


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A run at its end.

    Attributes
    ----------
    run, model : Path
        Its folder, and the model's in it.
    settings : RunSettings
    sections : list of Section
        Trained on.
    blocks : dict of int to HeldOutBlock
        Scored blocks as the best epoch predicts them, by the number of the section. Empty where whole sections are held
        out, or all are too small.
    learnt : list of (n,) bool
        Of each section, the spots that this epoch had learnt from.
    held_out : HeldOutSections
        Sections that were not trained on.
    learnt_before : list of str
        Names of sections from which the model that the run started from had learnt already.
    """

    run: Path
    model: Path
    settings: RunSettings
    sections: list[Section]
    blocks: dict[int, HeldOutBlock]
    learnt: list[npt.NDArray[np.bool_]]
    held_out: HeldOutSections
    learnt_before: list[str]
