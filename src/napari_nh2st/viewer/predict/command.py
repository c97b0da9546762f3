"""The command line that predicts what the dock would predict."""

from __future__ import annotations

import shlex
from typing import Any

from napari_nh2st.slides.mpp import GIVEN
from napari_nh2st.viewer.predict.region import Region


def command_line(
    slide: Any,
    model: str,
    region: Region,
    *,
    edited_tissue: bool,
    device: str = "auto",
    pitch: int | None = None,
    skip_artefacts: bool = False,
) -> str:
    """Return the `nh2st predict` line that does the same as the dock.

    A drawn outline is given by its bounding box: the command line has no outlines. `pitch` is None at coarse detail.
    """
    words = ["nh2st", "predict", str(slide.path), "--model", model, "--out", "predictions"]
    if region.box is not None:
        box = region.box
        words += ["--region", ",".join(str(round(v)) for v in (box.x0, box.y0, box.width, box.height))]
    if pitch is not None:
        words += ["--pitch", str(pitch)]
    if slide.mpp_source in GIVEN:
        words += ["--mpp", f"{slide.mpp:.6g}"]
    if skip_artefacts:
        words.append("--skip-artefacts")
    if device != "auto":
        words += ["--device", device]
    notes = [note for note, said in (("outline", region.polygons), ("edited tissue mask", edited_tissue)) if said]
    line = shlex.join(words)
    return f"{line}  # without the {' and the '.join(notes)}" if notes else line
