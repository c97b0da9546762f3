"""The tissue image that goes into an exported file, read small from the slide."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide

# Longest side in pixels, as Space Ranger has them.
SIDES = {"hires": 2000, "lowres": 600}

_STRIP = 256  # rows read at a time: a strip of the next finer level stays small

RGB = npt.NDArray[np.uint8]


def _open(prediction: Prediction) -> Slide | None:
    """Open the slide that was predicted, or warn and return None if it is not there or is another one."""
    path = prediction.slide.get("path")
    if not path or not Path(path).exists():
        return _without("it is not there any more", path)
    from napari_nh2st.slides import open_slide

    try:
        slide = open_slide(path)
    except (OSError, ValueError, Nh2stError) as error:
        return _without(str(error), path)
    if prediction.slide.get("fingerprint") in (None, slide.fingerprint):
        return slide
    slide.close()
    return _without("another image now has its name", path)


def _without(reason: str, path: str | None) -> Slide | None:
    """Warn that the tissue image is left out, and return no slide."""
    warnings.warn(f"exported without a tissue image, the slide {path} was not used: {reason}", stacklevel=3)
    return None


def small(slide: Slide, side: int) -> tuple[RGB, float]:
    """Read the whole slide at no more than `side` pixels along its longer side.

    Parameters
    ----------
    slide : Slide
    side : int

    Returns
    -------
    (h, w, 3) uint8
    scale : float
        Its pixels per level-0 pixel, at most 1; its top-left corner is the slide's.
    """
    height, width = slide.shape
    step = max(1.0, max(height, width) / side)  # level-0 px per pixel
    h, w = (max(1, math.floor(n / step + 1e-9)) for n in (height, width))
    picture = np.empty((h, w, 3), dtype=np.uint8)
    for top in range(0, h, _STRIP):
        rows = min(_STRIP, h - top)
        picture[top : top + rows] = slide.read(0, top, w, rows, step)
    return picture, 1 / step


def tissue_pictures(prediction: Prediction) -> tuple[dict[str, RGB], dict[str, float]]:
    """Read the tissue as Space Ranger stores it.

    Returns
    -------
    pictures : dict
        ``hires`` and ``lowres``, (h, w, 3) uint8; empty, with a warning, where the slide cannot be opened.
    scalefactors : dict
        ``tissue_hires_scalef`` and ``tissue_lowres_scalef``: picture pixels per level-0 pixel.
    """
    slide = _open(prediction)
    if slide is None:
        return {}, {}
    pictures, scalefactors = {}, {}
    try:
        for name, side in SIDES.items():
            pictures[name], scalefactors[f"tissue_{name}_scalef"] = small(slide, side)
    finally:
        slide.close()
    return pictures, scalefactors
