"""Intervals of the gene in sight: their half-widths as a layer, and marks where they say nothing. No Qt."""

from __future__ import annotations

from typing import Protocol

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.intervals import intervals_words
from napari_nh2st.viewer.layers.roles import Kind
from napari_nh2st.viewer.predict.each_tile import COVERING, SHOW_PREDICTION, EachTile
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.trust.half_width import HalfWidth, MapIntervals, NotInformative, words_of
from napari_nh2st.viewer.trust.messages import HALF_WIDTH_BACK_TIP, HALF_WIDTH_TIP, INTERVALS_ARE, SHOW_HALF_WIDTH
from napari_nh2st.viewer.trust.presenter import Offer


class IntervalView(Protocol):
    """Shows what is known of the intervals."""

    def show_intervals(self, offer: Offer, origin: str, sentence: str, *, marked: bool) -> None:
        """Offer the layers, and say what is known; `marked` tells whether marks are in sight."""


class IntervalPresenter:
    """Draws half-widths and marks of the gene in sight, and keeps them in step with the map."""

    def __init__(self, workspace: Workspace, view: IntervalView) -> None:
        self._workspace, self._view = workspace, view
        self._widths: EachTile[HalfWidth] = EachTile(workspace, self._draw)
        self._marks: EachTile[NotInformative] = EachTile(workspace, self._draw)
        self._of: MapIntervals | None = None
        self._drawn: dict[Kind, tuple[MapIntervals, int, str]] = {}
        self._sentence = ""
        state = workspace.state
        state.map_chosen.connect(self._map_chosen)
        for told in (state.events.gene, state.events.drawings, state.events.jobs_ended):
            told.connect(self._draw)
        state.events.model.connect(self.show_state)

    def toggle_half_width(self) -> None:
        """Show the half-widths instead of the prediction, or the prediction again."""
        if self._widths.in_sight:
            self._widths.show_prediction()
            self.show_state()
            return
        if self._intervals() is None:
            return
        workspace, later = self._workspace, self._workspace.maps.pace.later
        layer = self._widths.current or HalfWidth(workspace.viewer, workspace.require_map(), later)
        self._widths.keep(layer)
        self._widths.bring_out(layer, covering=[kind for kind in COVERING if kind is not Kind.VAIN])
        self._draw()

    def mark(self, on: bool) -> None:
        """Mark where the intervals say nothing, or take the marks away."""
        if self._intervals() is None:
            return
        workspace, later = self._workspace, self._workspace.maps.pace.later
        layer = self._marks.current or NotInformative(workspace.viewer, workspace.require_map(), later)
        self._marks.keep(layer)
        if on:
            self._marks.bring_out(layer, instead_of_prediction=False)
            self._draw()
        else:
            layer.image.hide()
            self.show_state()

    def _intervals(self) -> MapIntervals | None:
        """Return the intervals of the map that is shown, in step with it; None where it has none."""
        prediction_map = self._workspace.map
        if prediction_map is None or not prediction_map.count:
            return None
        if self._of is None or self._of.map is not prediction_map:
            try:
                self._of = MapIntervals(prediction_map)
            except Nh2stError:
                return None
        self._of.follow()
        return self._of

    def _map_chosen(self) -> None:
        self._widths.hide()
        self._marks.hide_other_maps()
        self._sentence = ""
        self.show_state()

    def _draw(self) -> None:
        """Draw the gene in sight, as far as its layers are there."""
        gene, self._sentence = self._workspace.state.gene, ""
        drawn = [t.current for t in (self._widths, self._marks) if t.current is not None and t.current.image.visible]
        intervals = self._intervals() if drawn and gene else None
        if intervals is not None:
            for layer in drawn:
                now, kind = (intervals, intervals.version, gene), layer.image.role.kind
                if self._drawn.get(kind) != now:
                    self._drawn[kind] = now
                    layer.draw(intervals, gene)
            self._sentence = words_of(intervals, gene)
        self.show_state()

    def show_state(self) -> None:
        """Offer what can be done now; often called, hence quick."""
        prediction_map, card = self._workspace.map, self._workspace.state.shown_card
        why = "" if card is None else card.why_no_intervals
        if not why and (prediction_map is None or not prediction_map.count):
            why = NO_MAP
        shown = self._widths.in_sight
        tip = why or (HALF_WIDTH_BACK_TIP if shown else HALF_WIDTH_TIP)
        offer = Offer(SHOW_PREDICTION if shown else SHOW_HALF_WIDTH, tip, not why)
        has = card is not None and not card.why_no_intervals
        origin = "" if card is None else f"{INTERVALS_ARE} {intervals_words(card)}" if has else intervals_words(card)
        self._view.show_intervals(offer, origin, self._sentence, marked=self._marks.in_sight)
