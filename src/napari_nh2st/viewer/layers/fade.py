"""Whatever lies on the tissue, faded or hidden at once, so that the tissue below it is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from psygnal import Signal

from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.layers.instead import INSTEAD
from napari_nh2st.viewer.layers.roles import HEATMAPS, Kind, kind_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

FADED = (*HEATMAPS, *INSTEAD, Kind.NOVELTY, Kind.DOMAINS, Kind.MEASURED, Kind.DIFFERENCE)
_FAINT = 0.05  # so little of a layer's opacity says nothing of what the user meant
_OWN: WeakKeyDictionary[Layer, float] = WeakKeyDictionary()  # of layers that a dock fades: the opacity unfaded


def own_opacity(layer: Layer) -> float:
    """Return the opacity that the user gave a layer, however much it is faded now."""
    return _OWN.get(layer, float(layer.opacity))


def share_opacity(layers: Sequence[Layer]) -> None:
    """Give all layers the opacity of the first one, however much they are faded now."""
    for layer in layers[1:]:
        layer.opacity = layers[0].opacity
        if layers[0] in _OWN:
            _OWN[layer] = _OWN[layers[0]]


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
        self._followed: WeakSet[Layer] = WeakSet()
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
        for layer in self._followed:
            layer.events.opacity.disconnect(self._heard)
            _OWN.pop(layer, None)

    def give(self, layer: Layer, opacity: float) -> None:
        """Give a layer another opacity of its own; what was hidden comes back."""
        self._follow(layer)
        _OWN[layer] = opacity
        self._bring_back()
        self._fade(layer)

    def _set(self, level: float, *, hidden: bool) -> None:
        if (level, hidden) != (self.level, self.hidden):
            self.level, self.hidden = level, hidden
            self._apply()
            self.changed.emit()

    def _bring_back(self) -> None:
        self._set(self.level if self.level >= _FAINT else 1.0, hidden=False)

    def _apply(self) -> None:
        for layer in self._viewer.layers:
            if kind_of(layer) in FADED:
                self._follow(layer)
                self._fade(layer)

    def _inserted(self, event: Any) -> None:
        if kind_of(event.value) in FADED:
            self._follow(event.value)
            self._fade(event.value)

    def _follow(self, layer: Layer) -> None:
        if layer not in self._followed:
            self._followed.add(layer)
            _OWN[layer] = float(layer.opacity)
            layer.events.opacity.connect(self._heard)  # napari holds it weakly

    def _fade(self, layer: Layer) -> None:
        self._setting = True
        try:
            layer.opacity = _OWN[layer] * self.shown
        finally:
            self._setting = False

    def _heard(self, event: Any) -> None:
        """Take over an opacity that the user has set; of a layer that is out of sight, it brings everything back."""
        if self._setting:
            return
        layer, opacity = event.source, float(event.source.opacity)
        if self.shown < _FAINT:
            _OWN[layer] = opacity
            self._bring_back()
        else:
            _OWN[layer] = min(1.0, opacity / self.shown)
