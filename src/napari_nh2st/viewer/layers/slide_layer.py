"""The layer of a slide."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.geometry import FloatArray
from napari_nh2st.viewer.layers.frames import slide_frame
from napari_nh2st.viewer.layers.roles import Kind, MapRole, SlideRole, give_role, role_of, slide_role
from napari_nh2st.viewer.layers.stacking import gather
from napari_nh2st.viewer.layers.tissue import align_tissue

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.slides import Slide


def set_slide(viewer: ViewerModel, layer: Layer, slide: Slide, *, move: bool = True) -> None:
    """Put a Slide behind a layer, and the layer and what lies on it into the slide's micrometres.

    What was drawn on its tissue stays there. What lies on its tiles at another pixel size is taken away: those were
    other tiles.

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
    grown = np.divide(frame["scale"], np.asarray(layer.scale)[-2:])
    layer.scale, layer.units = frame["scale"], frame["units"]
    for other in _drawn_by_hand(viewer):
        _keep_on_tissue(other, layer, grown)
    for other in list(viewer.layers):
        role = role_of(other)
        if role is None or role.fingerprint != slide.fingerprint or role.kind in (Kind.SLIDE, Kind.TISSUE):
            continue
        if role.kind is Kind.ARTEFACTS:  # found at so many micrometres per pixel
            if role.provenance["mpp"] != slide.mpp:
                viewer.layers.remove(other)
        elif not isinstance(role, MapRole):
            _keep_on_tissue(other, layer, grown)
        elif role.map.slide["mpp"] != slide.mpp:
            viewer.layers.remove(other)
    align_tissue(viewer, slide, layer)


def _drawn_by_hand(viewer: ViewerModel) -> list[Layer]:
    """Return shapes and points without a role that were drawn here; none where they may lie on another slide."""
    from napari.layers import Points, Shapes

    if sum(isinstance(role_of(layer), SlideRole) for layer in viewer.layers) > 1:
        return []
    plain = (layer for layer in viewer.layers if isinstance(layer, Shapes | Points) and role_of(layer) is None)
    return [layer for layer in plain if layer.ndim == 2 and layer.source.path is None]


def _keep_on_tissue(layer: Layer, slide_layer: Layer, grown: FloatArray) -> None:
    """Move what was drawn on a slide whose pixels have grown, (y, x) times, along with its tissue."""
    corner = np.asarray(slide_layer.translate)[-2:]  # of the slide: it stays where it is
    translate = corner + (np.asarray(layer.translate)[-2:] - corner) * grown
    layer.scale, layer.translate = np.asarray(layer.scale)[-2:] * grown, translate
