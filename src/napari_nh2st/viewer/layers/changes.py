"""Which cells of a map have changed since one last looked: what stands beside the main heatmap is kept in step so."""

from __future__ import annotations

import numpy as np

from napari_nh2st.geometry import IntArray
from napari_nh2st.viewer.state.predicted_map import PredictedMap


class Changes:
    """Tells, each time it is asked, which cells were predicted or dropped since the last time. At first: all that are.

    A quick look is no part of it.
    """

    def __init__(self, shown: PredictedMap) -> None:
        self._map = shown
        self._known = np.zeros(shown.rows * shown.columns, dtype=bool)

    def take(self) -> IntArray:
        """Return the flat indices of the cells."""
        done = self._map.done
        changed = np.flatnonzero(done != self._known)
        self._known = done
        return changed
