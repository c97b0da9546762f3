"""What a tile's surroundings change: the tile that was clicked with its neighbours, and the whole slide as a layer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton, QWidget

from napari_nh2st.analysis.context import (
    NeighbourEffects,
    looks_around,
    neighbour_effects,
    tile_table,
    without_surroundings,
)
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import SELF
from napari_nh2st.viewer.context.inspected import Outline, cell_under_cursor, pictures
from napari_nh2st.viewer.context.messages import (
    ALONE_ANYWAY,
    CLICK_A_TILE,
    NEIGHBOURS,
    NOT_PREDICTED,
    OPEN_ITS_SLIDE,
    effect_words,
    neighbour_tip,
    surroundings_words,
)
from napari_nh2st.viewer.context.picture import ContextPicture, Mark
from napari_nh2st.viewer.kit.background import Cancelled, Tell
from napari_nh2st.viewer.kit.connections import Connections
from napari_nh2st.viewer.kit.gene_table import GeneTable
from napari_nh2st.viewer.kit.layout import column, row, rule
from napari_nh2st.viewer.kit.phrases import signed
from napari_nh2st.viewer.kit.task import Task
from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.layers.context_effect import LOWER, RAISE, ContextEffect, EffectLayer
from napari_nh2st.viewer.layers.roles import slide_of
from napari_nh2st.viewer.predict.inputs import PredictionInputs
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.state.predicted_map import PredictedMap

_STILL = 4  # pixels that a hand may move between press and release: still a click
_SAMPLE = 10_000  # tiles that stand for the slide
_DRAWN_MS = 500
_TIPS = {
    "here": "What is predicted for this tile",
    "mean": "Mean of what is predicted on this slide",
    "z": "How far this tile lies above the mean, in standard deviations over the slide",
    "alone": "What is added to the prediction when all of the surroundings are taken away",
}
_SHOW, _BACK = "Show on the slide", "Show the prediction"
_SHOW_TIP = "Draw, for each tile, how much its surroundings raise or lower the current gene; the model looks once more"
_BACK_TIP = "Hide what the surroundings change, and show the heatmap of the prediction again"


class ContextSection(QWidget):
    """The fold "Context".

    Parameters
    ----------
    workspace : Workspace
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._map: PredictedMap | None = None
        self._cell: int | None = None
        self._effects: NeighbourEffects | None = None
        self._click = 0  # how many clicks there were: late pictures of earlier ones are dropped
        self._outline = Outline(workspace.viewer)
        self._layers: dict[int, EffectLayer] = {}
        self._arrived: tuple[EffectLayer, deque[Any]] | None = None
        self._connections = Connections()
        self._build()
        self._wire()
        self._map_changed()

    @property
    def effect(self) -> EffectLayer | None:
        """The layer of what the surroundings change in the map that is shown, None where it was not asked for."""
        return self._layers.get(id(self._workspace.map))

    def _build(self) -> None:
        self.sentence = Sentence()
        self.picture = ContextPicture()
        self.task = Task(self._workspace)
        self.table = GeneTable("genes of a tile")
        self.show_button = QPushButton(_SHOW)
        self.more = QPushButton("Go on")
        self.more.setToolTip("Compute it for the tiles that were predicted since")
        self.legend = Sentence("What the surroundings change in every tile of the slide:")
        self.effect_task = Task(self._workspace)
        layout = column(self)
        for part in (self.picture, self.sentence, self.task, self.table, rule(), self.legend):
            layout.addWidget(part)
        layout.addLayout(row(self.show_button, self.more))
        layout.itemAt(layout.count() - 1).layout().addStretch(1)
        layout.addWidget(self.effect_task)

    def _wire(self) -> None:
        workspace, viewer = self._workspace, self._workspace.viewer
        workspace.state.map_chosen.connect(self._map_changed)
        workspace.state.events.gene.connect(self._gene_changed)
        workspace.state.events.drawings.connect(self._show_state)
        workspace.state.events.jobs_ended.connect(self._settled)
        workspace.when_closing(self._close)
        self.table.gene_clicked.connect(workspace.state.request_gene)
        self.show_button.clicked.connect(self._toggle)
        self.more.clicked.connect(self._compute)
        self._timer = QTimer(self, interval=_DRAWN_MS)
        self._timer.timeout.connect(self._drain)
        self._connections.add(viewer.layers.events.removed, self._show_state)
        viewer.mouse_drag_callbacks.append(self._pressed)

    # one tile

    def _pressed(self, viewer: Any, event: Any) -> Iterator[None]:
        """Take a press on the canvas that is released where it was for a click on a tile."""
        active = viewer.layers.selection.active
        tool = str(getattr(active, "mode", "pan_zoom"))
        if event.button != 1 or event.modifiers or tool != "pan_zoom" or not self.isVisible():
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
        shown, slide_layer = self._workspace.map, self._workspace.map_slide_layer
        if shown is None or not shown.count:
            self.sentence.say(NO_MAP)
        elif slide_layer is None:
            self.sentence.say(OPEN_ITS_SLIDE)
        elif (cell := cell_under_cursor(self._workspace.viewer, shown, slide_layer)) is None:
            self.sentence.say(NOT_PREDICTED)
        elif cell != self._cell or (self._effects is None and not self.task.running):
            try:
                self._inspect(shown, cell, slide_layer)
            except Nh2stError as error:
                self.sentence.say(str(error))

    def _inspect(self, shown: PredictedMap, cell: int, slide_layer: Any) -> None:
        place = shown.tiles(np.array([cell]))
        done = np.flatnonzero(shown.done)
        if len(done) > _SAMPLE:
            done = done[np.random.default_rng(0).integers(0, len(done), _SAMPLE)]
        on_slide = shown.hidden_of(done)

        def work(inputs: PredictionInputs, tell: Tell, cancelled: Cancelled) -> Any:
            found = neighbour_effects(inputs.session, place, shown.decoder, cancelled=cancelled)
            return found, tile_table(found, shown.card.genes, on_slide)

        work_with_inputs = self._workspace.with_inputs(work)
        self._cell, self._effects = cell, None
        self._click += 1
        centres, side = place.neighbours(shown.card.pitch)[0], shown.card.patch * shown.scale
        self._outline.show(place, shown.card, slide_layer)
        self.sentence.say("")
        self.picture.show_marks(None)
        self._workspace.background.call(
            pictures,
            slide_of(slide_layer),
            centres,
            side,
            then=partial(self._read, self._click),
            failed=self._workspace.notices.complain,
        )
        self.task.start("Taking its surroundings away", work_with_inputs, self._looked)

    def _read(self, click: int, nine: Any) -> None:
        if click == self._click and self._cell is not None:
            self.picture.show_pictures(nine)

    def _looked(self, found: tuple[NeighbourEffects, Any]) -> None:
        self._effects, frame = found
        self.table.show_frame(frame, sort_by="z", tips=_TIPS)
        self._show_numbers()

    def _show_numbers(self) -> None:
        """Write the current gene on the nine tiles; decoded from what is there, without the model."""
        effects, shown, gene = self._effects, self._map, self._workspace.state.gene
        if effects is None or shown is None:
            return
        if gene not in shown.card.genes:
            self.picture.show_marks(None)
            self.sentence.say(f"{shown.card.name} does not predict {gene}.")
            return
        rows = [shown.card.genes.index(gene)]
        here, alone = float(effects.here(rows)[0]), float(effects.change_alone(rows)[0])
        changes = effects.changes(rows)[:, 0]
        self.picture.show_marks(
            [_mark(i, gene, here, float(change), bool(effects.present[i])) for i, change in enumerate(changes)]
        )
        said = surroundings_words(gene, shown.card.unit, here, alone)
        self.sentence.say(said if looks_around(shown.card) else f"{said} {ALONE_ANYWAY}")

    def _forget(self) -> None:
        """Put away the tile that was inspected."""
        self._cell = self._effects = None
        self._click += 1
        self.task.cancel()
        self.picture.show_pictures(None)
        self.table.show_frame(None)
        self._outline.remove()

    # the whole slide

    def _toggle(self) -> None:
        if self.effect is not None and self.effect.visible:
            self._workspace.maps.instead.back()
        else:
            try:
                shown = self._workspace.require_map()
            except Nh2stError as error:
                self.effect_task.sentence.say(str(error))
                return
            if self._workspace.map_slide_layer is None:
                self.effect_task.sentence.say(OPEN_ITS_SLIDE)
                return
            self._show_effect(shown)
            self._compute()
        self._show_state()

    def _show_effect(self, shown: PredictedMap) -> None:
        viewer = self._workspace.viewer
        if self.effect is None:
            self._layers[id(shown)] = EffectLayer(viewer, ContextEffect(shown))
        made = self._layers[id(shown)]
        before = made.layer
        made.show(self._workspace.state.gene)
        if made.layer is not None and made.layer is not before:
            self._connections.add(made.layer.events.visible, self._show_state)
        self._workspace.maps.instead.show(made.layer)

    def _compute(self) -> None:
        """Predict without their surroundings the tiles for which that was not done yet."""
        made = self.effect
        if made is None:
            return
        shown, cells = made.effect.map, made.effect.missing
        if not len(cells):
            return
        places, inbox = shown.tiles(cells), deque[Any]()

        def work(inputs: PredictionInputs, tell: Tell, cancelled: Cancelled) -> None:
            done = 0
            for mine, hidden in without_surroundings(inputs.session, places, cancelled=cancelled):
                inbox.append((cells[mine], hidden))
                done += len(mine)
                tell(done, len(cells))

        try:
            work_with_inputs = self._workspace.with_inputs(work)
        except Nh2stError as error:
            self.effect_task.sentence.say(str(error))
            return
        made.effect.alone.shrink(shown.nbytes)  # what the map itself has let go
        self._arrived = made, inbox
        self._timer.start()
        self.effect_task.start("Taking the surroundings away", work_with_inputs, lambda _: None, ended=self._computed)
        self._show_state()

    def _drain(self) -> None:
        """Draw what has come."""
        if self._arrived is None:
            return
        made, inbox = self._arrived
        arrived = bool(inbox)
        while inbox:
            made.effect.alone.add(*inbox.popleft())
        if arrived:
            made.draw_gene(self._workspace.state.gene)
            self._show_state()

    def _computed(self) -> None:
        self._timer.stop()
        self._drain()
        self._arrived = None
        self._show_state()

    # what changes elsewhere

    def _map_changed(self) -> None:
        for made in self._layers.values():
            made.hide()
        if self._map is not None and self._workspace.map is self._map:
            self._show_state()
            return
        self._map = self._workspace.map
        self._forget()
        self.effect_task.cancel()
        self.sentence.say(NO_MAP if self._map is None or not self._map.count else CLICK_A_TILE)
        self._show_state()

    def _gene_changed(self, gene: str) -> None:
        self._show_numbers()
        if self.effect is not None:
            self.effect.draw_gene(gene)
        self._show_state()

    def _settled(self) -> None:
        if self.effect is not None and self.effect.visible:
            self.effect.draw_gene(self._workspace.state.gene)  # some tiles may have been let go
        self._show_state()

    def _show_state(self, event: Any = None) -> None:
        """Say what the buttons do now; often called, hence quick."""
        shown = self._workspace.map
        filled, sees = shown is not None and shown.count > 0, shown is not None and looks_around(shown.card)
        if filled and self._cell is None and self.sentence.text() == NO_MAP:
            self.sentence.say(CLICK_A_TILE)
        made = self.effect
        visible = made is not None and made.visible
        new = max(0, shown.count - made.effect.alone.count) if shown is not None and made is not None else 0
        self.show_button.setText(_BACK if visible else _SHOW)
        self.show_button.setEnabled(visible or (filled and sees))
        why = _BACK_TIP if visible else _SHOW_TIP if sees else ALONE_ANYWAY
        self.show_button.setToolTip(why if filled else NO_MAP)
        self.more.setVisible(bool(visible and new and not self.effect_task.running))
        if visible:
            self.legend.say(effect_words(self._workspace.state.gene, new))
        else:
            self.legend.say("What the surroundings change in every tile of the slide:")

    def _close(self) -> None:
        """Let go of the viewer."""
        self._timer.stop()
        self._connections.close()
        callbacks = self._workspace.viewer.mouse_drag_callbacks
        if self._pressed in callbacks:
            callbacks.remove(self._pressed)


def _mark(index: int, gene: str, here: float, change: float, present: bool) -> Mark:
    """Say what is written on one of the nine tiles."""
    if index == SELF:
        return Mark(f"{here:.2f}", "#ffd400", f"This tile: {gene} {here:.2f}")
    if not present:
        tip = f"{NEIGHBOURS[index].capitalize()}: no tissue, or outside the slide. The model does not look at it"
        return Mark("", "", tip, absent=True)
    colour = "" if abs(change) < 0.005 else RAISE if change < 0 else LOWER  # where it adds, taking it away lowers
    return Mark(signed(change), colour, neighbour_tip(index, gene, here, change))
