"""A layer that the plugin adds and the user may do anything with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.viewer.layers.names import name_layers
from napari_nh2st.viewer.layers.roles import change_role, left_in_place_of, role_of
from napari_nh2st.viewer.layers.stacking import place

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


class OwnedLayer:
    """One layer of ours in the viewer, or the wish for it.

    The user may rename, move, hide or delete the layer at any time: what they changed is left alone, and a deleted
    layer stays away until it is asked for again.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.layer: Layer | None = None

    @property
    def present(self) -> bool:
        """True if the layer is in the viewer."""
        return self.layer is not None and self.layer in self.viewer.layers

    @property
    def visible(self) -> bool:
        """True if the layer is there and not hidden."""
        return self.layer is not None and self.present and bool(self.layer.visible)

    def hide(self) -> None:
        """Put the layer out of sight."""
        if self.layer is not None and self.present:
            self.layer.visible = False

    def remove(self) -> None:
        """Take the layer away."""
        if self.present:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def retitle(self, title: str) -> None:
        """Say what the layer shows; its name follows, unless the user gave it one."""
        if self.layer is not None and self.present:
            change_role(self.layer, title=title)
            name_layers(self.viewer)

    def _take(self, layer: Layer) -> None:
        """Put a new layer where it belongs, and take away what a closed dock left of the same."""
        self.layer = layer
        role = role_of(layer)
        for left in [] if role is None else left_in_place_of(self.viewer, role):
            self.viewer.layers.remove(left)
        place(self.viewer, layer)
        name_layers(self.viewer)  # with a second model on a slide, all of them get longer names
