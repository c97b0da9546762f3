"""The artefacts of a slide as a layer: a number and a colour for each kind, with their shares in the legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.slides.artefacts import KINDS
from napari_nh2st.viewer.layers.frames import mask_frame
from napari_nh2st.viewer.layers.in_step import keep_in_step
from napari_nh2st.viewer.layers.label_colours import label_colormap
from napari_nh2st.viewer.layers.names import name_for
from napari_nh2st.viewer.layers.roles import KEY, Kind, Line, Role, fingerprint_of, kind_of
from napari_nh2st.viewer.layers.stacking import place

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_nh2st.slides import Slide
    from napari_nh2st.slides.artefacts import ArtefactMap

_OPACITY = 0.6


def artefact_layer_of(viewer: ViewerModel, slide: Slide) -> Labels | None:
    """Return the layer of this slide's artefacts, if it is there."""
    for layer in viewer.layers:
        if kind_of(layer) is Kind.ARTEFACTS and fingerprint_of(layer) == slide.fingerprint:
            return layer
    return None


def add_artefact_layer(viewer: ViewerModel, slide: Slide, artefacts: ArtefactMap, slide_layer: Layer) -> Labels:
    """Add the artefacts of a slide as a Labels layer, aligned with it."""
    from napari.layers import Labels

    role = Role(
        kind=Kind.ARTEFACTS,
        fingerprint=slide.fingerprint,
        title="artefacts",
        provenance={"what": "artefacts", "mpp": slide.mpp, "shares": artefacts.shares},
        label="artefacts, of the tissue",
        legend=_legend(artefacts),
    )
    layer = Labels(
        artefacts.labels,
        name=name_for(role, viewer),
        opacity=_OPACITY,
        colormap=label_colormap({k: kind.colour for k, kind in enumerate(KINDS, 1)}),
        metadata={KEY: role},
        **mask_frame((artefacts.step, artefacts.step), slide_layer),
    )
    layer.editable = False
    keep_in_step(viewer, layer)
    place(viewer, layer)
    return layer


def _legend(artefacts: ArtefactMap) -> tuple[Line, ...]:
    """Return a line for each kind that was looked for, with its share of the tissue."""
    shares = artefacts.shares
    return tuple((f"{kind.title}: {shares[kind.name]:.1%}", kind.colour) for kind in KINDS if kind.name in shares)
