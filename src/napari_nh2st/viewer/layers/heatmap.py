"""The heatmap of a gene: one small Image layer that is written in place, its limits, its colour bar's unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.formats.limits import Limits, limits_of
from napari_nh2st.formats.smooth import smoothed
from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.roles import KEY, Kind, change_role, gene_of, map_of, map_role
from napari_nh2st.viewer.layers.stacking import place
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from napari_nh2st.viewer.state.style import DEFAULT_COLORMAP, Style

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_nh2st.geometry import IntArray

COLORMAPS = (
    "viridis",
    "inferno",
    "magma",
    "cividis",
)  # perceptual and seen on H&E, the clearest first: tests measure it
SMOOTHED = 250_000  # cells; more of them take longer to smooth than a window may stand still
UNIT_OVERLAY = "nh2st_unit"
_REAL = 30  # with so many real values, a quick look no longer has a say in the limits
_GROWN = 1.1  # limits follow when a tenth more is predicted, and at the end: colours that never rest mislead
CORNER = "top_left"  # of the canvas, where napari stacks colour bar and unit; to the right it lays them side by side
HEATMAP_LOOK: dict[str, Any] = {
    "colormap": DEFAULT_COLORMAP,
    "blending": "translucent",  # NaN is see-through with it, and black with others
    "interpolation2d": "nearest",
    "opacity": 0.7,
}


def heatmap_name(gene: str, shown: PredictedMap) -> str:
    """Name a heatmap so that it cannot be taken for a measurement."""
    return f"{gene}, predicted ({shown.card.name}{', fine' if shown.fine else ''})"


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
        overlays[UNIT_OVERLAY].text = f"{gene_of(shown[-1])}, predicted{quick}\n{made.card.unit}"
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
    moved : callable
        Called when the user has moved the limits by hand.

    Attributes
    ----------
    values : (rows, columns) float32
        What is shown, NaN where nothing is predicted. The layer's own data are these, or smoothed ones.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        shown: PredictedMap,
        slide_layer: Layer | None,
        style: Style,
        later: Callable[[Callable[[], None]], None] = lambda call: call(),
        moved: Callable[[], None] = lambda: None,
        kind: Kind = Kind.HEATMAP,
    ) -> None:
        self.kind = kind
        self.viewer, self.map, self.slide_layer, self.style = viewer, shown, slide_layer, style
        self._later, self._moved = later, moved
        self._fitting = False
        self._waiting: list[IntArray] = []
        self._settled = True
        self._fitted = 0
        self.gene = ""
        self.limits = Limits(0.0, 1.0)
        self.layer: Image | None = None
        self.values: npt.NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)
        self._name = ""
        viewer.layers.events.removed.connect(self._label)

    @property
    def present(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self.viewer.layers

    def adopt(self, layer: Image) -> None:
        """Take over a layer that is there already, such as one that File > Open made."""
        self.layer, self._name = layer, layer.name
        self.gene = gene_of(layer)
        self.limits = Limits(*layer.contrast_limits)
        self.values = layer.data
        layer.events.contrast_limits.connect(self._limits_moved)

    def show(self, gene: str) -> None:
        """Draw a gene, from the hidden vectors; brings the layer back if it was deleted."""
        values = self.map.values(gene)
        self.gene = gene
        if not self.present:
            self._create()
        assert self.layer is not None
        self.values[...] = values
        self._waiting.clear()
        change_role(self.layer, gene=gene, preview=self.map.preview is not None)
        self._fit_limits()
        self._rename()
        self._show_values()
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
            self.values[row, column] = self.map.values(self.gene, np.concatenate(cells))
        if final or self.map.count > _GROWN * self._fitted:
            self._fit_limits()
        if cells:
            self._show_values()

    def redraw(self) -> None:
        """Show a map that has changed in many places; a layer that was deleted stays away."""
        if self.present and self.gene:
            self.show(self.gene)

    def _label(self, event: Any = None) -> None:
        if self._settled:
            label_unit(self.viewer)

    def restyle(self) -> None:
        """Apply another colormap, other percentiles, a lock that was opened, or smoothing."""
        if self.layer is not None and self.present:
            self.layer.colormap = self.style.colormap
            self._fit_limits()
            self._show_values()

    @property
    def by_hand(self) -> bool:
        """Whether the limits are those that the user gave this gene."""
        return not self.style.locked and self._key in self.style.by_hand

    def forget_limits(self) -> None:
        """Let the limits of this gene follow its values again, from the next `restyle` on."""
        self.style.by_hand.pop(self._key, None)

    @property
    def _key(self) -> tuple[str, str]:
        return self.map.card.unit, self.gene

    def _create(self) -> None:
        from napari.layers import Image

        slide_layer = self.slide_layer if self.slide_layer in self.viewer.layers else None
        mpp = float(self.map.slide["mpp"])
        self.values = np.full((self.map.rows, self.map.columns), np.nan, dtype=np.float32)
        self._name = self._wanted_name()
        self.layer = Image(
            self.values,
            name=self._name,
            contrast_limits=(self.limits.low, self.limits.high),
            metadata={KEY: map_role(self.kind, self.map, "predicted expression", gene=self.gene)},
            **{**HEATMAP_LOOK, "colormap": self.style.colormap},
            **map_frame(self.map.cell, self.map.origin, mpp, slide_layer),
        )
        place(self.viewer, self.layer)
        self._name = self.layer.name  # napari numbers a name that is taken
        self.layer.events.visible.connect(self._label)
        self.layer.events.contrast_limits.connect(self._limits_moved)
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

    def _fit_limits(self) -> None:
        """Follow the values, unless the limits are locked or the user has set them by hand."""
        assert self.layer is not None
        self._fitted = self.map.count
        known = self._known()
        fitted = limits_of(known, self.style.percentiles)
        kept = self.style.last if self.style.locked else self.style.by_hand.get(self._key)
        low, high = kept or (fitted.low, fitted.high)
        if (low, high) != tuple(self.layer.contrast_limits):
            with self.layer.events.contrast_limits.blocker():  # else the colour bar is laid out twice
                self.layer.contrast_limits_range = float(known.min(initial=low)), float(known.max(initial=high))
        self.set_limits(low, high, fitted.note)
        if known.size:
            self.style.last = low, high

    def set_limits(self, low: float, high: float, note: str = "") -> None:
        """Set limits that are not the user's wish for this gene, and so are not kept for it."""
        assert self.layer is not None
        self.limits = Limits(low, high, note)
        if (low, high) == tuple(self.layer.contrast_limits):
            return
        self._fitting = True
        try:
            self.layer.contrast_limits = (low, high)
        finally:
            self._fitting = False

    def _limits_moved(self, event: Any) -> None:
        """Keep what the user chose: for this gene, or for all of them where the limits are locked."""
        if self._fitting or event.source is not self.layer:
            return
        self.limits = Limits(*self.layer.contrast_limits, self.limits.note)
        self.style.last = self.limits.low, self.limits.high
        if not self.style.locked:
            self.style.by_hand[self._key] = self.style.last
        self._moved()

    def _known(self) -> npt.NDArray[np.float32]:
        """Return the values that have a say in the limits: those of a quick look only while there are no others."""
        assert self.layer is not None
        values = self.values.ravel()
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

    @property
    def can_smooth(self) -> bool:
        """Whether the map is small enough."""
        return self.map.rows * self.map.columns <= SMOOTHED

    def _show_values(self) -> None:
        """Bring the layer's pixels in step with the values."""
        assert self.layer is not None
        image = smoothed(self.values) if self.style.smooth and self.can_smooth else self.values
        if image.shape != self.layer.data.shape:
            self._divide_cells(image)
            return
        if image is not self.layer.data:
            self.layer.data[...] = image
        self.layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _divide_cells(self, image: npt.NDArray[np.float32]) -> None:
        """Give the layer another number of pixels a cell, in its place, wherever the user has put it."""
        assert self.layer is not None
        sides = np.divide(self.layer.data.shape, image.shape)  # of a new pixel, in old ones
        to_world = self.layer._transforms["data2physical"].linear_matrix
        translate = self.layer.translate + to_world @ ((sides - 1) / 2)
        self.layer.data = image
        self.layer.scale, self.layer.translate = self.layer.scale * sides, translate
