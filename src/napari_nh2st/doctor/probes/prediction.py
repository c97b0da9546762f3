"""Probe: the folder of a prediction is read as an export reads it, and its slide is looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_nh2st.doctor.child import error_line, tell
from napari_nh2st.engine.file_lock import who_writes
from napari_nh2st.engine.store import DAMAGED, PredictionStore, find_prediction


def probe(path: str) -> None:
    """Tell what a folder holds, whether its values are numbers, and whether its slide is still there."""
    folder = find_prediction(path)
    tell("written_by", who_writes(folder))
    store = PredictionStore(folder)
    tell("command", str(store.meta.get("provenance", {}).get("command", "")))
    _look_for_slide(store.meta.get("slide", {}))
    prediction = store.prediction()
    tell("damaged", int(np.count_nonzero(store.states == DAMAGED)))
    tell("genes", len(prediction.genes))
    tell("not_finite", int(np.count_nonzero(~prediction.done)))
    tell("tiles", len(prediction))


def _look_for_slide(facts: dict[str, Any]) -> None:
    from napari_nh2st.slides import open_slide

    path = facts.get("path")
    if not path or not facts.get("fingerprint"):
        return
    if not Path(path).exists():
        tell("slide", "gone")
        return
    try:
        with open_slide(path, mpp=facts.get("mpp")) as slide:
            tell("slide", "same" if slide.fingerprint == facts["fingerprint"] else "other")
    except Exception as error:
        tell("slide", error_line(error))
