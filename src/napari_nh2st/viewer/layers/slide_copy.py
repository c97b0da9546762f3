"""A slide once more in the same window: each cell of napari's grid needs tissue of its own. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.names import name_for
from napari_nh2st.viewer.layers.roles import KEY, Kind, Role, fingerprint_of
from napari_nh2st.viewer.layers.stacking import place

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_COPIES: WeakKeyDictionary[Layer, WeakSet[Layer]] = WeakKeyDictionary()  # by the layer of the slide


def copy_slide(viewer: ViewerModel, slide_layer: Layer, title: str) -> Layer:
    """Add a slide once more, where it lies and with the pixels that are read for it.

    Parameters
    ----------
    title : str
        Follows the slide in the layer's name.
    """
    from napari.layers import Image

    role = Role(kind=Kind.COPY, fingerprint=fingerprint_of(slide_layer), title=title)
    data = list(slide_layer.data) if slide_layer.multiscale else slide_layer.data
    layer = Image(
        data,
        rgb=True,
        multiscale=slide_layer.multiscale,
        name=name_for(role, viewer),
        metadata={KEY: role},
        opacity=slide_layer.opacity,
        **map_frame(1.0, (0.5, 0.5), 1.0, slide_layer),
    )
    _COPIES.setdefault(slide_layer, WeakSet()).add(layer)
    place(viewer, layer)
    return layer


def copies_of(slide_layer: Layer) -> list[Layer]:
    """Return the copies of a slide's layer: what is read for it is drawn in them, too."""
    return list(_COPIES.get(slide_layer, ()))
