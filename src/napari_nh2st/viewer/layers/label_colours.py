"""Colours of Labels layers, in which what has no number is see-through."""

from __future__ import annotations

from typing import Any

import numpy as np

_SEE_THROUGH = "transparent"


def label_colormap(colours: dict[int | None, str], others: str = _SEE_THROUGH) -> Any:
    """Return a DirectLabelColormap: a colour for each number, and one for all other numbers but 0."""
    from napari.utils import DirectLabelColormap

    every: dict[int | None, str] = {None: others, 0: _SEE_THROUGH, **colours}
    return DirectLabelColormap(color_dict=every)


def prepare_labels(dtype: Any) -> None:
    """Let napari compile how it colours numbers of this type: seconds the first time. Not on the GUI thread."""
    label_colormap({1: "red"}).map(np.zeros((2, 2), dtype))
