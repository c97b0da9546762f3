"""Models side by side on one slide: the slide once for each, in napari's grid, with the same gene. No Qt."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.layers.colour_bar import span_words
from napari_nh2st.viewer.layers.roles import layer_of_slide
from napari_nh2st.viewer.layers.slide_copy import copy_slide
from napari_nh2st.viewer.models.messages import (
    LAYING_OUT,
    LEAVE_SAID,
    NO_SLIDE,
    OTHER_UNITS,
    SAME_LIMITS_SAID,
    SLIDES_FIRST,
    own_limits_words,
    still_shows,
)
from napari_nh2st.viewer.models.selection import ModelMap, Selection
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.several.side_by_side import SideBySide
from napari_nh2st.viewer.state.dock_state import first_gene
from napari_nh2st.viewer.state.style import Style

if TYPE_CHECKING:
    from napari.layers import Layer


_CLOSER = 1.2  # times as large as the whole slide fits: a person was looking at a part of it


class ModelsSideBySide(SideBySide):
    """Maps of one slide beside one another.

    Attributes
    ----------
    same_limits : bool
        Whether the same colour means the same value; else each map spans its own model's values.
    """

    same_limits = False
    _put_away: Sequence[Any] = ()

    def leave(self) -> None:
        """Put everything back."""
        self.share_bar(False)
        super().leave()

    def match(self, gene: str, style: Style) -> bool:
        """Show the same gene in each map whose model predicts it, and return whether any limits have changed."""
        if self.same_limits:
            return super().match(gene, style)
        changed = False
        for heatmap in self.heatmaps:
            if heatmap.present and gene != heatmap.gene and gene in heatmap.map.card.genes:
                heatmap.show(gene)
                changed = True
        return changed

    def restyle(self) -> None:
        """Let each map have limits of its own again, or those that were set by hand or locked."""
        for heatmap in self.heatmaps:
            heatmap.restyle()

    def share_bar(self, on: bool) -> None:
        """Leave one colour bar, which stands for all, or give each map its own again."""
        bars = [heatmap.layer.colorbar for heatmap in self.heatmaps if heatmap.layer is not None and heatmap.present]
        if on and not self._put_away:
            self._put_away = [bar for bar in bars[1:] if bar.visible]
        for bar in self._put_away:
            bar.visible = not on
        if not on:
            self._put_away = ()

    @property
    def alike(self) -> bool:
        """True if all maps have the same limits, whatever the reason."""
        return len({(heatmap.limits.low, heatmap.limits.high) for heatmap in self.heatmaps}) == 1


class SideView(Protocol):
    """Shows whether models lie side by side."""

    def show_side_offer(self, reason_off: str, no_same_limits: str) -> None:
        """Offer to lay models side by side, and the same limits for all, or say why not."""

    def show_side_left(self) -> None:
        """Show that models do not lie side by side any more."""

    def show_side_sentence(self, text: str) -> None:
        """Say what to know while models lie side by side."""

    def look_soon(self) -> None:
        """Call `look` when what is changing is done changing; asking again until then changes nothing."""


class SidePresenter:
    """Lays the ticked models of the chosen slide side by side, until it is told to leave or one of them is gone."""

    def __init__(self, workspace: Workspace, selection: Selection, view: SideView) -> None:
        self._workspace, self._selection, self._view = workspace, selection, view
        self._begun = False
        self._side: ModelsSideBySide | None = None
        self._steps: Generator[None] = self._enter_by_steps()
        self._sight: tuple[tuple[float, ...], float] = (), 0.0
        self._maps: tuple[ModelMap, ...] = ()
        self._copies: list[Layer] = []
        self._same_limits = self._restyling = False
        self._limits, self._events = Connections(), Connections()
        layers = workspace.viewer.layers.events
        for changed in (layers.inserted, layers.removed, workspace.viewer.canvas.grid.events.enabled):
            self._events.add(changed, self._changed)
        state = workspace.state
        state.gene_chosen.connect(self._match)
        state.events.drawings.connect(self._match)
        state.style.when_restyled(self._restyle)
        state.map_chosen.connect(self._map_chosen)
        selection.changed.connect(self._selection_changed)
        workspace.when_closing(self._events.close)
        workspace.when_closing(self.leave)

    @property
    def on(self) -> bool:
        """True if models lie side by side, or are being laid out."""
        return self._begun

    @property
    def cells(self) -> list[Layer]:
        """The slide's copies, one for each model."""
        return list(self._copies)

    # what the person does

    def toggle(self, on: bool) -> None:
        """Lay the models side by side, or put everything back."""
        if on and not self.on and not self._why_not():
            self._enter()
        elif not on:
            self.leave()

    def share_limits(self, on: bool) -> None:
        """Give all maps the same limits, or each its own."""
        self._same_limits = on
        if self._side is not None:
            self._side.same_limits = self._shares_limits
            self._restyle()

    @property
    def _shares_limits(self) -> bool:
        return self._same_limits and not self._why_no_same_limits()

    def _why_no_same_limits(self) -> str:
        return OTHER_UNITS if len({each.map.card.unit for each in self._selection.chosen}) > 1 else ""

    def _enter(self) -> None:
        self._begun, self._maps = True, self._selection.chosen
        self._workspace.maps.open_slides.keep_all_in_sight(True)
        self._view.show_side_sentence(LAYING_OUT)
        self._steps = self._enter_by_steps()
        self._go_on()

    def _go_on(self) -> None:
        """Take the next step, unless the models are left by now: a layer takes long to come, and the window answers."""
        if self._begun and next(self._steps, self) is not self:
            self._workspace.maps.pace.later(self._go_on)

    def _enter_by_steps(self) -> Generator[None]:
        workspace, viewer = self._workspace, self._workspace.viewer
        self._sight = tuple(viewer.scene.camera.center), float(viewer.scene.camera.zoom)
        for each in self._maps:
            self._bring(each)
            slide_layer = workspace.maps.slide_layer
            if slide_layer is None:  # closed meanwhile
                self.leave()
                return
            self._copies.append(copy_slide(viewer, slide_layer, each.name))
            yield
        pairs = [(copy, each.heatmap) for copy, each in zip(self._copies, self._maps, strict=True)]
        self._side = side = ModelsSideBySide(viewer, pairs, workspace.maps.pace.later, self._laid_out)
        side.same_limits = self._shares_limits
        if not side.entering:
            self._laid_out()

    def _bring(self, model_map: ModelMap) -> None:
        """Draw a map whose layer was deleted; it is out of sight again when the models are left."""
        heatmap = model_map.heatmap
        if not heatmap.present:
            gene = self._workspace.state.gene
            heatmap.show(gene if gene in heatmap.map.card.genes else first_gene(heatmap.map.card))
            heatmap.hide()

    def _laid_out(self) -> None:
        """Keep the maps in step from now on, and say what to know."""
        if self._side is None or self._side.entering:
            return
        self._side.watch_limits(self._limits, self._limits_changed)
        self._look_there_again()
        self._restyle()

    def _look_there_again(self) -> None:
        """Show in each cell what was in sight before, where that was not the whole slide."""
        viewer, (centre, zoom) = self._workspace.viewer, self._sight
        rows, columns = viewer.canvas.grid.actual_shape(viewer.layers)
        fitted = float(viewer.scene.camera.zoom)  # the whole slide in one cell
        in_cell = zoom * min(1 / rows, 1 / columns)
        if in_cell > _CLOSER * fitted:
            viewer.scene.camera.center, viewer.scene.camera.zoom = centre, in_cell

    def leave(self) -> None:
        """Put everything back."""
        if not self._begun:
            return
        self._begun = False
        self._steps.close()
        side, self._side = self._side, None
        self._limits.close()
        if side is not None:
            side.leave()
        copies, self._copies = self._copies, []
        for copy in copies:
            if copy in self._workspace.viewer.layers:
                self._workspace.viewer.layers.remove(copy)
        self._workspace.maps.open_slides.keep_all_in_sight(False)
        self._view.show_side_sentence("")
        self._view.show_side_left()
        self._workspace.maps.tell_limits()

    # what changes elsewhere

    def look(self) -> None:
        """Leave where what is compared is no longer all there, or the grid was left; say what can be done."""
        if self._begun and not (self._all_there and (self._side is None or self._side.complete)):
            self.leave()
        self._view.show_side_offer("" if self.on else self._why_not(), self._why_no_same_limits())

    @property
    def _all_there(self) -> bool:
        """True if the slide and all its copies are in the window."""
        viewer = self._workspace.viewer
        slide_layer = layer_of_slide(viewer, self._maps[0].map.slide.get("fingerprint"))
        return slide_layer is not None and all(copy in viewer.layers for copy in self._copies)

    def _why_not(self) -> str:
        maps = self._workspace.maps
        if self._selection.why_not:
            return self._selection.why_not
        if maps.slide_layer is None:
            return NO_SLIDE
        return SLIDES_FIRST if maps.open_slides.all_in_sight and not self.on else ""

    def _changed(self, event: object = None) -> None:
        self._view.look_soon()

    def _selection_changed(self) -> None:
        """Take in a model that has joined; leave where another slide was chosen, or too few are left."""
        if self._begun and [each.map for each in self._maps] != [e.map for e in self._selection.chosen]:
            again = {each.map.slide.get("fingerprint") for each in self._maps} == {self._selection.fingerprint}
            self.leave()
            if again and not self._why_not():
                self._enter()
        self._view.look_soon()

    def _map_chosen(self) -> None:
        if self._side is not None:
            self._side.show()
            self._match()

    def _limits_changed(self, event: object = None) -> None:
        """Take limits that were set by hand, in napari's own controls, for all maps."""
        if self._side is not None and any(heatmap.by_hand for heatmap in self._side.heatmaps):
            self._restyle()

    def _restyle(self) -> None:
        """Give the maps other limits, each its own or all the same."""
        if self._side is None or self._side.entering or self._restyling:
            return
        self._restyling = True
        self._side.restyle()
        self._restyling = False
        self._side.share_bar(self._side.same_limits)
        self._match()

    def _match(self) -> None:
        side, state = self._side, self._workspace.state
        if side is not None and not side.entering and side.match(state.gene, state.style):
            self._workspace.maps.tell_limits()
        if side is not None and not side.entering:
            self._say()

    def _say(self) -> None:
        gene = self._workspace.state.gene
        lacking = [
            still_shows(each.name, gene, each.heatmap.gene) for each in self._maps if gene not in each.map.card.genes
        ]
        spans = [(each.name, span_words(*_ends(each))) for each in self._maps]
        alike = self._side is not None and self._side.alike
        limits = SAME_LIMITS_SAID if alike else own_limits_words(spans)
        self._view.show_side_sentence(" ".join([*lacking, limits, LEAVE_SAID]))


def _ends(model_map: ModelMap) -> tuple[float, float]:
    limits = model_map.heatmap.limits
    return limits.low, limits.high
