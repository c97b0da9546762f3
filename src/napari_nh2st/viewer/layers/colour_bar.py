"""Colour bars of maps on the canvas: their places, their sizes and the line breaks of the words beside them.

napari draws the bars: they follow colormap, limits and visibility of their layers, appear in pictures of the canvas,
and stand in their cell of a grid. It does not name them, and does not look at how large the canvas is.
"""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

CORNERS = ("top_left", "bottom_left", "top_right")  # of the topmost map in sight, of the one below it, of all others

FONT_SIZE = 9  # points
_LETTER, _LINE = 8.3, 20.0  # pixels that a letter and a line take at this size
_WIDTH, _HEIGHT, _LEAST = 25.0, 150.0, 40.0  # of a bar, in pixels of the screen's scale
_MARGIN = 24.0  # pixels, left and right of a text
_GAPS = 50.0  # pixels that go above, between and below


def has_bar(layer: Layer) -> bool:
    """Return True if a layer's colour bar is switched on."""
    return bool(getattr(getattr(layer, "colorbar", None), "visible", False))


def place_bar(viewer: ViewerModel, layer: Layer, corner: str, *, words: str, sharing: int) -> None:
    """Put a layer's colour bar into a corner, as high as there is room for.

    Parameters
    ----------
    words : str
        What stands beside it, broken into lines.
    sharing : int
        How many bars stand above one another along the same edge.
    """
    bar = getattr(layer, "colorbar", None)
    if bar is None:
        return
    room = cell_size(viewer)[0] / sharing - _LINE * len(words.split("\n")) - _GAPS
    bar.position = corner
    bar.size = (_WIDTH, float(min(_HEIGHT, max(_LEAST, room))))


def cell_size(viewer: ViewerModel) -> tuple[float, float]:
    """Return (height, width) of the canvas, or of a cell of its grid, in pixels of the screen's scale."""
    rows, columns = viewer.canvas.grid.actual_shape(viewer.layers)
    height, width = viewer.canvas.size
    return height / rows, width / columns


def broken(viewer: ViewerModel, text: str) -> str:
    """Break the lines of a text so that they fit on the canvas, or into a cell of its grid."""
    letters = max(10, int((cell_size(viewer)[1] - _MARGIN) / _LETTER))
    return "\n".join(part for line in text.split("\n") for part in textwrap.wrap(line, letters))


def span_words(low: float, high: float) -> str:
    """Write what colours span, with two digits of how much that is at least."""
    span = abs(high - low)
    digits = 2 if span >= 0.1 or span == 0 else min(6, 1 - math.floor(math.log10(span)))
    return f"{low:z.{digits}f} to {high:z.{digits}f}"
