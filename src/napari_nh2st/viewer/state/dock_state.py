"""The state of the NH2ST dock: one model that tells its listeners what changed. No Qt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from psygnal import Signal, SignalGroupDescriptor

from napari_nh2st.viewer.state.style import Style

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_nh2st.model.card import Card
    from napari_nh2st.slides import Slide
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

Where = Literal["view", "shape", "whole"]


@dataclass(frozen=True, eq=False)
class ChosenModel:
    """A model as it was chosen: by name or folder, with its card; None where the card cannot be used."""

    name: str
    card: Card | None


@dataclass(frozen=True)
class ShownLimits:
    """The values at the two ends of the colours of the heatmap.

    Attributes
    ----------
    low, high : float
        In `unit`.
    note : str
        What to know of them, empty in most cases.
    by_hand : bool
        The user set them for this gene.
    beyond : str
        How much of the map lies beyond limits that do not fit it; empty where they do.
    locked : bool
        The limits stay as they are, whatever gene is shown.
    too_large : bool
        The map has too many cells to be smoothed.
    """

    gene: str
    low: float
    high: float
    unit: str
    note: str = ""
    by_hand: bool = False
    beyond: str = ""
    locked: bool = False
    too_large: bool = False


@dataclass(eq=False)
class DockState:
    """Everything that the sections of the dock agree on.

    Connect to ``state.events.<attribute>`` to hear of a change. Nothing else is to be told by hand: set the value.

    Attributes
    ----------
    slide_layer, slide : Layer, Slide or None
        The chosen slide; its layer is set first. `slide` is None while its file is being opened.
    model : ChosenModel or None
    where : {"view", "shape", "whole"}
        Where to predict.
    fine : bool
        Whether fine detail is asked for; `pitch` says whether the model has it.
    skip_artefacts : bool
        Whether tiles that artefacts cover are left out of what is predicted next.
    device : str
        What computes; "auto" leaves the choice to torch.
    map : PredictedMap or None
        What is shown and explored; it may come from a file.
    drawings : int
        How often the window has drawn what arrived in the map, or left it: look at the map again.
    jobs_ended : int
        How many jobs have ended: the map rests.
    gene : str
        The gene that is shown, empty where there is none.
    limits : ShownLimits or None
        Of the heatmap, None without one.
    pinned : tuple of str
        Genes that the user pinned, the first one first; whether or not the model predicts them.
    style : Style
        How the heatmap is coloured.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()
    gene_requested: ClassVar[Signal] = Signal(str)
    """A gene was asked for, by any of its names."""
    gene_chosen: ClassVar[Signal] = Signal(str)
    """A gene was chosen, be it the one that is shown already: its layer comes back."""
    map_chosen: ClassVar[Signal] = Signal(object)
    """A map, or none, is to be shown; be it the one that is shown already, which then comes out."""

    slide_layer: Layer | None = None
    slide: Slide | None = None
    model: ChosenModel | None = None
    where: Where = "view"
    fine: bool = False
    skip_artefacts: bool = False
    device: str = "auto"
    map: PredictedMap | None = None
    drawings: int = 0
    jobs_ended: int = 0
    gene: str = ""
    limits: ShownLimits | None = None
    pinned: tuple[str, ...] = ()
    style: Style = field(default_factory=Style)

    @property
    def model_name(self) -> str | None:
        """Name or folder of the chosen model."""
        return None if self.model is None else self.model.name

    @property
    def card(self) -> Card | None:
        """The card of the chosen model."""
        return None if self.model is None else self.model.card

    @property
    def shown_card(self) -> Card | None:
        """The card of what is explored: of the map where there is one, else of the chosen model."""
        return self.card if self.map is None else self.map.card

    @property
    def pitch(self) -> int | None:
        """Distance between predictions in model pixels at fine detail; None is the model's own, coarse."""
        if not self.fine or self.card is None or not self.card.fine_detail:
            return None
        return self.card.step

    @property
    def ready(self) -> bool:
        """True if something can be predicted: a slide whose pixel size is known, and a usable model."""
        return self.slide is not None and self.slide.mpp is not None and self.card is not None

    def request_gene(self, name: str) -> None:
        """Ask for a gene by its symbol, another name or its Ensembl id, as a click in a table does."""
        self.gene_requested.emit(name)

    def choose_gene(self, gene: str) -> None:
        """Show a gene; it is chosen even where it is shown already."""
        with self.events.gene.paused():  # listeners find the heatmap drawn
            self.gene = gene
            self.gene_chosen.emit(gene)

    def show_map(self, prediction_map: PredictedMap | None) -> None:
        """Show another map, with the gene of now where it is predicted; listeners hear of both when both are set."""
        before = self.map
        with self._told_at_the_end("map", "gene"):
            self.map = prediction_map
            self._keep_gene()
            if prediction_map is not before or prediction_map is not None:
                self.map_chosen.emit(prediction_map)

    def choose_model(self, model: ChosenModel | None) -> None:
        """Choose another model; the gene of now stays where it is predicted."""
        with self._told_at_the_end("model", "gene"):
            self.model = model
            self._keep_gene()

    def close(self) -> None:
        """Tell nobody anything any more: the window is closed."""
        for told in (self.gene_requested, self.gene_chosen, self.map_chosen):
            told.disconnect()
        self.style.events.disconnect()
        self.events.disconnect()

    def gene_of(self, card: Card) -> str:
        """Return the gene to show of a model: the one of now, or the most trusted one."""
        return self.gene if self.gene in card.genes else first_gene(card)

    def _keep_gene(self) -> None:
        if self.shown_card is not None:
            self.gene = self.gene_of(self.shown_card)

    @contextmanager
    def _told_at_the_end(self, *attributes: str) -> Iterator[None]:
        with ExitStack() as stack:
            for name in reversed(attributes):  # the first is told first
                stack.enter_context(getattr(self.events, name).paused())
            yield


def first_gene(card: Card) -> str:
    """Return the gene to show before one is chosen: the most trusted one where that is known."""
    return card.by_trust()[0]
