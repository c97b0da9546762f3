"""The cells of a map that have changed since the last look: layers beside the main heatmap are kept in step by them."""

from __future__ import annotations

import numpy as np

from napari_nh2st.geometry import IntArray
from napari_nh2st.viewer.state.predicted_map import PredictedMap


class Changes:
    """The cells that were predicted or dropped since they were last taken; at first, all that are predicted.

    A quick preview does not count.
    """

    def __init__(self, prediction_map: PredictedMap) -> None:
        self._map = prediction_map
        self._done = np.zeros(prediction_map.rows * prediction_map.columns, dtype=bool)

    def take(self) -> IntArray:
        """Return the flat indices of the cells."""
        before, self._done = self._done, self._map.done
        return np.flatnonzero(self._done != before)
