"""The layer of domains: numbers on the lattice of a map, in colours that can be told apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import IntArray
from napari_nh2st.viewer.layers.label_colours import label_colormap
from napari_nh2st.viewer.layers.legend import MOST_LINES
from napari_nh2st.viewer.layers.map_layer import Later, Look, MapLayer, at_once
from napari_nh2st.viewer.layers.roles import Kind, Line, MapRole, give_role, map_role, role_of
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_nh2st.analysis.domains import Domains
    from napari_nh2st.annotations import Annotation
    from napari_nh2st.engine.prediction import Prediction

# Okabe and Ito's, which colour-blind eyes tell apart, then five of Tol's "muted" ones; least like tissue first
COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#F0E442", "#D55E00", "#56B4E9", "#CC79A7"),
    *("#332288", "#999933", "#882255", "#DDCC77", "#44AA99"),
)
_LOOK = Look(opacity=0.5, bar=False)


def colour_of(domain: int) -> str:
    """Return the colour of a domain, from 1; beyond twelve they come again."""
    return COLOURS[(domain - 1) % len(COLOURS)]


def image_of(prediction_map: PredictedMap, cells: IntArray, domains: Domains) -> npt.NDArray[np.integer[Any]]:
    """Lay domains out on the lattice, (rows, columns); 0 where nothing is predicted."""
    small = np.uint8 if domains.count < 256 else np.uint16
    image: npt.NDArray[np.integer[Any]] = np.zeros((prediction_map.rows, prediction_map.columns), dtype=small)
    image.reshape(-1)[cells] = domains.labels
    return image


def legend_of(image: npt.NDArray[np.integer[Any]]) -> tuple[Line, ...]:
    """Return a line for each domain with its share of what is predicted; the last one may stand for several."""
    sizes = np.bincount(image.ravel())[1:]
    shares = 100 * sizes / max(1, sizes.sum())
    lines: list[Line] = [(f"{n}: {share:z.0f} %", colour_of(n)) for n, share in enumerate(shares, 1)]
    if len(lines) > MOST_LINES:
        rest = shares[MOST_LINES - 1 :]
        lines[MOST_LINES - 1 :] = [(f"{len(rest)} smaller ones: {rest.sum():z.0f} %", None)]
    return tuple(lines)


def domain_annotations_of(
    prediction_map: PredictedMap, image: npt.NDArray[np.integer[Any]]
) -> tuple[Prediction, list[Annotation]]:
    """Return what is predicted and its domains (rows, columns) as annotations. Of many tiles it takes a while."""
    from napari_nh2st.analysis.region_files import domain_annotations

    prediction = prediction_map.prediction()
    labels = image.ravel()[prediction_map.cells(prediction.places)]
    colours = {int(n): colour_of(int(n)) for n in np.unique(labels) if n}
    return prediction, domain_annotations(prediction, labels, colours)


class DomainsLayer(MapLayer):
    """The domains of a map, numbered from 1."""

    def __init__(self, viewer: ViewerModel, prediction_map: PredictedMap, later: Later = at_once) -> None:
        super().__init__(viewer, map_role(Kind.DOMAINS, prediction_map, "domains", title="domains"), _LOOK, later)
        self.values = np.zeros((prediction_map.rows, prediction_map.columns), dtype=np.uint8)

    def adopt(self, layer: Labels) -> None:
        """Take over a layer that a closed dock has left."""
        role = role_of(layer)
        if isinstance(role, MapRole):
            self.role = replace(role, left=False)
            give_role(layer, self.role)
        self.values = np.asarray(layer.data)
        self._watch(layer)
        self._settled = True

    def show(self, image: npt.NDArray[np.integer[Any]]) -> None:
        """Draw domains (rows, columns), and bring the layer out, back if it was deleted."""
        self.values = image
        self.describe(label=f"domains, {self.map.card.name}", legend=legend_of(image))
        if self.layer is not None and self.present:
            self.layer.data, self.layer.colormap = image, self._colormap()
        self.bring()

    def _make(self, **common: Any) -> Layer:
        from napari.layers import Labels

        return Labels(self.values, opacity=self.look.opacity, colormap=self._colormap(), **common)

    def _colormap(self) -> Any:
        count = int(self.values.max(initial=0))
        return label_colormap({i: colour_of(i) for i in range(1, count + 1)})
