"""Names of layers and words on the canvas in step with the layers, with a dock or without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.layers.legend import show_legend
from napari_nh2st.viewer.layers.names import name_layers
from napari_nh2st.viewer.layers.roles import MapRole, role_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class _Watch:
    """Listens to one viewer for as long as a layer that says something on the canvas is in it."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = ref(viewer)
        self._connections = Connections()
        self.holds, self._missed = 0, False
        events, grid = viewer.layers.events, viewer.canvas.grid.events
        layout = (viewer.canvas.events.size, grid.enabled, grid.stride, grid.shape)
        for changed in (events.inserted, events.reordered, *layout):
            self._connections.add(changed, self.tell)
        self._connections.add(events.removed, self._removed)

    def follow(self, layer: Layer) -> None:
        """Hear what the user does with a layer; once, however often this is asked for."""
        for name in ("visible", "contrast_limits"):
            if name in layer.events:
                layer.events[name].connect(self.tell)

    def tell(self, event: object = None) -> None:
        viewer = self._viewer()
        self._missed = self.holds > 0
        if viewer is not None and not self._missed:
            name_layers(viewer)  # a model or a slide may have come or gone
            show_legend(viewer)

    def let_go(self) -> None:
        self.holds -= 1
        if self._missed:
            self.tell()

    def _removed(self, event: object = None) -> None:
        self.tell()
        viewer = self._viewer()
        if viewer is not None and not any(_is_followed(layer) for layer in viewer.layers):
            self._connections.close()
            _WATCHES.pop(viewer, None)


def _is_followed(layer: Layer) -> bool:
    role = role_of(layer)
    return isinstance(role, MapRole) or (role is not None and bool(role.label or role.legend))


_WATCHES: WeakKeyDictionary[ViewerModel, _Watch] = WeakKeyDictionary()  # napari holds what listens weakly


@contextmanager
def told_once(viewer: ViewerModel) -> Iterator[None]:
    """Write once, at the end, however many layers of a viewer change: each time takes as long as showing a layer."""
    watch = _WATCHES.get(viewer)
    if watch is None:
        yield
        return
    watch.holds += 1
    try:
        yield
    finally:
        watch.let_go()


def keep_in_step(viewer: ViewerModel, layer: Layer) -> None:
    """Rename layers and write the legend anew when layers of this viewer change, until the last one is gone.

    Parameters
    ----------
    layer : Layer
        On the lattice of a map, or one with a label or a legend; it may be about to be added.
    """
    if viewer not in _WATCHES:
        _WATCHES[viewer] = _Watch(viewer)
    _WATCHES[viewer].follow(layer)
