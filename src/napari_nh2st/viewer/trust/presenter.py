"""Trust in the current gene: figures in words, tissue unlike the training tissue, the spread. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from napari_nh2st.analysis.spread import Answer
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import IntArray
from napari_nh2st.viewer.kit.long_work import Cancelled, LongWork, Tell
from napari_nh2st.viewer.kit.phrases import count
from napari_nh2st.viewer.layers.tile_values import F32
from napari_nh2st.viewer.predict.each_tile import SHOW_PREDICTION, EachTile
from napari_nh2st.viewer.predict.model_names import folder_name, model_names
from napari_nh2st.viewer.predict.workspace import NO_MAP, Workspace
from napari_nh2st.viewer.trust.messages import (
    CHECK_TIP,
    NOT_OFFERED,
    ONE_MORE,
    SHOW_SPREAD,
    SPREAD_BACK_TIP,
    SPREAD_TIP,
)
from napari_nh2st.viewer.trust.novelty import Novelty, compare_with_training
from napari_nh2st.viewer.trust.spread import Spread, ask_all, why_not_comparable


@dataclass(frozen=True)
class Offer:
    """The state of a button.

    Attributes
    ----------
    text, tip : str
        What it does, or why it is off.
    on : bool
    more : str
        What goes on with the tiles that were predicted since; empty where there are none.
    """

    text: str
    tip: str
    on: bool
    more: str = ""


class TissueView(Protocol):
    """Shows which tiles are unlike the training tissue."""

    @property
    def work(self) -> LongWork:
        """Comparing tiles with the training tissue."""

    def show_tissue(self, offer: Offer, share: str, *, legend: bool) -> None:
        """Offer the check, and say how many tiles are unlike; `legend` explains the marks."""


class TissueCheck:
    """Compares the tissue with that of the training, and marks tiles that are unlike it."""

    def __init__(self, workspace: Workspace, view: TissueView) -> None:
        self._workspace, self._view = workspace, view
        self._tiles: EachTile[Novelty] = EachTile(workspace, self.show_state)
        state = workspace.state
        state.map_chosen.connect(self._map_chosen)
        state.events.model.connect(self.show_state)
        state.events.drawings.connect(self.show_state)
        state.events.jobs_ended.connect(self.show_state)

    @property
    def novelty(self) -> Novelty | None:
        """The comparison for the current map, None if it was not made."""
        return self._tiles.current

    def check(self) -> None:
        """Compare the tiles that were not compared yet."""
        workspace, model = self._workspace, self._workspace.state.model_name
        try:
            later = workspace.maps.pace.later
            novelty = self.novelty or Novelty(workspace.viewer, workspace.require_map(), later)
            cells = novelty.missing()
            compare = compare_with_training(workspace.services, model or "", cells)
            work = workspace.with_inputs(compare) if len(cells) else None
        except Nh2stError as error:
            self._view.work.say(str(error))
            return
        self._tiles.keep(novelty)
        if work is None:
            self._show(novelty)
            return

        def take(values: F32) -> None:
            novelty.values[cells] = values
            if self._tiles.keep(novelty):
                self._show(novelty)

        self._view.work.start("Checking the tissue", work, take)

    def _show(self, novelty: Novelty) -> None:
        self._tiles.bring_out(novelty, instead_of_prediction=False)
        novelty.draw()
        self.show_state()

    def _map_chosen(self) -> None:
        self._tiles.hide_other_maps()
        self.show_state()

    def show_state(self) -> None:
        """Offer what can be done now."""
        prediction_map, novelty = self._workspace.map, self.novelty
        ready = prediction_map is not None and prediction_map.count > 0
        card = self._workspace.state.shown_card
        if card is not None and card.predictor is not None:
            self._view.show_tissue(Offer("Check the tissue", NOT_OFFERED, False), NOT_OFFERED, legend=False)
            return
        checked = novelty is not None and novelty.count > 0
        more = self._tiles.more if checked else 0
        offer = Offer(
            "Check the tissue",
            CHECK_TIP if ready else NO_MAP,
            ready,
            f"Go on ({count(more, 'more tile')})" * (more > 0),
        )
        legend = checked and novelty is not None and novelty.image.present
        self._view.show_tissue(offer, novelty.words() if checked and novelty else "", legend=legend)


@dataclass(frozen=True)
class ModelChoice:
    """A model with which the chosen one can be compared.

    Attributes
    ----------
    model, name : str
        Name or folder; as it is listed.
    why_not : str
        Why it cannot; empty where it can.
    """

    model: str
    name: str
    why_not: str


class SpreadView(Protocol):
    """Shows how far the answers of views or models differ."""

    @property
    def work(self) -> LongWork:
        """Asking views or models."""

    @property
    def by_models(self) -> bool:
        """True if models are compared, not views."""

    @property
    def ticked(self) -> tuple[str, ...]:
        """Models that are ticked."""

    def list_models(self, choices: list[ModelChoice]) -> None:
        """List the models, keeping what was ticked."""

    def show_spread(self, offer: Offer, sentence: str) -> None:
        """Offer the spread, and say how large it is."""


class SpreadPresenter:
    """Asks views or other models about the same tiles, and draws how far their answers differ."""

    def __init__(self, workspace: Workspace, view: SpreadView) -> None:
        self._workspace, self._view = workspace, view
        self._tiles: EachTile[Spread] = EachTile(workspace, self.show_state)
        self._sentence = ""
        self._added: list[str] = []  # folders that the user added here
        state = workspace.state
        state.map_chosen.connect(self._map_chosen)
        state.events.model.connect(self.list_models)
        state.events.gene.connect(self._draw)
        state.events.drawings.connect(self.show_state)
        state.events.jobs_ended.connect(self.show_state)

    @property
    def spread(self) -> Spread | None:
        """The answers for the map that is shown, None where they were not asked for."""
        return self._tiles.current

    @property
    def members(self) -> tuple[str, ...]:
        """Models that are asked beside the one that predicts; empty for views."""
        return self._view.ticked if self._view.by_models else ()

    def list_models(self) -> None:
        """List the models that can be compared with the chosen one."""
        state, workspace = self._workspace.state, self._workspace
        names = [*model_names(workspace.services, workspace.preferences), *self._added]
        others = [name for name in dict.fromkeys(names) if name != state.model_name]
        self._view.list_models([self._choice(name) for name in others] if state.card is not None else [])
        self.show_state()

    def add_model(self, folder: str) -> None:
        """List the model of another folder."""
        self._added.append(folder)
        self.list_models()

    def _choice(self, model: str) -> ModelChoice:
        services, card = self._workspace.services, self._workspace.state.card
        name = model if model in services.models() else folder_name(model)
        assert card is not None
        try:
            return ModelChoice(model, name, why_not_comparable(card, services.load_card(model)))
        except (Nh2stError, OSError) as error:
            return ModelChoice(model, name, str(error))

    # what the person does

    def toggle(self) -> None:
        """Show the spread instead of the prediction, or the prediction again."""
        if self._shows_what_is_asked():
            self._tiles.show_prediction()
        else:
            self.compute()
        self.show_state()

    def _shows_what_is_asked(self) -> bool:
        return self.spread is not None and self._tiles.in_sight and self.spread.members == self.members

    def compute(self) -> None:
        """Ask about the tiles that were not asked about yet, and show what is known."""
        workspace, members = self._workspace, self.members
        try:
            prediction_map = workspace.require_map()
            if self._view.by_models and not members:
                raise Nh2stError(ONE_MORE)
            spread = self.spread
            if spread is None or spread.members != members:
                spread = Spread(workspace.viewer, prediction_map, members, workspace.maps.pace.later)
                spread.take_over(self.spread)
            cells = spread.missing()
            spread.check_room(len(cells))
            device = workspace.requests.whole_slide().device
            ask = ask_all(spread, cells, workspace.services, device)
            work = workspace.with_inputs(ask, decodes=True) if len(cells) else None
        except Nh2stError as error:
            self._view.work.say(str(error))
            return
        if work is None:
            self._show(spread)
        else:
            self._start(spread, cells, work)

    def _start(self, spread: Spread, cells: IntArray, work: Callable[[Tell, Cancelled], list[Answer]]) -> None:
        def take(answers: list[Answer]) -> None:
            spread.add(cells, answers)
            if self._tiles.keep(spread):
                self._show(spread)

        self._view.work.start(f"Asking {spread.over}", work, take, self.show_state)

    def _show(self, spread: Spread) -> None:
        self._tiles.bring_out(spread)
        self._draw()

    # what changes elsewhere

    def _map_chosen(self) -> None:
        self._tiles.hide()
        self.show_state()

    def _draw(self) -> None:
        """Draw the current gene; decoded from the answers, without the models."""
        spread, gene = self.spread, self._workspace.state.gene
        drawn = spread is not None and spread.image.present and gene
        self._sentence = spread.draw(gene) if drawn and spread is not None else ""
        self.show_state()

    def show_state(self) -> None:
        """Offer what can be done now; often called, hence quick."""
        prediction_map = self._workspace.map
        ready = prediction_map is not None and prediction_map.count > 0
        drawn = self._shows_what_is_asked()
        asked = self.spread is not None and self.spread.members == self.members
        more = self._tiles.more if asked else 0
        tip = NO_MAP if not ready else SPREAD_BACK_TIP if drawn else SPREAD_TIP
        text = SHOW_PREDICTION if drawn else SHOW_SPREAD
        self._view.show_spread(
            Offer(text, tip, ready, f"Go on ({count(more, 'more tile')})" * (more > 0)), self._sentence
        )
