"""Probe: other people's models are looked for and imported, as the list of models does."""

from __future__ import annotations

import sys

from napari_nh2st.doctor.child import tell


def probe() -> None:
    """Tell how many work, why others do not, and whether looking for them loads torch."""
    from napari_nh2st.model.predictors import list_predictors

    listed = list_predictors()
    tell("working", sum(one.model is not None for one in listed))
    tell("troubles", [one.trouble for one in listed if one.trouble])
    tell("torch", "torch" in sys.modules)
