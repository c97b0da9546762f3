"""The heatmap of a gene: one small Image layer that is written in place, its limits, its colour bar's unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.viewer.layers import GENE, KEY, map_frame, map_of, place_above
from napari_nh2st.viewer.predicted import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_nh2st.geometry import IntArray
    from napari_nh2st.model.card import Card

COLORMAPS = ("viridis", "cividis", "magma", "inferno", "gray")
UNIT_OVERLAY = "nh2st_unit"
CORNER = "top_left"  # of the canvas, where napari stacks colour bar and unit; to the right it lays them side by side
HEATMAP_LOOK: dict[str, Any] = {
    "colormap": "viridis",  # the middle of magma is the pink of the tissue itself
    "blending": "translucent",  # NaN is see-through with it, and black with others
    "interpolation2d": "nearest",
    "opacity": 0.7,
}


@dataclass(frozen=True)
class Limits:
    """Contrast limits of a gene, and a sentence where they need one."""

    low: float
    high: float
    note: str = ""


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


def limits_of(values: npt.NDArray[Any], percentiles: tuple[float, float] = (1.0, 99.0)) -> Limits:
    """Return limits that napari can take, for any values: some, all equal, or none at all."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Limits(0.0, 1.0, "nothing predicted yet")
    low, high = (float(v) for v in np.percentile(finite, percentiles))
    if _flat(low, high):  # a few cells differ from all the others
        low, high = float(finite.min()), float(finite.max())
    if _flat(low, high):
        note = f"the same everywhere: {low:.2f}" if finite.size > 1 else ""
        return Limits(low - 0.5, low + 0.5, note)
    return Limits(low, high)


def _flat(low: float, high: float) -> bool:
    return high - low <= 1e-4 * max(1.0, abs(low))  # hidden vectors are float16: less than this is rounding


def heatmap_name(gene: str, card: Card) -> str:
    """Name a heatmap so that it cannot be taken for a measurement."""
    return f"{gene}, predicted ({card.name})"


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
        overlays[UNIT_OVERLAY].text = f"{shown[-1].metadata[GENE]}, predicted\n{map_of(shown[-1]).card.unit}"
    overlays[UNIT_OVERLAY].visible = bool(shown)


class HeatmapLayer:
    """The one Image layer of a map, kept in step with it.

    The user may rename, move, hide, recolour or delete the layer at any time: what they changed is left
    alone, and a deleted layer comes back only when a gene is asked for.
    """

    def __init__(self, viewer: ViewerModel, shown: PredictedMap, slide_layer: Layer | None, style: Style) -> None:
        self.viewer, self.map, self.slide_layer, self.style = viewer, shown, slide_layer, style
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
        self.layer.metadata[GENE] = gene
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
        """Take up cells that have just been predicted; `draw` shows them."""
        if self.layer is not None and self.present and self.gene:
            row, column = np.divmod(cells, self.map.columns)
            self.layer.data[row, column] = self.map.values(self.gene, cells)

    def draw(self) -> None:
        """Show what was written. Apart from `write` because a colour bar takes longer to draw than many cells."""
        if self.layer is not None and self.present and self.gene:
            self._fit_limits(force=False)
            self._refresh()

    def _label(self, event: Any = None) -> None:
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
            metadata={KEY: self.map},
            **{**HEATMAP_LOOK, "colormap": self.style.colormap},
            **map_frame(self.map.cell, self.map.origin, mpp, slide_layer),
        )
        place_above(self.viewer, self.layer, below[-1] if below else None)
        self._name = self.layer.name  # napari numbers a name that is taken
        self.layer.colorbar.position = CORNER
        self.layer.colorbar.visible = True
        self.layer.events.visible.connect(self._label)

    def _fit_limits(self, *, force: bool) -> None:
        """Follow the values, unless the limits are locked or the user has set them by hand."""
        assert self.layer is not None
        by_hand = not np.allclose(self.layer.contrast_limits, (self.limits.low, self.limits.high))
        fitted = limits_of(self.layer.data, self.style.percentiles)
        if (self.style.locked and self.style.last) or (by_hand and not force):
            self.limits = Limits(*self.layer.contrast_limits, fitted.note)
            self.style.last = self.limits.low, self.limits.high
            return
        if np.isfinite(self.layer.data).any():
            self.style.last = fitted.low, fitted.high
        self.limits = fitted
        self.layer.contrast_limits_range = (
            min(fitted.low, self._range(np.nanmin, fitted.low)),
            max(fitted.high, self._range(np.nanmax, fitted.high)),
        )
        self.layer.contrast_limits = (fitted.low, fitted.high)

    def _range(self, function: Any, default: float) -> float:
        assert self.layer is not None
        return float(function(self.layer.data)) if np.isfinite(self.layer.data).any() else default

    def _wanted_name(self) -> str:
        return heatmap_name(self.gene, self.map.card)

    def _rename(self) -> None:
        assert self.layer is not None
        if self.layer.name == self._name:  # else the user gave it a name: it stays
            self.layer.name = self._wanted_name()
            self._name = self.layer.name

    def _refresh(self) -> None:
        assert self.layer is not None
        self.layer.refresh(extent=False, thumbnail=False, highlight=False)
