"""The intervals of a map's tiles: a layer of their half-widths, and one that marks where they say nothing. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.limits import Limits
from napari_nh2st.model.intervals import LEVEL
from napari_nh2st.viewer.layers.changes import Changes
from napari_nh2st.viewer.layers.map_layer import Later, Look, at_once
from napari_nh2st.viewer.layers.roles import Kind, map_role
from napari_nh2st.viewer.layers.tile_values import F32, TileValues
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.trust.messages import half_width_at, half_width_words, not_informative_key

if TYPE_CHECKING:
    from napari.components import ViewerModel

_GREY = "#6b6b6b"  # neither of viridis nor of H&E


class MapIntervals:
    """The half-widths of a map's tiles, for any gene; kept in step with what is predicted."""

    def __init__(self, prediction_map: PredictedMap) -> None:
        if why := prediction_map.card.why_no_intervals:
            raise Nh2stError(why)
        self.map = prediction_map
        self.activity: F32 = np.full(prediction_map.rows * prediction_map.columns, np.nan, dtype=np.float32)
        self.version = 0  # how often it has changed
        self._changes = Changes(prediction_map)

    def follow(self) -> None:
        """Take in what was predicted or dropped since the last time."""
        cells = self._changes.take()
        if len(cells):
            self.activity[cells] = self.map.activity(cells)
            self.version += 1

    def half_widths(self, gene: str) -> F32:
        """Return the half-widths of a gene, (rows, columns) in label units; NaN where nothing is predicted."""
        assert self.map.card.intervals is not None
        widths = self.map.card.intervals.half_widths([self.map.card.genes.index(gene)], self.activity)
        return widths.reshape(self.map.rows, self.map.columns)

    def spread(self, gene: str) -> float:
        """Return the half-width from which on an interval says nothing of a gene."""
        assert self.map.card.intervals is not None
        return float(self.map.card.intervals.spread([self.map.card.genes.index(gene)])[0])


class HalfWidth:
    """The layer of half-widths, which stands in the place of the prediction."""

    def __init__(self, viewer: ViewerModel, prediction_map: PredictedMap, later: Later = at_once) -> None:
        self.map = prediction_map
        role = map_role(Kind.HALF_WIDTH, self.map, "half-width of the interval", title="half-width", level=LEVEL)
        self.image = TileValues(viewer, role, Look("inferno"), later)

    @property
    def count(self) -> int:
        """Number of tiles that have one: all that are predicted."""
        return self.map.count

    def draw(self, intervals: MapIntervals, gene: str) -> None:
        """Draw a gene; a layer that was deleted stays away."""
        widths = intervals.half_widths(gene)
        finite = widths[np.isfinite(widths)]
        low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
        label = f"{gene}, half-width of the {100 * LEVEL:z.0f}% interval\n{self.map.card.unit}"
        self.image.draw(widths, Limits(float(low), max(float(high), float(low) + 1e-3)), gene=gene, label=label)
        self.image.retitle(f"{gene} · half-width")
        self.image.describe(say=self._say)

    def _say(self, gene: str, cell: int) -> str:
        at = np.array([cell])
        value, width = self.map.values(gene, at)[0], self.map.half_width(gene, at)
        if width is None or np.isnan(value):
            return ""
        return half_width_at(gene, float(value), float(width[0]), self.map.card.unit)


class NotInformative:
    """The layer that marks, over the prediction, where a gene's interval is as wide as the gene varies."""

    def __init__(self, viewer: ViewerModel, prediction_map: PredictedMap, later: Later = at_once) -> None:
        from napari.utils import Colormap

        self.map = prediction_map
        role = map_role(Kind.VAIN, self.map, "where intervals are as wide as the spread", title="not informative here")
        colours = Colormap([_GREY, _GREY], name="not informative")
        self.image = TileValues(viewer, role, Look(colours, opacity=0.85, bar=False), later)

    @property
    def count(self) -> int:
        """Number of tiles that were looked at: all that are predicted."""
        return self.map.count

    def draw(self, intervals: MapIntervals, gene: str) -> None:
        """Draw a gene's marks; a layer that was deleted stays away."""
        wide = intervals.half_widths(gene) >= intervals.spread(gene)
        self.image.draw(np.where(wide, np.float32(1), np.float32(np.nan)), Limits(0.0, 1.0), gene=gene)
        self.image.retitle(f"{gene} · not informative here")
        self.image.describe(legend=not_informative_key(gene, _GREY) if wide.any() else ())


def words_of(intervals: MapIntervals, gene: str) -> str:
    """Say how wide a gene's intervals are, and where they say nothing; empty where nothing is predicted."""
    widths = intervals.half_widths(gene)
    widths = widths[np.isfinite(widths)]
    if not widths.size:
        return ""
    share = float((widths >= intervals.spread(gene)).mean())
    return half_width_words(gene, intervals.map.card.unit, float(np.median(widths)), share)
