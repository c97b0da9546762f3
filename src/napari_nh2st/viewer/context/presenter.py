"""The context inspector: the tile that was clicked, its neighbours, and the effect over the slide. No Qt."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_nh2st.analysis.context import (
    NeighbourEffects,
    looks_around,
    neighbour_effects,
    tile_table,
    without_surroundings,
)
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import FloatArray, IntArray
from napari_nh2st.viewer.context.inspected import Outline, cell_under_cursor, pictures
from napari_nh2st.viewer.context.marks import Mark, marks_of
from napari_nh2st.viewer.context.messages import (
    ALONE_ANYWAY,
    BACK_TIP,
    EVERY_TILE,
    HIDE_LINKS,
    NOT_PREDICTED,
    OPEN_ITS_SLIDE,
    PICK_A_TILE,
    SHOW,
    SHOW_LINKS,
    SHOW_TIP,
    WHOLE_SLIDE_ONLY,
    effect_words,
    surroundings_words,
)
from napari_nh2st.viewer.kit.long_work import Cancelled, LongWork, Tell
from napari_nh2st.viewer.kit.tool_in_hand import Tool
from napari_nh2st.viewer.layers.context_effect import ContextEffect, EffectLayer
from napari_nh2st.viewer.layers.links import LinksLayer
from napari_nh2st.viewer.layers.map_layer import Later
from napari_nh2st.viewer.layers.roles import slide_of
from napari_nh2st.viewer.predict.each_tile import SHOW_PREDICTION, EachTile
from napari_nh2st.viewer.predict.inputs import PredictionInputs
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    import pandas as pd
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.model.heads.tissue_graph import TissueGraph

_STILL = 4  # pixels that a hand may move between press and release: still a click
_LINE = 0.04  # width of a link's line, in tiles
_SAMPLE = 10_000  # tiles that stand for the slide in the table

Pictures = npt.NDArray[np.uint8]  # (9, p, p, 3)
Arrived = deque[tuple[IntArray, npt.NDArray[Any]]]  # cells and their hidden vectors


@dataclass(frozen=True)
class SlideOffer:
    """Actions that are possible over the whole slide.

    Attributes
    ----------
    legend : str
        What the layer shows, or would show.
    button, tip : str
        What the button does, or why it is off.
    on, more : bool
        Whether the button is on; whether there are tiles to go on with.
    """

    legend: str
    button: str
    tip: str
    on: bool
    more: bool


class ContextView(Protocol):
    """Shows what the presenter decides."""

    @property
    def tile_work(self) -> LongWork:
        """On the tile that was clicked."""

    @property
    def slide_work(self) -> LongWork:
        """On every tile of the slide."""

    def show_sentence(self, text: str) -> None:
        """Say what to do, or what the surroundings change."""

    @property
    def sentence_text(self) -> str:
        """The current sentence."""

    def show_pictures(self, nine: Pictures | None) -> None:
        """Show the tile and its neighbours, or nothing."""

    def show_marks(self, marks: Sequence[Mark] | None) -> None:
        """Write on the nine tiles, or nothing."""

    def show_table(self, table: pd.DataFrame | None) -> None:
        """Show the genes of the tile, or nothing."""

    def show_slide_offer(self, offer: SlideOffer) -> None:
        """Offer what can be done over the whole slide."""

    def show_links_offer(self, button: str | None) -> None:
        """Offer to show or hide the links between places, or nothing."""

    def draw_while_working(self, on: bool) -> None:
        """Call `draw_arrived` now and then, or no longer."""


class SlideEffect:
    """The context effect of a map and its layer."""

    def __init__(self, viewer: ViewerModel, prediction_map: PredictedMap, later: Later) -> None:
        self.effect = ContextEffect(prediction_map)
        self.image = EffectLayer(viewer, self.effect, later)

    @property
    def map(self) -> PredictedMap:
        """The map whose tiles they are."""
        return self.effect.map

    @property
    def count(self) -> int:
        """For how many tiles it was computed."""
        return self.effect.alone.count


class ContextPresenter:
    """Takes away a tile's surroundings, one by one or all of them, and says what that changes."""

    def __init__(self, workspace: Workspace, view: ContextView) -> None:
        self._workspace, self._view = workspace, view
        self._cell: int | None = None
        self.effects: NeighbourEffects | None = None
        self._click = 0  # how many clicks there were: late pictures of earlier ones are dropped
        self._outline = Outline(workspace.viewer)
        self.links = LinksLayer(workspace.viewer)
        self.picker = Tool(self._take_picker)
        self._slide: EachTile[SlideEffect] = EachTile(workspace, self.show_state)
        self._arriving: dict[SlideEffect, Arrived] = {}
        state = workspace.state
        state.map_chosen.connect(self.map_chosen)
        state.events.gene.connect(self._gene_changed)
        state.events.drawings.connect(self.show_state)
        state.events.jobs_ended.connect(self._job_ended)
        workspace.viewer.layers.events.removed.connect(self._layer_removed)
        workspace.viewer.mouse_drag_callbacks.append(self._pressed)
        workspace.when_closing(self._close)

    # one tile

    def _take_picker(self) -> bool:
        """Let clicks on the canvas choose a tile, where tiles are predicted."""
        why_not = self._why_not()
        if why_not:
            self._view.show_sentence(why_not)
        return not why_not

    def _why_not(self) -> str:
        """Say why no tile can be inspected now; empty where one can."""
        prediction_map = self._workspace.map
        if prediction_map is None or not prediction_map.count:
            return NO_MAP
        facts = prediction_map.card.predictor
        return WHOLE_SLIDE_ONLY if facts is not None and facts.whole_slide else ""

    def _pressed(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        """Take a press on the canvas that is released where it was for a click on a tile."""
        if event.button != 1 or event.modifiers or self._workspace.tools.tool is not self.picker:
            return
        start = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            if np.abs(np.array(event.pos) - start).max() > _STILL:
                return
            yield
        self.inspect_under_cursor()

    def inspect_under_cursor(self) -> None:
        """Inspect the tile under the cursor, or say why there is none."""
        prediction_map, slide_layer = self._workspace.map, self._workspace.map_slide_layer
        if prediction_map is None or not prediction_map.count:
            self._view.show_sentence(NO_MAP)
        elif slide_layer is None:
            self._view.show_sentence(OPEN_ITS_SLIDE)
        elif (cell := cell_under_cursor(self._workspace.viewer, prediction_map, slide_layer)) is None:
            self._view.show_sentence(NOT_PREDICTED)
        elif cell != self._cell or (self.effects is None and not self._view.tile_work.running):
            try:
                self._inspect(prediction_map, cell, slide_layer)
            except Nh2stError as error:
                self._view.show_sentence(str(error))

    def _inspect(self, prediction_map: PredictedMap, cell: int, slide_layer: Layer) -> None:
        place, card, decoder = prediction_map.tiles(np.array([cell])), prediction_map.card, prediction_map.decoder
        done = np.flatnonzero(prediction_map.done)
        if len(done) > _SAMPLE:
            done = done[np.random.default_rng(0).integers(0, len(done), _SAMPLE)]
        on_slide = prediction_map.hidden_of(done)

        def take_away(
            inputs: PredictionInputs, tell: Tell, cancelled: Cancelled
        ) -> tuple[NeighbourEffects, pd.DataFrame]:
            effects = neighbour_effects(inputs.session, place, decoder, cancelled=cancelled)
            return effects, tile_table(effects, card.genes, on_slide)

        work = self._workspace.with_inputs(take_away, decodes=True)
        self._cell, self.effects = cell, None
        self._click += 1
        self._outline.show(place, card, slide_layer)
        self._view.show_sentence("")
        self._view.show_marks(None)
        self._read_pictures(slide_layer, place.neighbours(card.pitch)[0], card.patch * prediction_map.scale)
        self._view.tile_work.start("Taking its surroundings away", work, self._taken_away)

    def _read_pictures(self, slide_layer: Layer, centres: npt.NDArray[np.float64], side: float) -> None:
        click = self._click

        def show(nine: Pictures) -> None:
            if click == self._click and self._cell is not None:
                self._view.show_pictures(nine)

        slide = slide_of(slide_layer)
        assert slide is not None
        complain = self._workspace.notices.complain
        self._workspace.background.call(pictures, slide, centres, side, then=show, failed=complain)

    def _taken_away(self, outcome: tuple[NeighbourEffects, pd.DataFrame]) -> None:
        self.effects, table = outcome
        self._view.show_table(table)
        self._show_numbers()

    def _show_numbers(self) -> None:
        """Write the current gene on the nine tiles; decoded from what is there, without the model."""
        effects, prediction_map, gene = self.effects, self._workspace.map, self._workspace.state.gene
        if effects is None or prediction_map is None:
            return
        card = prediction_map.card
        if gene not in card.genes:
            self._view.show_marks(None)
            self._view.show_sentence(f"{card.name} does not predict {gene}.")
            return
        column = card.genes.index(gene)
        here, alone = float(effects.here([column])[0]), float(effects.change_alone([column])[0])
        self._view.show_marks(marks_of(effects, gene, column))
        said = surroundings_words(gene, card.unit, here, alone)
        self._view.show_sentence(said if looks_around(card) else f"{said} {ALONE_ANYWAY}")

    def _put_tile_away(self) -> None:
        self._cell = self.effects = None
        self._click += 1
        self._view.tile_work.cancel_all()  # a tile is clicked again sooner than its slide comes back
        self._view.show_pictures(None)
        self._view.show_table(None)
        self._outline.remove()
        self.links.remove()

    # the whole slide

    @property
    def slide_effect(self) -> SlideEffect | None:
        """The effect over the map that is shown, None where it was not asked for."""
        return self._slide.current

    def toggle(self) -> None:
        """Show what the surroundings change instead of the prediction, or the prediction again."""
        if self._slide.in_sight:
            self._slide.show_prediction()
            self.show_state()
            return
        try:
            prediction_map = self._workspace.require_map()
        except Nh2stError as error:
            self._view.slide_work.say(str(error))
            return
        if self._workspace.map_slide_layer is None:
            self._view.slide_work.say(OPEN_ITS_SLIDE)
            return
        effect = self._slide.current or SlideEffect(
            self._workspace.viewer, prediction_map, self._workspace.maps.pace.later
        )
        self._slide.keep(effect)
        self._slide.bring_out(effect)
        effect.image.draw_gene(self._workspace.state.gene)
        self.compute()
        self.show_state()

    def compute(self) -> None:
        """Predict without their surroundings the tiles for which that was not done yet."""
        effect = self._slide.current
        if effect is None or not len(effect.effect.missing):
            return
        cells, arrived = effect.effect.missing, Arrived()
        places = effect.map.tiles(cells)

        def take_away(inputs: PredictionInputs, tell: Tell, cancelled: Cancelled) -> None:
            done = 0
            for mine, hidden in without_surroundings(inputs.session, places, cancelled=cancelled):
                arrived.append((cells[mine], hidden))
                done += len(mine)
                tell(done, len(cells))

        try:
            work = self._workspace.with_inputs(take_away, decodes=True)
        except Nh2stError as error:
            self._view.slide_work.say(str(error))
            return
        effect.effect.alone.shrink(effect.map.nbytes)  # what the map itself has let go
        self._arriving[effect] = arrived
        self._view.draw_while_working(True)
        ended = partial(self._computed, effect)
        self._view.slide_work.start("Taking the surroundings away", work, lambda _: None, ended)
        self.show_state()

    def draw_arrived(self) -> None:
        """Draw what has arrived."""
        for effect, arrived in self._arriving.items():
            if arrived:
                while arrived:
                    effect.effect.alone.add(*arrived.popleft())
                effect.image.draw_gene(self._workspace.state.gene)
        self.show_state()

    def _computed(self, effect: SlideEffect) -> None:
        self.draw_arrived()
        self._arriving.pop(effect, None)
        self._view.draw_while_working(bool(self._arriving))
        self.show_state()

    def toggle_links(self) -> None:
        """Draw which places of the slide the model links, or take that away."""
        prediction_map, slide_layer = self._workspace.map, self._workspace.map_slide_layer
        if self.links.present or prediction_map is None:
            self.links.remove()
            self.show_state()
            return
        if slide_layer is None:
            self._view.slide_work.say(OPEN_ITS_SLIDE)
            return
        card, scale = prediction_map.card, prediction_map.scale

        def find(inputs: PredictionInputs, tell: Tell, cancelled: Cancelled) -> tuple[FloatArray, TissueGraph]:
            found: tuple[FloatArray, TissueGraph] = inputs.session.graph(cancelled=cancelled)
            return found

        def draw(found: tuple[FloatArray, TissueGraph]) -> None:
            self.links.show(*found, _LINE * card.patch * scale, slide_layer, card.mpp / scale)
            self.show_state()

        try:
            work = self._workspace.with_inputs(find)
        except Nh2stError as error:
            self._view.slide_work.say(str(error))
            return
        self._view.slide_work.start("Looking at the slide", work, draw)

    # what changes elsewhere

    def map_chosen(self) -> None:
        """Put the effect away for the heatmap that was brought out, and the tile where it is of another map."""
        if self._slide.hide():
            self._put_tile_away()
            self.show_hint()
        self.show_state()

    def show_hint(self) -> None:
        """Say what to do first."""
        self._view.show_sentence(self._why_not() or PICK_A_TILE)

    def _gene_changed(self) -> None:
        self._show_numbers()
        if self.slide_effect is not None:
            self.slide_effect.image.draw_gene(self._workspace.state.gene)
        self.show_state()

    def _job_ended(self) -> None:
        if self.slide_effect is not None and self._slide.in_sight:
            self.slide_effect.image.draw_gene(self._workspace.state.gene)  # some tiles may have been let go
        self.show_state()

    def _layer_removed(self, event: object = None) -> None:
        self.show_state()

    def show_state(self) -> None:
        """Offer what can be done now; often called, hence quick."""
        prediction_map = self._workspace.map
        predicted = prediction_map is not None and prediction_map.count > 0
        if predicted and self._cell is None and self._view.sentence_text == NO_MAP:
            self.show_hint()
        linked = prediction_map is not None and prediction_map.card.architecture.row.graph
        self._view.show_links_offer((HIDE_LINKS if self.links.present else SHOW_LINKS) if linked else None)
        looks = prediction_map is not None and looks_around(prediction_map.card)
        visible, more = self._slide.in_sight, self._slide.more
        self._view.show_slide_offer(
            SlideOffer(
                legend=effect_words(self._workspace.state.gene, more) if visible else EVERY_TILE,
                button=SHOW_PREDICTION if visible else SHOW,
                tip=BACK_TIP if visible else self._why_not() or (SHOW_TIP if looks else ALONE_ANYWAY),
                on=visible or (predicted and looks),
                more=bool(visible and more and not self._view.slide_work.running),
            )
        )

    def _close(self) -> None:
        """Let go of the viewer."""
        self._outline.remove()
        self._view.draw_while_working(False)
        self._workspace.viewer.layers.events.removed.disconnect(self._layer_removed)
        callbacks = self._workspace.viewer.mouse_drag_callbacks
        if self._pressed in callbacks:
            callbacks.remove(self._pressed)
