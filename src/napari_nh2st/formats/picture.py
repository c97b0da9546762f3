"""The small tissue image for an exported file, read from the slide."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import Box
from napari_nh2st.slide_path import is_there

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide

# Longest side in pixels, as Space Ranger has them.
SIDES = {"hires": 2000, "lowres": 600}

_STRIP = 256  # rows read at a time: a strip of the next finer level stays small

RGB = npt.NDArray[np.uint8]


def find_slide(prediction: Prediction) -> tuple[Slide | None, str]:
    """Open the predicted slide; if it is missing or another one, return None and the reason."""
    path = prediction.slide.get("path")
    if not path or not is_there(path):
        return None, f"the slide {path} was not used: it is not there any more"
    from napari_nh2st.slides import open_slide

    try:
        slide = open_slide(path)
    except (OSError, ValueError, Nh2stError) as error:
        return None, f"the slide {path} was not used: {error}"
    if prediction.slide.get("fingerprint") in (None, slide.fingerprint):
        return slide, ""
    slide.close()
    return None, f"the slide {path} was not used: another image now has its name"


@contextmanager
def of_prediction(prediction: Prediction, slide: Slide | str | Path | None) -> Iterator[Slide | None]:
    """Open the slide that a caller names for a prediction, and close it if it was not open.

    Raises
    ------
    Nh2stError
        If it is another slide than the one that was predicted.
    """
    from napari_nh2st.slides import open_slide

    opened = open_slide(slide) if isinstance(slide, (str, Path)) else slide
    try:
        if opened is not None and prediction.slide.get("fingerprint") not in (None, opened.fingerprint):
            raise Nh2stError(f"{opened.path} is another slide than the one that was predicted")
        yield opened
    finally:
        if opened is not None and opened is not slide:
            opened.close()


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
        Image pixels per level-0 pixel, at most 1; the image's top-left corner is the slide's.
    """
    height, width = slide.shape
    step = max(1.0, max(height, width) / side)
    h, w = (max(1, math.floor(n / step + 1e-9)) for n in (height, width))
    return _read(slide, 0, 0, (h, w), step), 1 / step


def part(slide: Slide, box: Box, side: int) -> tuple[RGB, Box]:
    """Read a part of a slide at about `side` pixels along its longer side, never finer than the slide.

    Returns
    -------
    (h, w, 3) uint8
        White where the box reaches beyond the slide.
    Box
        The box of the picture, level-0 pixels: the requested one, grown to whole pixels of the picture.
    """
    step = max(1.0, max(box.width, box.height) / side)
    left, top = math.floor(box.x0 / step), math.floor(box.y0 / step)
    right, bottom = math.ceil(box.x1 / step), math.ceil(box.y1 / step)
    picture = _read(slide, left, top, (bottom - top, right - left), step)
    return picture, Box(left * step, top * step, right * step, bottom * step)


def _read(slide: Slide, left: int, top: int, shape: tuple[int, int], step: float) -> RGB:
    """Read a picture of this shape, with pixels of `step` level-0 pixels, strip by strip."""
    picture = np.empty((*shape, 3), dtype=np.uint8)
    for row in range(0, shape[0], _STRIP):
        rows = min(_STRIP, shape[0] - row)
        picture[row : row + rows] = slide.read(left, top + row, shape[1], rows, step)
    return picture


def tissue_pictures(prediction: Prediction) -> tuple[dict[str, RGB], dict[str, float]]:
    """Read the tissue image in the form that Space Ranger stores.

    Returns
    -------
    pictures : dict
        ``hires`` and ``lowres``, (h, w, 3) uint8; empty, with a warning, if the slide cannot be opened.
    scalefactors : dict
        ``tissue_hires_scalef`` and ``tissue_lowres_scalef``: picture pixels per level-0 pixel.
    """
    slide, reason = find_slide(prediction)
    if slide is None:
        warnings.warn(f"exported without a tissue image, {reason}", stacklevel=3)
        return {}, {}
    pictures, scalefactors = {}, {}
    try:
        for name, side in SIDES.items():
            pictures[name], scalefactors[f"tissue_{name}_scalef"] = small(slide, side)
    finally:
        slide.close()
    return pictures, scalefactors
