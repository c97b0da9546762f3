"""napari's layer list in step with the dock: names, places, and the slide that is selected. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.layers.names import name_layers
from napari_nh2st.viewer.layers.roles import Kind, fingerprint_of, kind_of, layer_of_slide
from napari_nh2st.viewer.layers.stacking import gather
from napari_nh2st.viewer.predict.workspace import Workspace

if TYPE_CHECKING:
    from napari.layers import Layer

_AT_REST = ("pan_zoom", "transform")  # modes in which a click draws nothing


class LayerList:
    """Keeps the layers of a slide together and named after it, and one slide chosen in the dock and in napari.

    Parameters
    ----------
    workspace : Workspace
    choose : callable
        Chooses a slide in the dock by its layer; any other layer is ignored.
    """

    def __init__(self, workspace: Workspace, choose: Callable[[Layer], None]) -> None:
        self._workspace, self._choose = workspace, choose
        self._new: list[Layer] = []
        events, connections = workspace.viewer.layers.events, Connections()
        connections.add(events.inserted, self._inserted)
        connections.add(events.renamed, self._renamed)
        workspace.state.events.slide_layer.connect(self._select)
        workspace.when_closing(connections.close)

    def settle(self) -> None:
        """Put new layers where they belong, and choose the slide of the layer that is selected.

        Call it when the layers or their selection have changed, and napari is done with that.
        """
        layers = self._workspace.viewer.layers
        new, self._new = self._new, []
        for layer in new:
            if layer in layers:
                gather(self._workspace.viewer, layer)
        name_layers(self._workspace.viewer)
        active = layers.selection.active
        if active is not None and not self._is_of(active, self._workspace.state.slide_layer):
            self._choose(layer_of_slide(self._workspace.viewer, fingerprint_of(active)) or active)

    def _inserted(self, event: Any) -> None:
        if kind_of(event.value) is not Kind.COPY:  # its place is a cell of the grid
            self._new.append(event.value)

    def _renamed(self, event: Any = None) -> None:
        name_layers(self._workspace.viewer)  # a slide may have got another name

    def _select(self, slide_layer: Layer | None) -> None:
        """Select the slide that was chosen in the dock, unless something of it is selected or a person draws."""
        selection = self._workspace.viewer.layers.selection
        active = selection.active
        if slide_layer is None or slide_layer not in self._workspace.viewer.layers:
            return
        if active is not None and (self._is_of(active, slide_layer) or self._is_used(active)):
            return
        selection.active = slide_layer

    def _is_of(self, layer: Layer, slide_layer: Layer | None) -> bool:
        own = fingerprint_of(layer)
        return layer == slide_layer or (own is not None and own == fingerprint_of(slide_layer))

    def _is_used(self, layer: Layer) -> bool:
        """Return True if a person draws in a layer, or predicts in its shapes."""
        from napari.layers import Shapes

        drawing = str(getattr(layer, "mode", _AT_REST[0])) not in _AT_REST
        return drawing or (isinstance(layer, Shapes) and self._workspace.state.where == "shape")
