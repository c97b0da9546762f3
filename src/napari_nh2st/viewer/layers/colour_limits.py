"""The limits of a layer's colours: those that fit its values, or those that the user gave it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_nh2st.formats.limits import Limits

if TYPE_CHECKING:
    from napari.layers import Image


def limits_of_layer(layer: Image) -> Limits:
    """Return the limits that a layer has."""
    low, high = (float(end) for end in layer.contrast_limits)
    return Limits(low, high)


class ColourLimits:
    """Sets the limits of a layer and tells the user's changes from its own.

    Parameters
    ----------
    moved : callable
        Called when the user has moved the limits.

    Attributes
    ----------
    now : Limits
    """

    def __init__(self, moved: Callable[[], None]) -> None:
        self.now = Limits(0.0, 1.0)
        self._moved = moved
        self._layer: Image | None = None
        self._setting = False

    def watch(self, layer: Image, reach: tuple[float, float] | None = None) -> None:
        """Set, and hear of, the limits of this layer from now on."""
        self._layer = layer
        if reach is not None:
            layer.contrast_limits_range = reach
        layer.events.contrast_limits.connect(self._heard)

    def set(self, limits: Limits, reach: tuple[float, float] | None = None) -> None:
        """Set limits that are not the user's wish.

        Parameters
        ----------
        reach : (low, high), optional
            How far the sliders in napari's controls reach.
        """
        self.now = limits
        layer, ends = self._layer, (limits.low, limits.high)
        if layer is None or ends == tuple(layer.contrast_limits):
            return
        if reach is not None:
            with layer.events.contrast_limits.blocker():  # else the colour bar is laid out twice
                layer.contrast_limits_range = reach
        self._setting = True
        try:
            layer.contrast_limits = ends
        finally:
            self._setting = False

    def _heard(self, event: Any) -> None:
        if self._setting or event.source != self._layer:
            return
        self.now = replace(limits_of_layer(event.source), note=self.now.note)
        self._moved()
