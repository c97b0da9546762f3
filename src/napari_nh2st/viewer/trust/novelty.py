"""Tissue unlike the training: the tiles whose like a model has not seen, and the layer that marks them. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.engine.novelty import novelty_of
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.limits import Limits
from napari_nh2st.geometry import IntArray
from napari_nh2st.model.reference import UNLIKE, UNUSUAL
from napari_nh2st.model.trust_words import NO_REFERENCE, novelty_words
from napari_nh2st.viewer.kit.long_work import Cancelled, Tell
from napari_nh2st.viewer.layers.map_layer import Later, Look, at_once
from napari_nh2st.viewer.layers.roles import Kind, map_role
from napari_nh2st.viewer.layers.tile_values import F32, TileValues
from napari_nh2st.viewer.predict.inputs import PredictionInputs
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.services import Services
from napari_nh2st.viewer.trust.messages import novelty_key

if TYPE_CHECKING:
    from napari.components import ViewerModel

_UNUSUAL, _UNLIKE = "#ff7b00", "#b00020"  # none of viridis, which the heatmap has


class Novelty:
    """Distances of a map's tiles from the training tissue, and the layer that marks them."""

    def __init__(self, viewer: ViewerModel, prediction_map: PredictedMap, later: Later = at_once) -> None:
        from napari.utils import Colormap

        self.map = prediction_map
        self.values: F32 = np.full(prediction_map.rows * prediction_map.columns, np.nan, dtype=np.float32)
        colours = Colormap(
            [_UNUSUAL, _UNLIKE], name="unlike the training", controls=[0.0, 0.5, 1.0], interpolation="zero"
        )
        what = "unlike the training"
        role = map_role(Kind.NOVELTY, prediction_map, what, title=what)
        self.image = TileValues(viewer, role, Look(colours, bar=False), later)

    @property
    def count(self) -> int:
        """Number of tiles compared."""
        return int(np.isfinite(self.values).sum())

    def missing(self) -> IntArray:
        """Cells that are predicted and not compared."""
        return np.flatnonzero(self.map.done & np.isnan(self.values))

    def draw(self) -> None:
        """Draw the marks: see-through where the tissue is as in the training."""
        marks = np.where(self.values > UNUSUAL, self.values, np.nan).reshape(self.map.rows, self.map.columns)
        self.image.draw(marks, Limits(UNUSUAL, 2 * UNLIKE - UNUSUAL))
        self.image.describe(legend=novelty_key(_UNUSUAL, _UNLIKE))

    def words(self) -> str:
        """Say how many tiles are unlike."""
        values = self.values[np.isfinite(self.values)]
        return novelty_words(len(values), int((values > UNUSUAL).sum()), int((values > UNLIKE).sum()))


def compare_with_training(
    services: Services, model: str, cells: IntArray
) -> Callable[[PredictionInputs, Tell, Cancelled], F32]:
    """Make the work that says how unlike the training tissue cells of a map are, (n,) float32."""

    def work(inputs: PredictionInputs, tell: Tell, cancelled: Cancelled) -> F32:
        reference = services.reference(model)
        if reference is None:
            raise Nh2stError(NO_REFERENCE)
        return novelty_of(inputs.session, reference, inputs.map.tiles(cells), tell, cancelled)

    return work
