"""Several open slides: the chosen one is in sight with its layers, the others wait as they were left.

All slides begin at the world's origin, so that two of them would lie on top of one another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_nh2st.viewer.layers.in_step import told_once
from napari_nh2st.viewer.layers.roles import Kind, fingerprint_of, is_opening, kind_of, layer_of_slide, map_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.geometry import FloatArray
    from napari_nh2st.viewer.state.predicted_map import PredictedMap
_FITTED = 0.95  # of the canvas, along the side that is filled most: as napari fits what it shows
# The section that draws them takes them away when another slide is chosen.
_TAKEN_AWAY = (Kind.MEASURED, Kind.DIFFERENCE, Kind.RINGS)
# Layers that were put away, and whether they were visible then; of no dock, since the next one goes on from there.
_PUT_AWAY: WeakKeyDictionary[Layer, bool] = WeakKeyDictionary()


class OpenSlides:
    """Keeps one of several open slides in sight.

    Only layers of ours are shown and hidden, and only when another slide is chosen: the user may show and hide them
    at any time. A slide that was put away and that the user has shown stays in sight, whatever is chosen, until they
    hide it; and if they choose that one, nothing is put away.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._chosen: Layer | None = None
        self._by_hand: set[str] = set()  # slides that the user has shown beside the chosen one, by fingerprint
        self._seen = _PUT_AWAY
        self._cameras: WeakKeyDictionary[Layer, tuple[Any, float]] = WeakKeyDictionary()
        self._all_in_sight = False
        self._canvas = np.asarray(viewer.canvas.size, dtype=float)
        self._fitted: tuple[Layer, Any, float] | None = None  # the slide that was fitted last, and the camera then

    def choose(self, layer: Layer | None) -> None:
        """Put the other slides away with their layers, and go to where this one was looked at last.

        Call `settle` when its heatmap has been brought out.
        """
        before, self._chosen = self._chosen, layer
        if layer is None or self._all_in_sight:
            return
        if layer == before:
            if self._fitted == (layer, *self._camera()):  # as a placeholder, which may have had another size
                self._fit(layer)
            return
        if before is not None and not is_opening(before):  # a placeholder may have had another size
            if before in self._viewer.layers and self._is_fitted(before):
                self._cameras.pop(before, None)  # it is fitted into the canvas as that will be by then
            else:
                self._cameras[before] = self._camera()
        self._notice_by_hand()
        if fingerprint_of(layer) in self._by_hand:
            if before is not None and before in self._viewer.layers and before.visible:
                self._by_hand.add(str(fingerprint_of(before)))
            return
        with told_once(self._viewer):
            self._put_away(layer)
            layer.visible = True
        if layer in self._cameras:
            self._viewer.scene.camera.center, self._viewer.scene.camera.zoom = self._cameras[layer]
        elif before is not None or self._stands_in_the_middle(layer):  # it may not fit: napari made room for its lists
            self._fit(layer)

    def canvas_resized(self) -> None:
        """Fit the chosen slide into the canvas again, unless a person has moved the view since it was fitted."""
        layer = self._chosen
        fitted = layer is not None and self._is_fitted(layer)
        self._canvas = np.asarray(self._viewer.canvas.size, dtype=float)
        if layer is not None and fitted and not self._all_in_sight and self._viewer.dims.ndisplay == 2:
            self._fit(layer)

    def _fit(self, layer: Layer) -> None:
        self._viewer.fit_to_view(layers=[layer])
        self._fitted = layer, *self._camera()

    def _camera(self) -> tuple[Any, float]:
        return tuple(self._viewer.scene.camera.center), float(self._viewer.scene.camera.zoom)

    def _is_fitted(self, layer: Layer) -> bool:
        """Tell whether nobody has moved the view since a slide was fitted into the canvas, by us or by napari."""
        if self._fitted == (layer, *self._camera()):
            return True
        zoom = _FITTED * (self._canvas / np.maximum(_sides(layer), 1e-9)).min()
        return self._stands_in_the_middle(layer) and bool(np.isclose(self._viewer.scene.camera.zoom, zoom, rtol=0.01))

    def _stands_in_the_middle(self, layer: Layer) -> bool:
        middle = np.asarray(layer.extent.world)[:, -2:].mean(axis=0)
        off = np.abs(np.asarray(self._viewer.scene.camera.center)[-2:] - middle)
        return bool((off < 1e-3 * _sides(layer)).all())

    def settle(self) -> None:
        """Show what was visible of the chosen slide when it was put away, and nothing that lies on another one."""
        if self._chosen is None or self._all_in_sight:
            return
        with told_once(self._viewer):
            self._settle(self._chosen)

    def _settle(self, chosen: Layer) -> None:
        own = fingerprint_of(chosen)
        for layer in self._viewer.layers:
            if layer in self._seen and fingerprint_of(layer) == own:
                was_visible = self._seen.pop(layer)
                layer.visible = was_visible or layer == chosen  # whoever hid it: it was chosen to be seen
            elif layer.visible and map_of(layer) is not None and self._waits(layer, chosen):
                self._seen[layer] = True
                layer.visible = False

    def put_away(self, layer: Layer) -> None:
        """Put a slide away that has just been opened while another one is chosen."""
        if self._chosen is not None and not self._all_in_sight and self._elsewhere(layer, self._chosen):
            self._seen[layer] = layer.visible
            layer.visible = False

    def slide_closed(self, fingerprint: str) -> None:
        """Put away what was predicted on a slide that was closed: it does not belong on the one that is chosen now."""
        if self._chosen is None or self._all_in_sight:
            return
        for layer in self._viewer.layers:
            if layer.visible and map_of(layer) is not None and fingerprint_of(layer) == fingerprint:
                self._seen[layer] = True
                layer.visible = False

    def show_alone(self, fingerprint: str | None) -> None:
        """Put all slides away with their layers, for what was predicted on a slide that is not open."""
        self._chosen = None
        for layer in self._viewer.layers:
            if fingerprint_of(layer) not in (None, fingerprint) and (layer.visible or layer not in self._seen):
                self._seen[layer] = layer.visible
                layer.visible = False

    @property
    def all_in_sight(self) -> bool:
        """True while layers are left as they are: something is laid out side by side."""
        return self._all_in_sight

    def keep_all_in_sight(self, on: bool) -> None:
        """Leave the layers as they are for a while; afterwards the slide that is chosen by then is in sight again."""
        self._all_in_sight = on
        if not on and self._chosen is not None and self._chosen in self._viewer.layers:
            with told_once(self._viewer):
                self._put_away(self._chosen)
                self._chosen.visible = True
                self.settle()

    def close(self) -> None:
        """Leave all layers to the user as they are: the other slides, hidden, would lie on top of the chosen one."""
        self._chosen = None
        for layer in self._viewer.layers:
            if not self._seen.get(layer, True):
                del self._seen[layer]  # the user may show it by now

    def is_elsewhere(self, prediction_map: PredictedMap) -> bool:
        """Tell whether a map lies on an open slide that is not the chosen one."""
        own = layer_of_slide(self._viewer, prediction_map.slide.get("fingerprint"))
        return own is not None and self._chosen is not None and fingerprint_of(own) != fingerprint_of(self._chosen)

    def _put_away(self, chosen: Layer) -> None:
        for layer in self._viewer.layers:
            if self._waits(layer, chosen) and (layer.visible or layer not in self._seen):
                self._seen[layer] = layer.visible
                layer.visible = False

    def _notice_by_hand(self) -> None:
        """Take note of slides that were put away and are in sight, and of those that the user has hidden again."""
        for layer in self._viewer.layers:
            if kind_of(layer) is not Kind.SLIDE:
                continue
            own = str(fingerprint_of(layer))
            if not layer.visible:
                self._by_hand.discard(own)
            elif layer in self._seen:
                self._by_hand.add(own)
        for layer in self._viewer.layers:
            if layer.visible and fingerprint_of(layer) in self._by_hand:
                self._seen.pop(layer, None)

    def _waits(self, layer: Layer, chosen: Layer) -> bool:
        """Tell whether a layer is to be out of sight while a slide is chosen."""
        return self._elsewhere(layer, chosen) and fingerprint_of(layer) not in self._by_hand

    def _elsewhere(self, layer: Layer, chosen: Layer) -> bool:
        of = None if kind_of(layer) in _TAKEN_AWAY else fingerprint_of(layer)
        if of in (None, fingerprint_of(chosen)):
            return False
        return map_of(layer) is not None or layer_of_slide(self._viewer, of) is not None


def _sides(layer: Layer) -> FloatArray:
    """Return how high and how wide a slide is in the world."""
    low, high = np.asarray(layer.extent.world)[:, -2:]
    return np.asarray(high - low, dtype=np.float64)
