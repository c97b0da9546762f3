"""The heatmaps of everything that was predicted or opened, and which of them is in sight. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from napari_nh2st.viewer.layers.heatmap import HeatmapLayer
from napari_nh2st.viewer.layers.instead import InsteadOfPrediction
from napari_nh2st.viewer.layers.open_slides import OpenSlides
from napari_nh2st.viewer.layers.roles import MapRole, layer_of_slide, leave_roles, role_of
from napari_nh2st.viewer.state.dock_state import DockState, ShownLimits, first_gene

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_nh2st.geometry import IntArray
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

Call = Callable[[], None]


class Pace(Protocol):
    """When the window draws."""

    def draw_soon(self) -> None:
        """Draw within a moment."""

    def draw_next(self) -> None:
        """Draw as soon as what is going on now is over."""

    def drawing(self) -> None:
        """Take note that something is being drawn now."""

    def later(self, call: Call) -> None:
        """Call a function when what was drawn before stands in the window."""

    def when_quiet(self, call: Call) -> None:
        """Call a function after all that is still to be drawn for the first time."""

    def stop(self) -> None:
        """Call nothing any more."""


class MapsOnScreen:
    """Draws maps as heatmaps: one in sight, the others as they were left.

    Parameters
    ----------
    viewer : ViewerModel
    state : DockState
        The map, the gene and the style that are shown; it is told the limits.
    pace : Pace
    """

    def __init__(self, viewer: ViewerModel, state: DockState, pace: Pace) -> None:
        self.viewer, self.state, self.pace = viewer, state, pace
        self.open_slides, self.instead = OpenSlides(viewer), InsteadOfPrediction(viewer)
        self._heatmaps: dict[int, HeatmapLayer] = {}
        state.style.when_restyled(self._restyle)
        state.gene_chosen.connect(self._show_gene)

    def __iter__(self) -> Iterator[HeatmapLayer]:
        return iter(self._heatmaps.values())

    @property
    def current(self) -> HeatmapLayer | None:
        """The heatmap of the map that is shown."""
        return None if self.state.map is None else self._heatmaps.get(id(self.state.map))

    @property
    def left_in_sight(self) -> PredictedMap | None:
        """The map that is still seen on the chosen slide though another model or detail is chosen by now."""
        slide = self.state.slide
        if slide is None or self.state.map is not None:
            return None
        seen = (heatmap.map for heatmap in self if heatmap.visible and heatmap.map.count)
        return next((m for m in seen if m.slide.get("fingerprint") == slide.fingerprint), None)

    @property
    def slide_layer(self) -> Layer | None:
        """The layer of the slide on which the map lies, None where that is not open."""
        return None if self.state.map is None else self._slide_layer_of(self.state.map)

    def _slide_layer_of(self, prediction_map: PredictedMap) -> Layer | None:
        return layer_of_slide(self.viewer, prediction_map.slide.get("fingerprint"))

    def show(self, prediction_map: PredictedMap, *, chosen: bool = True) -> bool:
        """Draw another map and bring it out.

        Parameters
        ----------
        chosen : bool
            False for a job that was asked for before another slide, model or detail was chosen.

        Returns
        -------
        bool
            False where it is not what is chosen, or lies on another slide: it is drawn there, out of sight.
        """
        heatmap = self._heatmap_of(prediction_map)
        elsewhere = self.open_slides.is_elsewhere(prediction_map)
        if elsewhere or not chosen:
            heatmap.show(first_gene(prediction_map.card))
            self.open_slides.settle()
            if not elsewhere:
                heatmap.hide()
            return False
        if heatmap is not self.current:
            heatmap.restyle()  # the colours that were chosen while it was away
        heatmap.show(self.state.gene_of(prediction_map.card))
        heatmap.bring_out()
        self.open_slides.settle()
        self.instead.forget()
        if heatmap.layer is not None and not heatmap.visible:  # the slide was left with something else in sight
            self.instead.remember(heatmap.layer)
        self.state.show_map(prediction_map)  # listeners find it drawn
        self.tell_limits()
        return True

    def leave(self) -> None:
        """Show no map; what was predicted stays known."""
        self.instead.forget()
        self.state.show_map(None)
        self.tell_limits()

    def is_new(self, prediction_map: PredictedMap) -> bool:
        """Tell whether nothing draws a map yet: its layer came from a file."""
        return id(prediction_map) not in self._heatmaps

    def adopt(self, layer: Image, prediction_map: PredictedMap) -> None:
        """Take over a heatmap that was opened from a file."""
        if id(prediction_map) not in self._heatmaps:
            self._heatmap_of(prediction_map).adopt(layer)

    def drop(self, gone: object) -> list[PredictedMap]:
        """Forget a map, or all of a slide (its fingerprint); return those that are gone."""
        dropped = [h.map for h in self if gone in (h.map, h.map.slide.get("fingerprint"))]
        for prediction_map in dropped:
            del self._heatmaps[id(prediction_map)]
        return dropped

    def take_up(self, layer: Image, prediction_map: PredictedMap) -> None:
        """Take over a heatmap that another dock drew, and limits that were set in it by hand."""
        self.adopt(layer, prediction_map)
        heatmap = self._heatmaps[id(prediction_map)]
        if heatmap.layer == layer:
            heatmap.keep_limits()

    def close(self) -> None:
        """Leave nothing half-done: what came is drawn, maps in which nothing is predicted go, slides come back."""
        for heatmap in self:
            heatmap.draw(final=True)
        for layer in list(self.viewer.layers):
            role = role_of(layer)
            if isinstance(role, MapRole) and not role.map.count:
                self.viewer.layers.remove(layer)
        self.open_slides.close()
        leave_roles(self.viewer)

    def redraw(self, prediction_map: PredictedMap) -> None:
        """Draw a map in which a quick preview came or went."""
        if id(prediction_map) in self._heatmaps:
            self._heatmaps[id(prediction_map)].redraw()

    def write(self, prediction_map: PredictedMap, cells: IntArray, *, awaited: bool = False) -> None:
        """Take note of cells that were predicted or dropped, and draw them soon; at once if a person waits for them."""
        if id(prediction_map) in self._heatmaps:
            self._heatmaps[id(prediction_map)].write(cells)
            (self.pace.draw_next if awaited else self.pace.draw_soon)()

    def draw(self, *, final: bool = False) -> None:
        """Draw what has arrived since the last time.

        Parameters
        ----------
        final : bool
            Nothing more is coming.
        """
        for heatmap in self:
            heatmap.draw(final=final)
        self.tell_limits()
        self.state.drawings += 1
        self.pace.drawing()

    def forget_limits(self) -> None:
        """Let the limits of the gene in sight follow its values again."""
        if self.current is not None:
            self.current.forget_limits()
            self._restyle()

    def tell_limits(self) -> None:
        """Tell the state the limits of the heatmap in sight, once it has values."""
        heatmap = self.current
        if heatmap is None or heatmap.blank:
            self.state.limits = None
            return
        limits = heatmap.limits
        self.state.limits = ShownLimits(
            *(heatmap.gene, limits.low, limits.high, heatmap.map.card.unit, limits.note),
            by_hand=heatmap.by_hand,
            beyond=heatmap.beyond,
            locked=heatmap.style.locked,
            too_large=not heatmap.can_smooth,
        )

    def _heatmap_of(self, prediction_map: PredictedMap) -> HeatmapLayer:
        if id(prediction_map) not in self._heatmaps:
            self._heatmaps[id(prediction_map)] = HeatmapLayer(
                *(self.viewer, prediction_map, self.state.style),
                later=self.pace.later,
                moved=self.tell_limits,
            )
        return self._heatmaps[id(prediction_map)]

    def _show_gene(self, gene: str) -> None:
        heatmap = self.current
        if heatmap is not None and gene in heatmap.map.card.genes:
            heatmap.show(gene)
            self.tell_limits()

    def _restyle(self) -> None:
        if self.current is not None:
            self.current.restyle()
            self.tell_limits()
