"""The status line while the mouse moves over a heatmap: gene, value, percentile and trust. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.markup import untagged
from napari_nh2st.model.trust_words import trust_words
from napari_nh2st.viewer.kit.phrases import signed
from napari_nh2st.viewer.layers.context_effect import effect_of
from napari_nh2st.viewer.layers.roles import Kind, gene_of, kind_of, map_of
from napari_nh2st.viewer.layers.spots import MEASURED_UNIT, SpotValues, values_under
from napari_nh2st.viewer.predict.region import under_cursor
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

_SPOTS = (Kind.MEASURED, Kind.DIFFERENCE)
_SAMPLE = 4_000  # values that stand for all of them: a percentile is right to one, and the mouse does not wait
_CHANGED = 0.1  # they are drawn anew when a tenth more, or fewer, are predicted


def percentile_words(percentile: float) -> str:
    """Write a percentile as people say it: 1st, 22nd, 87th. Never 0th or 100th: nothing lies below, or above, itself.

    Examples
    --------
    >>> percentile_words(22.4)
    '22nd percentile'
    """
    whole = min(99, max(1, round(percentile)))
    ending = "th" if whole in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
    return f"{whole}{ending} percentile"


def spot_words(values: SpotValues) -> str:
    """Write a gene at a measured spot: predicted, measured and, where the units are the same, their difference."""
    predicted, measured = f"{values.predicted:z.2f}", f"{values.measured:z.2f}"
    if values.unit != MEASURED_UNIT:
        return f"{values.gene} predicted {predicted} {values.unit}, measured {measured} {MEASURED_UNIT}"
    difference = signed(float(predicted) - float(measured))  # of what is read beside it
    return f"{values.gene} predicted {predicted}, measured {measured}, difference {difference} {MEASURED_UNIT}"


class ValueDistribution:
    """Rank of a value among all predictions of a gene; quick to ask many times."""

    def __init__(self) -> None:
        self._of: tuple[PredictedMap | None, str] = None, ""
        self._count = 0
        self._values: npt.NDArray[np.float32] = np.empty(0, np.float32)

    def percentile(self, prediction_map: PredictedMap, gene: str, value: float) -> float:
        """Return which share of the values, in percent, lies below this one; of equal ones half."""
        grown = abs(prediction_map.count - self._count) > _CHANGED * self._count
        if self._of[0] is not prediction_map or self._of[1] != gene or grown:
            self._of, self._count = (prediction_map, gene), prediction_map.count
            cells = np.flatnonzero(prediction_map.done)
            if len(cells) > _SAMPLE:  # drawn, not every n-th: those may all lie in a few columns
                cells = cells[np.random.default_rng(0).integers(0, len(cells), _SAMPLE)]
            self._values = np.sort(prediction_map.values(gene, cells))
        if not len(self._values):
            return float("nan")
        below, upto = (np.searchsorted(self._values, np.float32(value), side) for side in ("left", "right"))
        return 50.0 * (float(below) + float(upto)) / len(self._values)


class Hover:
    """Keeps napari's status line on what is predicted under the mouse; where nothing is, napari says what it says.

    napari works its line out in a thread, after the mouse has moved, and sets `viewer.status`. This hears both: it
    says its own line at once, and again when napari's has come.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._distribution = ValueDistribution()
        self._text = ""

    def words(self) -> str:
        """Return what to say of the place under the cursor, empty where nothing of ours is."""
        for layer in reversed(self._viewer.layers):
            words = (self._spot_words(layer) or self._words_of(layer)) if layer.visible and layer.opacity else ""
            if words:
                return words
        return ""

    def _spot_words(self, layer: Layer) -> str:
        """Say what was measured at a spot and what is predicted there."""
        values = values_under(layer, under_cursor(self._viewer, layer)) if kind_of(layer) in _SPOTS else None
        return "" if values is None else untagged(spot_words(values))

    def _words_of(self, layer: Layer) -> str:
        effect, gene = effect_of(layer), gene_of(layer)
        prediction_map = map_of(layer) if effect is None else effect.map
        if prediction_map is None or gene not in prediction_map.card.genes:
            return ""
        cell = self._cell(layer, prediction_map)
        value = float("nan") if cell is None else float(prediction_map.values(gene, cell)[0])
        if cell is None or np.isnan(value):
            return ""
        percentile = self._distribution.percentile(prediction_map, gene, value)
        parts = [
            f"{gene} {value:z.2f} {prediction_map.card.unit}",
            "" if effect is None else effect.words(gene, cell),
            f"{percentile_words(percentile)} of what is predicted",
            trust_words(prediction_map.card, gene),
        ]
        return untagged(" · ".join(part for part in parts if part))

    def moved(self, event: object = None) -> None:
        """Say what is under the cursor, which has moved."""
        before, self._text = self._text, self.words() if self._viewer.mouse_over_canvas else ""
        if self._text:
            self._viewer.status = self._text
        elif before and self._viewer.status == before:
            self._viewer.status = ""

    def said(self, event: object = None) -> None:
        """Say it again after napari has said something else."""
        if self._text and self._viewer.mouse_over_canvas and self._viewer.status not in ("", self._text):
            self._viewer.status = self._text

    def close(self) -> None:
        """Say nothing any more."""
        if self._text and self._viewer.status == self._text:
            self._viewer.status = ""
        self._text = ""

    def _cell(self, layer: Layer, prediction_map: PredictedMap) -> npt.NDArray[np.int64] | None:
        """Return the flat index of the cell under the cursor, (1,); None off the map."""
        row, column = (int(v) for v in np.floor(under_cursor(self._viewer, layer) + 0.5))
        if not (0 <= row < prediction_map.rows and 0 <= column < prediction_map.columns):
            return None
        return np.array([row * prediction_map.columns + column])
