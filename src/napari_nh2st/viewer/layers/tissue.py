"""The tissue mask of a slide as a layer that the user paints and erases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.viewer.layers.frames import mask_frame
from napari_nh2st.viewer.layers.label_colours import label_colormap
from napari_nh2st.viewer.layers.names import name_for
from napari_nh2st.viewer.layers.roles import KEY, Kind, Role, fingerprint_of, kind_of
from napari_nh2st.viewer.layers.stacking import place

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_nh2st.slides import Slide, TissueMask

_COLOUR, _OPACITY = "#00a896", 0.4


def tissue_layer_of(viewer: ViewerModel, slide: Slide) -> Labels | None:
    """Return the layer in which the user sees and edits this slide's tissue mask, if it is there."""
    for layer in viewer.layers:
        if kind_of(layer) is Kind.TISSUE and fingerprint_of(layer) == slide.fingerprint:
            return layer
    return None


def add_tissue_layer(viewer: ViewerModel, slide: Slide, tissue: TissueMask, slide_layer: Layer) -> Labels:
    """Add the tissue mask as a Labels layer that can be painted and erased, aligned with the slide."""
    from napari.layers import Labels

    role = Role(kind=Kind.TISSUE, fingerprint=slide.fingerprint, title="tissue mask")
    layer = Labels(
        np.asarray(tissue.mask).astype(np.uint8),
        name=name_for(role, viewer),
        opacity=_OPACITY,
        colormap=label_colormap({}, others=_COLOUR),
        metadata={KEY: role},
        **mask_frame(tissue.steps, slide_layer),
    )
    place(viewer, layer)
    layer.brush_size = max(4, layer.data.shape[0] // 60)
    viewer.layers.selection.active = layer  # it is there to be edited: its tools should be in sight
    return layer


def align_tissue(viewer: ViewerModel, slide: Slide, slide_layer: Layer) -> None:
    """Put the tissue mask of a slide, where there is one, back onto it."""
    layer = tissue_layer_of(viewer, slide)
    if layer is None:
        return
    height, width = layer.data.shape
    for name, value in mask_frame((slide.shape[0] / height, slide.shape[1] / width), slide_layer).items():
        setattr(layer, name, value)
