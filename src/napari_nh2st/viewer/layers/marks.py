"""Numbered marks that a person drags: landmarks of the spots, and of the slide. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.geometry import FloatArray
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.layers.roles import Kind
from napari_nh2st.viewer.layers.spots import SpotsLayer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_PIN = "#d6006ccc"
_DRAG = "select"  # the mode of a Points layer in which the mouse takes hold of a point


class MarksLayer(SpotsLayer):
    """One Points layer of numbered marks.

    Parameters
    ----------
    viewer : ViewerModel
    kind : Kind
        `SPOT_MARKS` or `SLIDE_MARKS`.
    began : callable
        Called when a person takes hold of marks.
    dragged : callable
        Called with the centres (n, 2) (x, y), level-0 pixels, each time that a person has moved marks, taken some
        away or added some.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        kind: Kind,
        began: Callable[[], None],
        dragged: Callable[[FloatArray], None],
    ) -> None:
        super().__init__(viewer, kind)
        self._began, self._dragged = began, dragged
        self._hearing = Connections()
        self._own = False  # we move them ourselves

    def put(self, centres: FloatArray, diameter: float, slide_layer: Layer | None, mpp: float, title: str) -> None:
        """Draw marks anew; a person can drag them at once."""
        self._hearing.close()
        self.create(centres, diameter, slide_layer, mpp, title, numbered=True)
        assert self.layer is not None
        self.layer.editable = True
        if self.kind is Kind.SLIDE_MARKS:  # a pin to take hold of, with its number in it
            self.layer.face_color, self.layer.text.color = _PIN, "white"
        else:
            self.layer.text.translation = np.array([0.75 * diameter, 0.0])
        self._hearing.add(self.layer.events.data, self._changed)

    def take(self) -> None:
        """Let the mouse drag these marks."""
        if self.layer is not None and self.present:
            self.viewer.layers.selection = {self.layer}
            self.layer.mode = _DRAG

    def follow(self, centres: FloatArray) -> None:
        """Put the marks elsewhere, without asking anybody."""
        if self.layer is None or not self.present:
            return
        self._own = True
        try:
            self.layer.data[:] = centres[:, ::-1] - 0.5  # in place: what a person holds stays in hand
            self.layer.refresh()
        finally:
            self._own = False

    def remove(self) -> None:
        """Take the marks away."""
        self._hearing.close()
        super().remove()

    def _changed(self, event: Any) -> None:
        if self._own or self.layer is None:
            return
        action = str(getattr(event, "action", ""))
        if action.endswith("changing"):
            self._began()
        elif not action.endswith(("adding", "removing")):
            self._dragged(np.asarray(self.layer.data, dtype=np.float64)[:, ::-1] + 0.5)
