"""A layer of one number a tile, worked out beside the prediction: an effect, a spread, marks, a score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.formats.limits import Limits
from napari_nh2st.viewer.layers.colour_limits import ColourLimits
from napari_nh2st.viewer.layers.map_layer import Later, Look, MapLayer, at_once

if TYPE_CHECKING:
    from typing import Any

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.viewer.layers.roles import MapRole

F32 = npt.NDArray[np.float32]


class TileValues(MapLayer):
    """Numbers with limits that follow them, unless the user has set others for the gene that is shown."""

    def __init__(self, viewer: ViewerModel, role: MapRole, look: Look, later: Later = at_once) -> None:
        super().__init__(viewer, role, look, later)
        self._limits = ColourLimits(self._limits_moved)
        self._by_hand = False

    @property
    def limits(self) -> Limits:
        """Values at the two ends of the colours."""
        return self._limits.now

    def draw(self, values: F32, limits: Limits, *, gene: str = "", label: str = "") -> None:
        """Draw values (rows, columns), NaN where there are none; a layer that was deleted stays away.

        Parameters
        ----------
        gene : str
            That they are of, empty where they are of none.
        label : str
            Beside the colour bar: what is shown, and its unit.
        """
        self._by_hand = self._by_hand and gene == self.gene
        self.values[...] = values
        if not self._by_hand:
            low, high = self._reach(limits)
            self._limits.set(limits, (low, high))
        self.show_values()
        self.describe(gene=gene, label=label)

    def _reach(self, limits: Limits) -> tuple[float, float]:
        """Return the lowest and the highest of values and limits; on both sides of 0 as far where the limits are so."""
        low = float(np.nanmin(self.values, initial=limits.low))
        high = float(np.nanmax(self.values, initial=limits.high))
        if limits.low == -limits.high:
            return -max(-low, high), max(-low, high)
        return low, high

    def _make(self, **common: Any) -> Layer:
        self._by_hand = False
        return super()._make(contrast_limits=(self.limits.low, self.limits.high), **common)

    def _watch(self, layer: Layer) -> None:
        super()._watch(layer)
        self._limits.watch(layer, self._reach(self.limits))

    def _limits_moved(self) -> None:
        self._by_hand = True
