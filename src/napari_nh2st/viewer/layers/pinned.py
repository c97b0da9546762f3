"""Layers of pinned genes: each stays with its gene while the main heatmap follows the field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_nh2st.viewer.layers.changes import Changes
from napari_nh2st.viewer.layers.heatmap import HeatmapLayer
from napari_nh2st.viewer.layers.roles import Kind
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.style import Style

if TYPE_CHECKING:
    from napari.components import ViewerModel


@dataclass
class _OfMap:
    shown: PredictedMap
    changes: Changes
    heatmaps: dict[str, HeatmapLayer] = field(default_factory=dict)


class PinnedLayers:
    """A heatmap a gene, hidden at first: two on top of one another mean nothing.

    The user may rename, move, hide, recolour or delete them; a deleted one stays away until its gene is pinned anew.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._of: dict[Any, _OfMap] = {}  # by slide: another one may be chosen again

    def show(self, shown: PredictedMap, genes: Sequence[str], style: Style) -> None:
        """Have exactly these genes of a map as layers; those of other maps of the same slide go.

        Parameters
        ----------
        genes : sequence of str
            What the model does not predict is passed over.
        style : Style
            How new ones are coloured; each has limits of its own.
        """
        own = self._of.get(shown.slide.get("fingerprint"))
        if own is None or own.shown is not shown:
            self._remove(own, keep=())
            own = self._of[shown.slide.get("fingerprint")] = _OfMap(shown, Changes(shown))
            own.changes.take()  # a new layer shows all that is there
        for other in self._of.values():
            self._remove(other, keep=genes)
        for gene in genes:
            if gene in shown.card.genes and gene not in own.heatmaps:
                look = replace(style, locked=False, last=None)
                own.heatmaps[gene] = made = HeatmapLayer(self._viewer, shown, look, kind=Kind.PINNED)
                made.show(gene)
                assert made.layer is not None
                made.layer.visible = False

    def draw(self, *, final: bool = False) -> None:
        """Show what has come since the last time."""
        for own in self._of.values():
            cells = own.changes.take()
            for heatmap in own.heatmaps.values():
                if len(cells):
                    heatmap.write(cells)
                heatmap.draw(final=final)

    def remove(self) -> None:
        """Take them all away."""
        for own in self._of.values():
            self._remove(own, keep=())
        self._of.clear()

    def _remove(self, own: _OfMap | None, keep: Sequence[str]) -> None:
        if own is None:
            return
        for gene in [gene for gene in own.heatmaps if gene not in keep]:
            heatmap = own.heatmaps.pop(gene)
            heatmap.remove()
