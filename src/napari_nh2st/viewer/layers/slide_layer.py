"""The layer of a slide."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nh2st.viewer.layers.frames import slide_frame
from napari_nh2st.viewer.layers.roles import MapRole, SlideRole, give_role, role_of, slide_role
from napari_nh2st.viewer.layers.stacking import gather
from napari_nh2st.viewer.layers.tissue import align_tissue

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.slides import Slide


def set_slide(viewer: ViewerModel, layer: Layer, slide: Slide, *, move: bool = True) -> None:
    """Put a Slide behind a layer, and the layer and what lies on it into the slide's micrometres.

    What lies on its tiles at another pixel size is taken away: those were other tiles.

    Parameters
    ----------
    move : bool
        False leaves the layer where another reader or the user put it, but for the name of its unit.
    """
    before = role_of(layer)
    give_role(layer, replace(before, slide=slide) if isinstance(before, SlideRole) else slide_role(slide))
    gather(viewer, layer)
    frame = slide_frame(slide)
    if not move:
        layer.units = (*layer.units[:-2], *frame["units"])
        return
    layer.scale, layer.units = frame["scale"], frame["units"]
    for other in list(viewer.layers):
        role = role_of(other)
        if isinstance(role, MapRole) and role.fingerprint == slide.fingerprint and role.map.slide["mpp"] != slide.mpp:
            viewer.layers.remove(other)
    align_tissue(viewer, slide, layer)
