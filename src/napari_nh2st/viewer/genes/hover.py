"""The status line while the mouse moves over a heatmap: gene, value, percentile and trust. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import FloatArray
from napari_nh2st.markup import untagged
from napari_nh2st.model.trust_words import trust_words
from napari_nh2st.viewer.kit.phrases import signed
from napari_nh2st.viewer.layers.context_effect import effect_of
from napari_nh2st.viewer.layers.roles import Kind, MapRole, gene_of, kind_of, map_of, role_of
from napari_nh2st.viewer.layers.spots import SpotValues, nearer_words, values_under
from napari_nh2st.viewer.predict.region import corners_of, under_cursor
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Shapes

_SPOTS = (Kind.MEASURED, Kind.DIFFERENCE)
_SAMPLE = 4_000  # values that stand for all of them: a percentile is right to one, and the mouse does not wait
_NO_SHAPE = "[, ]"  # napari's word for the number of no shape and of no corner of it
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
    if values.unit != values.measured_unit:
        return f"{values.gene} predicted {predicted} {values.unit}, measured {measured} {values.measured_unit}"
    difference = signed(float(predicted) - float(measured))  # of what is read beside it
    return f"{values.gene} predicted {predicted}, measured {measured}, difference {difference} {values.unit}"


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
        return " · ".join(words for words in (self._region_words(), self._value_words()) if words)

    def _region_words(self) -> str:
        """Return the names of the regions under the cursor."""
        viewer = self._viewer
        layers = [layer for layer in viewer.layers if kind_of(layer) is Kind.REGIONS and layer.visible]
        return untagged(", ".join(dict.fromkeys(name for layer in layers for name in _regions_under(viewer, layer))))

    def _value_words(self) -> str:
        for layer in reversed(self._viewer.layers):
            words = self._words_on(layer) if layer.visible and layer.opacity else ""
            if words:
                return words
        return ""

    def _words_on(self, layer: Layer) -> str:
        return self._spot_words(layer) or self._said_words(layer) or self._words_of(layer)

    def _said_words(self, layer: Layer) -> str:
        """Say of a layer of several models what they predict, or which one is nearer to the measured value."""
        if kind_of(layer) is Kind.NEARER:
            return untagged(nearer_words(layer, under_cursor(self._viewer, layer)))
        role = role_of(layer)
        if not isinstance(role, MapRole) or role.say is None:
            return ""
        cell = self._cell(layer, role.map)
        return "" if cell is None else untagged(role.say(role.gene, int(cell[0])))

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
        width = prediction_map.half_width(gene, cell)
        around = "" if width is None else f" ± {float(width[0]):z.2f}"
        parts = [
            f"{gene} {value:z.2f}{around} {prediction_map.card.unit}",
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
        """Say it again after napari has said something else; of shapes it gives empty brackets for no value."""
        status = self._viewer.status
        if not self._text and isinstance(status, dict) and status.get("value") == _NO_SHAPE:
            self._viewer.status = {**status, "value": ""}
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


def _regions_under(viewer: ViewerModel, layer: Shapes) -> list[str]:
    """Return the names of a layer's shapes that lie under the cursor."""
    place = under_cursor(viewer, layer)
    names = layer.features["name"].tolist() if "name" in layer.features else []
    found = []
    for name, vertices, kind in zip(names, layer.data, layer.shape_type, strict=False):
        box = np.asarray(vertices)[:, -2:]
        near = bool((box.min(axis=0) <= place).all() and (place <= box.max(axis=0)).all())
        if near and isinstance(name, str) and name and _encloses(corners_of(vertices, kind), place):
            found.append(name)
    return found


def _encloses(corners: FloatArray, place: FloatArray) -> bool:
    """Tell whether a place (y, x) lies in a polygon: a line from there to the right crosses its edge an odd number."""
    ends = np.roll(corners, -1, axis=0)
    across = (corners[:, 0] > place[0]) != (ends[:, 0] > place[0])
    start, end = corners[across], ends[across]
    at = start[:, 1] + (place[0] - start[:, 0]) / (end[:, 0] - start[:, 0]) * (end[:, 1] - start[:, 1])
    return bool((at > place[1]).sum() % 2)
