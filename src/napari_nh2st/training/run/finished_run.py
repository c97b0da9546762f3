"""A finished run, as its scoring needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
    blocks : list of HeldOutBlock
        Of each of them, as the best epoch predicts it.
    held_out : HeldOutSections
        Sections that were not trained on.
    learnt_before : list of str
        Names of sections from which the model that the run started from had learnt already.
    """

    run: Path
    model: Path
    settings: RunSettings
    sections: list[Section]
    blocks: list[HeldOutBlock]
    held_out: HeldOutSections
    learnt_before: list[str]
