"""The layer of how a head links places of a slide: lines by kind. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.geometry import FloatArray
from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.in_step import keep_in_step
from napari_nh2st.viewer.layers.names import name_for
from napari_nh2st.viewer.layers.owned_layer import OwnedLayer
from napari_nh2st.viewer.layers.roles import KEY, Kind, Role, fingerprint_of

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_nh2st.model.heads.tissue_graph import TissueGraph

TITLE = "links"
# Told apart by colour-blind eyes, on pink tissue and on a heatmap.
NEAR, ALIKE, HUBS = "#56b4e9", "#d9730d", "#111111"
LEGEND = (
    ("to the middle of a cluster that lies near", NEAR),
    ("to the middle of a cluster that looks alike", ALIKE),
    ("between the middles of clusters", HUBS),
)


class LinksLayer(OwnedLayer):
    """One Vectors layer with a line a link."""

    def show(self, centres: FloatArray, graph: TissueGraph, width: float, slide_layer: Layer, mpp: float) -> None:
        """Draw the links of places (n, 2), (x, y), level-0 pixels, in lines so wide."""
        from napari.layers import Vectors

        self.remove()
        rings = np.concatenate([graph.near.ring, graph.alike.ring])
        kinds = {ALIKE: graph.alike.star, NEAR: graph.near.star, HUBS: rings}  # short lines lie over long ones
        links = np.concatenate(list(kinds.values()))
        start, end = (centres[links[:, i], ::-1] - 0.5 for i in (0, 1))  # napari puts pixel centres on integers
        role = Role(kind=Kind.LINKS, fingerprint=fingerprint_of(slide_layer), title=TITLE, legend=LEGEND)
        layer = Vectors(
            np.stack([start, end - start], axis=1),
            edge_width=width,
            edge_color=np.repeat(list(kinds), [len(each) for each in kinds.values()]),
            vector_style="line",
            opacity=0.7,
            name=name_for(role, self.viewer),
            metadata={KEY: role},
            **map_frame(1.0, (0.5, 0.5), mpp, slide_layer),
        )
        keep_in_step(self.viewer, layer)
        self._take(layer)
