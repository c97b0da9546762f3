"""What came of a run, for the one who scores it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_nh2st.training.run.record import RunSettings
from napari_nh2st.training.sections.held_out_sections import HeldOutSections
from napari_nh2st.training.sections.section import Section


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """What came of a run.

    Attributes
    ----------
    run, model : Path
        Its folder, and the model's in it.
    settings : RunSettings
    sections : list of Section
        That were trained on.
    blocks : list of tuple
        Of each of them the held-out spots (k,), measured (k, G) and as the best epoch predicts them (k, G).
    held_out : HeldOutSections
        Sections that were not trained on.
    """

    run: Path
    model: Path
    settings: RunSettings
    sections: list[Section]
    blocks: list[tuple[npt.NDArray[Any], ...]]
    held_out: HeldOutSections
