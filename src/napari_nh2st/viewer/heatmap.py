"""The heatmap of a gene: one small Image layer that is written in place, its limits, its colour bar's unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.formats.limits import Limits, limits_of
from napari_nh2st.viewer.layers import GENE, KEY, map_frame, map_of, place_above
from napari_nh2st.viewer.predicted import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_nh2st.geometry import IntArray
    from napari_nh2st.model.card import Card

COLORMAPS = ("viridis", "cividis", "magma", "inferno", "gray")
UNIT_OVERLAY = "nh2st_unit"
PREVIEW = "napari_nh2st_preview"  # in a layer's metadata: whether part of it is a quick look
_REAL = 30  # with so many real values, a quick look no longer has a say in the limits
_GROWN = 1.1  # limits follow when a tenth more is predicted, and at the end: colours that never rest mislead
CORNER = "top_left"  # of the canvas, where napari stacks colour bar and unit; to the right it lays them side by side
HEATMAP_LOOK: dict[str, Any] = {
    "colormap": "viridis",  # the middle of magma is the pink of the tissue itself
    "blending": "translucent",  # NaN is see-through with it, and black with others
    "interpolation2d": "nearest",
    "opacity": 0.7,
}


@dataclass
class Style:
    """How heatmaps are coloured.

    Attributes
    ----------
    percentiles : (2,) tuple
        Which part of the values the colours span.
    locked : bool
        Limits stay as they are, whatever gene is shown or predicted next, on whatever slide.
    last : (low, high) or None
        The limits in use, once something was predicted.
    """

    colormap: str = HEATMAP_LOOK["colormap"]
    percentiles: tuple[float, float] = (1.0, 99.0)
    locked: bool = False
    last: tuple[float, float] | None = None


def heatmap_name(gene: str, shown: PredictedMap) -> str:
    """Name a heatmap so that it cannot be taken for a measurement."""
    return f"{gene}, predicted ({shown.card.name}{', fine' if shown.fine else ''})"


def first_gene(card: Card) -> str:
    """Return the gene to show before one is chosen: the one that was predicted best where that is known."""
    known = card.evaluation.genes if card.evaluation else {}
    evaluated = [gene for gene in card.genes if gene in known]
    return max(evaluated, key=lambda gene: known[gene].pcc, default=card.genes[0])


def label_unit(viewer: ViewerModel) -> None:
    """Write the gene in sight and its unit beside the colour bar, which has no place for them itself."""
    from napari.components.overlays import TextOverlay

    shown = [layer for layer in viewer.layers if layer.visible and map_of(layer) is not None]
    overlays = viewer.canvas.overlays
    if UNIT_OVERLAY not in overlays:
        overlays[UNIT_OVERLAY] = TextOverlay(position=CORNER, box=True, font_size=9)
    if shown:
        made = map_of(shown[-1])
        quick = ", quick preview" if made.preview is not None else ""
        overlays[UNIT_OVERLAY].text = f"{shown[-1].metadata[GENE]}, predicted{quick}\n{made.card.unit}"
    overlays[UNIT_OVERLAY].visible = bool(shown)


class HeatmapLayer:
    """The one Image layer of a map, kept in step with it.

    The user may rename, move, hide, recolour or delete the layer at any time: what they changed is left
    alone, and a deleted layer comes back only when a gene is asked for.

    Parameters
    ----------
    later : callable
        Calls a function a moment later: napari takes long to draw a layer, a colour bar and a text for the first
        time, and the window should answer in between.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        shown: PredictedMap,
        slide_layer: Layer | None,
        style: Style,
        later: Callable[[Callable[[], None]], None] = lambda call: call(),
    ) -> None:
        self.viewer, self.map, self.slide_layer, self.style = viewer, shown, slide_layer, style
        self._later = later
        self._waiting: list[IntArray] = []
        self._settled = True
        self._fitted = 0
        self.gene = ""
        self.limits = Limits(0.0, 1.0)
        self.layer: Image | None = None
        self._name = ""
        viewer.layers.events.removed.connect(self._label)

    @property
    def present(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self.viewer.layers

    def adopt(self, layer: Image) -> None:
        """Take over a layer that is there already, such as one that File > Open made."""
        self.layer, self._name = layer, layer.name
        self.gene = layer.metadata.get(GENE, "")
        self.limits = Limits(*layer.contrast_limits)

    def show(self, gene: str) -> None:
        """Draw a gene, from the hidden vectors; brings the layer back if it was deleted."""
        values = self.map.values(gene)
        changed = gene != self.gene
        self.gene = gene
        if not self.present:
            self._create(values)
        assert self.layer is not None
        self.layer.data[...] = values
        self._waiting.clear()
        self.layer.metadata[GENE] = gene
        self.layer.metadata[PREVIEW] = self.map.preview is not None
        self._fit_limits(force=changed)
        self._rename()
        self._refresh()
        self._label()

    def bring_out(self) -> None:
        """Hide the other heatmaps: two on top of one another mean nothing."""
        for layer in self.viewer.layers:
            if map_of(layer) is not None:
                layer.visible = layer is self.layer

    def write(self, cells: IntArray) -> None:
        """Take note of cells that were predicted or dropped; `draw` shows them."""
        self._waiting.append(cells)

    def draw(self, *, final: bool = False) -> None:
        """Show what was written, many chunks at once: drawing takes longer than many cells do.

        Parameters
        ----------
        final : bool
            Nothing more is coming: the limits are those of all that is there.
        """
        cells, self._waiting = self._waiting, []
        if self.layer is None or not self.present or not self.gene:
            return
        if cells:
            row, column = np.divmod(np.concatenate(cells), self.map.columns)
            self.layer.data[row, column] = self.map.values(self.gene, np.concatenate(cells))
        if final or self.map.count > _GROWN * self._fitted:
            self._fit_limits(force=False)
        if cells:
            self._refresh()

    def redraw(self) -> None:
        """Show a map that has changed in many places; a layer that was deleted stays away."""
        if self.present and self.gene:
            self.show(self.gene)

    def _label(self, event: Any = None) -> None:
        if self._settled:
            label_unit(self.viewer)

    def restyle(self) -> None:
        """Apply a changed colormap or changed percentiles."""
        if self.layer is not None and self.present:
            self.layer.colormap = self.style.colormap
            self._fit_limits(force=True)

    def _create(self, values: npt.NDArray[np.float32]) -> None:
        from napari.layers import Image

        slide_layer = self.slide_layer if self.slide_layer in self.viewer.layers else None
        below = [layer for layer in self.viewer.layers if layer is slide_layer or map_of(layer) is not None]
        mpp = float(self.map.slide["mpp"])
        if self.style.locked and self.style.last:
            self.limits = Limits(*self.style.last)
        self._name = self._wanted_name()
        self.layer = Image(
            np.full_like(values, np.nan),
            name=self._name,
            contrast_limits=(self.limits.low, self.limits.high),
            metadata={KEY: self.map, GENE: self.gene},
            **{**HEATMAP_LOOK, "colormap": self.style.colormap},
            **map_frame(self.map.cell, self.map.origin, mpp, slide_layer),
        )
        place_above(self.viewer, self.layer, below[-1] if below else None)
        self._name = self.layer.name  # napari numbers a name that is taken
        self.layer.events.visible.connect(self._label)
        self._settled = False
        self._later(self._show_bar)
        self._later(self._settle)

    def _show_bar(self) -> None:
        if self.layer is not None and self.present:
            self.layer.colorbar.position = CORNER
            self.layer.colorbar.visible = True

    def _settle(self) -> None:
        self._settled = True
        self._label()

    def _fit_limits(self, *, force: bool) -> None:
        """Follow the values, unless the limits are locked or the user has set them by hand."""
        assert self.layer is not None
        self._fitted = self.map.count
        known = self._known()
        by_hand = not np.allclose(self.layer.contrast_limits, (self.limits.low, self.limits.high))
        fitted = limits_of(known, self.style.percentiles)
        if (self.style.locked and self.style.last) or (by_hand and not force):
            self.limits = Limits(*self.layer.contrast_limits, fitted.note)
            self.style.last = self.limits.low, self.limits.high
            return
        if known.size:
            self.style.last = fitted.low, fitted.high
        if (fitted.low, fitted.high) != tuple(self.layer.contrast_limits):
            ends = float(known.min(initial=fitted.low)), float(known.max(initial=fitted.high))
            with self.layer.events.contrast_limits.blocker():  # else the colour bar is laid out twice
                self.layer.contrast_limits_range = ends
            self.layer.contrast_limits = (fitted.low, fitted.high)
        self.limits = fitted

    def _known(self) -> npt.NDArray[np.float32]:
        """Return the values that have a say in the limits: those of a quick look only while there are no others."""
        assert self.layer is not None
        values = self.layer.data.ravel()
        if self.map.preview is not None and self.map.count >= _REAL:
            return values[self.map.done]
        return values[np.isfinite(values)]

    def _wanted_name(self) -> str:
        return heatmap_name(self.gene, self.map)

    def _rename(self) -> None:
        assert self.layer is not None
        if self.layer.name == self._name:  # else the user gave it a name: it stays
            self.layer.name = self._wanted_name()
            self._name = self.layer.name

    def _refresh(self) -> None:
        assert self.layer is not None
        self.layer.refresh(extent=False, thumbnail=False, highlight=False)
