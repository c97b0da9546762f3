"""The layer of domains: numbers on the lattice of a map, in colours that can be told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.geometry import IntArray
from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.roles import KEY, Kind, map_role
from napari_nh2st.viewer.layers.stacking import place
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_nh2st.analysis.domains import Domains

# Okabe and Ito's, which colour-blind eyes tell apart, then five of Tol's "muted" ones; least like tissue first
COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#F0E442", "#D55E00", "#56B4E9", "#CC79A7"),
    *("#332288", "#999933", "#882255", "#DDCC77", "#44AA99"),
)
_OPACITY = 0.5


def colour_of(domain: int) -> str:
    """Return the colour of a domain, from 1; beyond twelve they come again."""
    return COLOURS[(domain - 1) % len(COLOURS)]


def image_of(shown: PredictedMap, cells: IntArray, domains: Domains) -> Any:
    """Lay domains out on the lattice, (rows, columns); 0 where nothing is predicted."""
    small = np.uint8 if domains.count < 256 else np.uint16
    image = np.zeros((shown.rows, shown.columns), dtype=small)
    image.reshape(-1)[cells] = domains.labels
    return image


def show_domains(
    viewer: ViewerModel, shown: PredictedMap, image: Any, slide_layer: Layer | None, before: Labels | None
) -> Labels:
    """Show domains above the slide and its heatmaps; in the layer of before, of the same map, where that is there."""
    from napari.layers import Labels
    from napari.utils import DirectLabelColormap

    count = int(image.max(initial=0))
    colours = {None: "transparent", 0: "transparent", **{i: colour_of(i) for i in range(1, count + 1)}}
    colormap = DirectLabelColormap(color_dict=colours)
    if before is not None and before in viewer.layers:
        before.data, before.colormap, before.visible = image, colormap, True
        return before
    layer = Labels(
        image,
        name=f"domains ({shown.card.name})",
        opacity=_OPACITY,
        colormap=colormap,
        metadata={KEY: map_role(Kind.DOMAINS, shown, "domains")},
        **map_frame(shown.cell, shown.origin, float(shown.slide["mpp"]), slide_layer),
    )
    place(viewer, layer)
    return layer
