"""The heatmap of a gene: one small Image layer that is written in place, its limits, its colour bar's unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.formats.limits import Limits, limits_of
from napari_nh2st.formats.smooth import smoothed
from napari_nh2st.viewer.layers.colour_limits import ColourLimits, limits_of_layer
from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.map_layer import Later, Look, MapLayer, at_once
from napari_nh2st.viewer.layers.names import name_for
from napari_nh2st.viewer.layers.roles import (
    KEY,
    Kind,
    MapRole,
    fingerprint_of,
    give_role,
    layer_of_slide,
    map_of,
    map_role,
    role_of,
)
from napari_nh2st.viewer.state.style import DEFAULT_COLORMAP, Style

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_nh2st.formats.display import Display
    from napari_nh2st.geometry import IntArray
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

F32 = npt.NDArray[np.float32]

COLORMAPS = (
    "viridis",
    "inferno",
    "magma",
    "cividis",
)  # perceptual and seen on H&E, the clearest first: tests measure it
SMOOTHED = 250_000  # cells; more of them take longer to smooth than a window may stand still
_REAL = 30  # with so many real values, the limits no longer follow a quick preview
_SATURATED = 1 / 3  # of the tiles: with so many beyond the limits, the picture no longer shows the gene
_GROWN = 1.1  # limits follow when a tenth more is predicted, and at the end: colours that never rest mislead
HEATMAP = Look(DEFAULT_COLORMAP, opacity=0.7)
PREDICTED = "predicted expression"


def heatmap_title(gene: str, kind: Kind = Kind.HEATMAP) -> str:
    """Say what a heatmap shows, so that it cannot be taken for a measurement."""
    return f"{gene} · predicted{', pinned' if kind is Kind.PINNED else ''}"


def heatmap_label(gene: str, prediction_map: PredictedMap, beyond: str = "") -> str:
    """Say what a heatmap shows, and its unit, beside its colour bar; and where its colours say little, why."""
    quick = ", quick preview" if prediction_map.preview is not None else ""
    said = f"{gene}, predicted{quick}"
    return "\n".join(line for line in (said, prediction_map.correction, prediction_map.card.unit, beyond) if line)


def beyond_words(values: F32, limits: Limits, *, locked: bool) -> str:
    """Say how many of the values (n,) lie beyond limits that were not made for them; empty where that is few."""
    beyond = (values < limits.low) | (values > limits.high)
    share = float(beyond.mean()) if beyond.size else 0.0
    if share <= _SATURATED:
        return ""
    return f"{share:.0%} of the tiles lie beyond the {'locked limits' if locked else 'limits set by hand'}"


def heatmap_data(
    prediction_map: PredictedMap, gene: str, display: Display | None = None, slide_layer: Layer | None = None
) -> tuple[F32, dict[str, Any]]:
    """Return a heatmap as layer data, without a viewer: what a reader hands to napari, and `adopt` takes over.

    Parameters
    ----------
    display : Display, optional
        The colours, limits and opacity to show it in.
    slide_layer : Layer, optional
        The slide to lie on.
    """
    values = prediction_map.values(gene)
    kept = None if display is None else display.limits_for(gene)
    limits = limits_of(values) if kept is None else Limits(*kept)
    look = HEATMAP if display is None else replace(HEATMAP, colormap=_known(display.colormap), opacity=display.opacity)
    role = map_role(Kind.HEATMAP, prediction_map, PREDICTED, gene=gene, title=heatmap_title(gene))
    meta = {
        "name": name_for(role),
        "contrast_limits": (limits.low, limits.high),
        "metadata": {KEY: role},
        **look.as_arguments(),
        **map_frame(prediction_map.cell, prediction_map.origin, float(prediction_map.slide["mpp"]), slide_layer),
    }
    return values, meta


def _known(colormap: str) -> str:
    """Return the name of a colormap, our own where napari has none of that name."""
    from napari.utils.colormaps import AVAILABLE_COLORMAPS

    return colormap if colormap in COLORMAPS or colormap in AVAILABLE_COLORMAPS else DEFAULT_COLORMAP


class HeatmapLayer(MapLayer):
    """The layer of a gene of a map, kept in step with it.

    Parameters
    ----------
    later : callable
        As for `MapLayer`.
    moved : callable
        Called when the user has moved the limits by hand.
    kind : Kind
        The main heatmap, which follows the gene, or one of a pinned gene.

    Attributes
    ----------
    beyond : str
        How much of the map lies beyond limits that do not fit it; empty where they do.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        prediction_map: PredictedMap,
        style: Style,
        later: Later = at_once,
        moved: Callable[[], None] = lambda: None,
        kind: Kind = Kind.HEATMAP,
    ) -> None:
        super().__init__(viewer, map_role(kind, prediction_map, PREDICTED), HEATMAP, later)
        self.style = style
        self._moved = moved
        self._limits = ColourLimits(self._limits_moved)
        self.beyond = ""
        self._waiting: list[IntArray] = []
        self._fitted = 0
        self._blank = True

    def adopt(self, layer: Image) -> None:
        """Take over a layer that is there already, such as one that File > Open made."""
        role = role_of(layer)
        if isinstance(role, MapRole):
            self.role = replace(role, left=False)
            give_role(layer, self.role)
        self._limits.now = limits_of_layer(layer)
        if layer.data.shape == self.values.shape and layer.data.dtype == self.values.dtype:
            self.values = layer.data
        self._blank = not np.isfinite(self.values).any()
        self._watch(layer)
        self._settled = True

    @property
    def blank(self) -> bool:
        """True until the first values come, from a job or a quick preview."""
        return self._blank

    def keep_limits(self) -> None:
        """Keep the limits of a layer that was taken over, where they are not those that fit its values."""
        fitted, now = limits_of(self._values_for_limits(), self.style.percentiles), self.limits
        if not np.allclose((fitted.low, fitted.high), (now.low, now.high), rtol=1e-4):
            self._limits_moved()

    def show(self, gene: str) -> None:
        """Draw a gene, from the hidden vectors; brings the layer back if it was deleted."""
        values = self.map.values(gene)
        title, quick = heatmap_title(gene, self.role.kind), self.map.preview is not None
        self.describe(gene=gene, title=title, preview=quick, label=self._label_of(gene))
        if not self.present:
            self._create()
        self.values[...] = values
        self._waiting.clear()
        self._fit_limits()
        self.show_values()

    def bring_out(self) -> None:
        """Hide the other heatmaps, but those of other slides in sight: two on top of one another mean nothing."""
        for layer in self.viewer.layers:
            if map_of(layer) is not None and not self._lies_on_another_slide(layer):
                layer.visible = layer == self.layer  # one of them may be behind the proxy that napari gives to plugins

    def _lies_on_another_slide(self, layer: Layer) -> bool:
        own = fingerprint_of(layer)
        slide_layer = None if own == self.role.fingerprint else layer_of_slide(self.viewer, own)
        return slide_layer is not None and slide_layer.visible

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
        waiting, self._waiting = self._waiting, []
        if not self.present or not self.gene:
            return
        if waiting:
            cells = np.concatenate(waiting)
            self.put(cells, self.map.values(self.gene, cells))
        if final or self.map.count > _GROWN * self._fitted:
            self._fit_limits()
        if waiting:
            self.show_values()

    def redraw(self) -> None:
        """Show a map that has changed in many places; a layer that was deleted stays away."""
        if self.present and self.gene:
            self.show(self.gene)

    def restyle(self) -> None:
        """Apply another colormap, other percentiles, a lock that was opened, or smoothing."""
        if self.layer is not None and self.present:
            self.layer.colormap = self.style.colormap
            self._fit_limits()
            self.show_values()

    # limits

    @property
    def limits(self) -> Limits:
        """Values at the two ends of the colours."""
        return self._limits.now

    @property
    def by_hand(self) -> bool:
        """True if the limits are those that the user gave this gene."""
        return not self.style.locked and self._key in self.style.by_hand

    def forget_limits(self) -> None:
        """Let the limits of this gene follow its values again, from the next `restyle` on."""
        self.style.by_hand.pop(self._key, None)

    def set_limits(self, low: float, high: float, note: str = "") -> None:
        """Set limits that are not the user's wish for this gene, and so are not kept for it."""
        self._limits.set(Limits(low, high, note))

    @property
    def _key(self) -> tuple[str, str]:
        return self.map.card.unit, self.gene

    def _fit_limits(self) -> None:
        """Follow the values, unless the limits are locked or the user has set them by hand."""
        self._fitted = self.map.count
        values = self._values_for_limits()
        fitted = limits_of(values, self.style.percentiles)
        kept = self.style.last if self.style.locked else self.style.by_hand.get(self._key)
        low, high = kept or (fitted.low, fitted.high)
        reach = float(values.min(initial=low)), float(values.max(initial=high))
        self._limits.set(Limits(low, high, fitted.note), reach)
        if values.size:
            self.style.last = low, high
        self._note_blank(not values.size)
        self._note_beyond(values)

    def _note_blank(self, blank: bool) -> None:
        """Name the colours, with their bar, from the first value on; name nothing where there is none any more."""
        if blank != self._blank:
            self._blank = blank
            self.role = replace(self.role, label=self._label_of(self.gene))
            self._later(self._show_bar)
            self._later(self._settle)

    def _label_of(self, gene: str) -> str:
        return "" if self._blank else heatmap_label(gene, self.map, self.beyond)

    def _note_beyond(self, values: F32) -> None:
        """Take note, beside the colour bar too, of limits that do not fit the values (n,)."""
        kept = self.style.locked or self._key in self.style.by_hand
        beyond = beyond_words(values, self.limits, locked=self.style.locked) if kept else ""
        if beyond != self.beyond:
            self.beyond = beyond
            self.describe(label=self._label_of(self.gene))

    def _limits_moved(self) -> None:
        """Keep what the user chose: for this gene, or for all of them where the limits are locked."""
        self.style.last = self.limits.low, self.limits.high
        if not self.style.locked:
            self.style.by_hand[self._key] = self.style.last
        self._note_beyond(self._values_for_limits())
        self._moved()

    def _values_for_limits(self) -> F32:
        """Return the values that the limits follow: those of a quick preview only while there are few others."""
        values: F32 = self.values.ravel()
        if self.map.preview is not None and self.map.count >= _REAL:
            return values[self.map.done]
        return values[np.isfinite(values)]

    # drawing

    @property
    def can_smooth(self) -> bool:
        """True if the map is small enough."""
        return self.map.rows * self.map.columns <= SMOOTHED

    def _image(self) -> F32:
        return smoothed(self.values) if self.style.smooth and self.can_smooth else self.values

    def _make(self, **common: Any) -> Layer:
        self.look = replace(self.look, colormap=self.style.colormap)
        return super()._make(contrast_limits=(self.limits.low, self.limits.high), **common)

    def _watch(self, layer: Layer) -> None:
        super()._watch(layer)
        self._limits.watch(layer)
