"""Whatever lies on the tissue, faded or hidden at once, so that the tissue below it is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from psygnal import Signal

from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.layers.instead import INSTEAD
from napari_nh2st.viewer.layers.roles import HEATMAPS, Kind, kind_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

FADED = (*HEATMAPS, *INSTEAD, Kind.NOVELTY, Kind.DOMAINS, Kind.MEASURED, Kind.DIFFERENCE)
_FAINT = 0.05  # so little of a layer's opacity says nothing of what the user meant


class Fade:
    """Fades maps, domains and measured spots, each from the opacity that the user gave it.

    Attributes
    ----------
    level : float
        0 shows the tissue alone, 1 everything as it is.
    hidden : bool
        Everything is out of sight for a while; `level` stays known.
    """

    changed = Signal()
    """The level or `hidden` is another one."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.level, self.hidden = 1.0, False
        self._own: WeakKeyDictionary[Layer, float] = WeakKeyDictionary()
        self._setting = False
        self._connections = Connections()
        self._connections.add(viewer.layers.events.inserted, self._inserted)
        self._apply()

    @property
    def shown(self) -> float:
        """How much of everything is in sight now, 0 to 1."""
        return 0.0 if self.hidden else self.level

    def fade(self, level: float) -> None:
        """Fade everything to a level; what was hidden comes back."""
        self._set(level, hidden=False)

    def toggle(self) -> None:
        """Hide everything, or bring it back."""
        if self.level < _FAINT:
            self._set(1.0, hidden=False)
        else:
            self._set(self.level, hidden=not self.hidden)

    def close(self) -> None:
        """Give each layer its own opacity back, and let go of the viewer."""
        self._set(1.0, hidden=False)
        self._connections.close()

    def _set(self, level: float, *, hidden: bool) -> None:
        if (level, hidden) != (self.level, self.hidden):
            self.level, self.hidden = level, hidden
            self._apply()
            self.changed.emit()

    def _apply(self) -> None:
        for layer in self._viewer.layers:
            if kind_of(layer) in FADED:
                self._fade(layer)

    def _inserted(self, event: Any) -> None:
        if kind_of(event.value) in FADED:
            self._fade(event.value)

    def _fade(self, layer: Layer) -> None:
        if layer not in self._own:
            self._own[layer] = float(layer.opacity)
            layer.events.opacity.connect(self._heard)  # napari holds it weakly
        self._setting = True
        try:
            layer.opacity = self._own[layer] * self.shown
        finally:
            self._setting = False

    def _heard(self, event: Any) -> None:
        """Take over an opacity that the user has set; of a layer that is out of sight, it brings everything back."""
        if self._setting:
            return
        layer, opacity = event.source, float(event.source.opacity)
        if self.shown < _FAINT:
            self._own[layer] = opacity
            self._set(self.level if self.level >= _FAINT else 1.0, hidden=False)
        else:
            self._own[layer] = min(1.0, opacity / self.shown)
