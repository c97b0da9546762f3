"""Spatial variability of each gene on the map that is shown, measured in the background. No Qt."""

from __future__ import annotations

from functools import partial
from threading import Event
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_nh2st.analysis.variability import some_places, variability
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.geometry import IntArray
from napari_nh2st.viewer.kit.long_work import Threads
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.state.predicted_map import PredictedMap

MEASURING = "Measuring how each gene varies over the slide…"
Subject = tuple[PredictedMap, int]  # a map with so many places


class SpatialVariability:
    """Measures Moran's I of all genes of a map, once for as many places as it has, and keeps it with that map.

    Attributes
    ----------
    figures : dict of float, or None
        Moran's I by gene on the map that `turn_to` named last, NaN for one that is the same everywhere; None until
        it is measured.
    """

    measured = Signal()
    said = Signal(str)
    """The sentence about it now; empty if there is nothing to say."""

    def __init__(self, background: Threads) -> None:
        self._background = background
        self.figures: dict[str, float] | None = None
        self._measured: WeakKeyDictionary[PredictedMap, tuple[int, dict[str, float]]] = WeakKeyDictionary()
        self._asked: Subject | None = None  # what is being measured
        self._stop = Event()

    def knows(self, prediction_map: PredictedMap) -> bool:
        """Return True if a map as it is now is measured, or being measured."""
        count = prediction_map.count
        return self._asked == (prediction_map, count) or self._measured.get(prediction_map, (None,))[0] == count

    def turn_to(self, prediction_map: PredictedMap | None) -> bool:
        """Have the figures of another map, or of none; return whether they are others than before."""
        before = self.figures
        self.figures = None if prediction_map is None else self._measured.get(prediction_map, (0, None))[1]
        return self.figures is not before

    def measure(self, prediction_map: PredictedMap) -> None:
        """Measure a map; `measured` tells the end."""
        self.stop()
        self._asked = prediction_map, prediction_map.count
        self.said.emit(MEASURING)
        stop = self._stop
        self._background.call(
            *(_places_of, prediction_map.done, prediction_map.columns),
            then=partial(self._gather, prediction_map, stop),
            failed=partial(self._failed, stop),
        )

    def stop(self) -> None:
        """Measure no more; what is known stays."""
        self._stop.set()
        self._stop, self._asked = Event(), None
        self.said.emit("")

    def _gather(self, prediction_map: PredictedMap, stop: Event, cells: IntArray) -> None:
        """Take the places out of the map on the GUI thread, where it is filled."""
        if stop.is_set():
            return
        hidden = prediction_map.hidden_of(cells)
        part = Prediction(prediction_map.tiles(cells), hidden, prediction_map.decoder, prediction_map.card)
        self._background.call(
            *(variability, part, len(cells), stop.is_set),
            then=partial(self._take, prediction_map, stop),
            failed=partial(self._failed, stop),
        )

    def _take(self, prediction_map: PredictedMap, stop: Event, figures: npt.NDArray[np.float64]) -> None:
        if stop.is_set():
            return
        assert self._asked is not None
        by_gene = dict(zip(prediction_map.card.genes, figures.tolist(), strict=True))
        self._measured[prediction_map] = self._asked[1], by_gene
        self.turn_to(prediction_map)
        self.stop()
        self.measured.emit()

    def _failed(self, stop: Event, error: Exception) -> None:
        if not stop.is_set():
            self.stop()
            self.said.emit(f"Not measured: {error_words(error)}")


def _places_of(done: npt.NDArray[np.bool_], columns: int) -> IntArray:
    """Return the flat cells that stand for all of a map."""
    cells = np.flatnonzero(done)
    return cells[some_places(np.stack(np.divmod(cells, columns), axis=1))]
