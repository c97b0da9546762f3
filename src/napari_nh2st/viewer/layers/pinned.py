"""Layers of pinned genes: each stays with its gene while the main heatmap follows the field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from napari_nh2st.viewer.layers.changes import Changes
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer
from napari_nh2st.viewer.layers.map_layer import Later, at_once
from napari_nh2st.viewer.layers.roles import Kind
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.style import Style

if TYPE_CHECKING:
    from napari.components import ViewerModel


@dataclass(eq=False)
class _MapWithPins:
    map: PredictedMap
    changes: Changes
    heatmaps: dict[str, HeatmapLayer] = field(default_factory=dict)  # by gene


class PinnedLayers:
    """A heatmap a gene, hidden at first: two on top of one another mean nothing.

    The user may rename, move, hide, recolour or delete them; a deleted one stays away until its gene is pinned anew.
    """

    def __init__(self, viewer: ViewerModel, later: Later = at_once) -> None:
        self._viewer, self._later = viewer, later
        self._wanted: Sequence[str] = ()
        self._by_slide: dict[str | None, _MapWithPins] = {}  # another one may be chosen again

    def show(self, prediction_map: PredictedMap, genes: Sequence[str], style: Style) -> None:
        """Have exactly these genes of a map as layers; those of other maps of the same slide go.

        Parameters
        ----------
        genes : sequence of str
            Those that the model does not predict are left out.
        style : Style
            How new ones are coloured; each has limits of its own.
        """
        self._wanted, fingerprint = tuple(genes), prediction_map.slide.get("fingerprint")
        pins = self._by_slide.get(fingerprint)
        if pins is None or pins.map is not prediction_map:
            if pins is not None:
                _remove(pins, keep=())
            pins = self._by_slide[fingerprint] = _MapWithPins(prediction_map, Changes(prediction_map))
            pins.changes.take()  # a new layer shows all that is there
        for each in self._by_slide.values():
            _remove(each, keep=genes)
        for gene in genes:
            if gene in prediction_map.card.genes and gene not in pins.heatmaps:
                own_style = replace(style, locked=False, last=None)
                self._later(partial(self._add, pins, gene, own_style))  # one at a time: napari takes long for each

    def _add(self, pins: _MapWithPins, gene: str, style: Style) -> None:
        if pins not in self._by_slide.values() or gene not in self._wanted or gene in pins.heatmaps:
            return  # it was unpinned meanwhile
        heatmap = HeatmapLayer(self._viewer, pins.map, style, self._later, kind=Kind.PINNED)
        heatmap.show(gene)
        heatmap.hide()
        pins.heatmaps[gene] = heatmap

    def draw(self, *, final: bool = False) -> None:
        """Show what has come since the last time."""
        for pins in self._by_slide.values():
            cells = pins.changes.take()
            for heatmap in pins.heatmaps.values():
                if len(cells):
                    heatmap.write(cells)
                heatmap.draw(final=final)

    def forget(self, gone: object) -> None:
        """Forget a map that is gone, and its layers."""
        self._by_slide = {slide: pins for slide, pins in self._by_slide.items() if pins.map is not gone}

    def remove(self) -> None:
        """Take them all away."""
        for pins in self._by_slide.values():
            _remove(pins, keep=())
        self._by_slide.clear()
        self._wanted = ()


def _remove(pins: _MapWithPins, keep: Sequence[str]) -> None:
    for gene in [gene for gene in pins.heatmaps if gene not in keep]:
        pins.heatmaps.pop(gene).remove()
