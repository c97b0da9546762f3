"""A line that a person draws along something of known length. It is there only while it is being drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Shapes

_FRAME = ("scale", "translate", "rotate", "shear", "affine", "units")
NAME = "line along the scale bar"
DRAWING = "add_line"  # napari's mode
_SHORTEST = 2.0  # pixels of the slide: less is a click
_COLOUR, _WIDTH = "#ff2fd0", 4.0  # seen on glass, on stain and on black; pixels of the screen


class MeasuringLine:
    """A temporary layer with at most one line.

    Parameters
    ----------
    viewer : ViewerModel
    drawn : callable
        Takes the line's length in pixels of the slide's finest level, 0 where there is none.
    """

    def __init__(self, viewer: ViewerModel, drawn: Callable[[float], object]) -> None:
        self._viewer, self._drawn = viewer, drawn
        self._layer: Shapes | None = None
        self._before: Layer | None = None

    def begin(self, slide_layer: Layer) -> None:
        """Let the mouse draw on a slide."""
        from napari.layers import Shapes

        self.end()
        self._before = self._viewer.layers.selection.active
        look = {"edge_color": _COLOUR, "edge_width": self._width(slide_layer), "opacity": 1.0}
        frame = {name: getattr(slide_layer, name) for name in _FRAME}
        self._layer = Shapes(ndim=2, name=NAME, **look, **frame)
        self._viewer.add_layer(self._layer)
        self._viewer.layers.selection.active = self._layer
        self._layer.mode = DRAWING
        self._layer.mouse_drag_callbacks.append(self._watch)

    def end(self) -> None:
        """Take the line away, and give the mouse back to the layer that had it."""
        layer, self._layer = self._layer, None
        if layer is None:
            return
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
        if self._before in self._viewer.layers:
            self._viewer.layers.selection.active = self._before
        self._before = None

    @property
    def length(self) -> float:
        """Length of the line, in pixels of the slide's finest level."""
        if self._layer is None or not len(self._layer.data):
            return 0.0
        start, end = np.asarray(self._layer.data[-1], dtype=float)[[0, -1], -2:]
        return float(np.hypot(*(end - start)))

    def _width(self, slide_layer: Layer) -> float:
        """Return how wide the line is to be in pixels of the slide, so that it is as wide on the screen at any zoom."""
        return _WIDTH / float(self._viewer.scene.camera.zoom) / float(np.asarray(slide_layer.scale)[-1])

    def _watch(self, layer: Shapes, event: Any) -> Iterator[None]:
        """Keep the line that is drawn last, and tell its length while it grows."""
        yield
        while event.type == "mouse_move":
            self._drawn(self.length)
            yield
        if self._layer is None:  # the tool was put down meanwhile
            return
        count = len(layer.data)
        layer.remove(list(range(count if self.length < _SHORTEST else count - 1)))
        self._drawn(self.length)
