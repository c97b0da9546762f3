"""Choice of the current gene: the decisions behind the gene field, the order of its list, pinned genes. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from napari_nh2st.model import gene_names
from napari_nh2st.model.card import Card
from napari_nh2st.model.gene_list import A_TO_Z, BEST_FIRST, VARYING_FIRST, GeneList, Meaning
from napari_nh2st.model.gene_names import GeneNames
from napari_nh2st.model.trust_words import figures_explained, trust_words
from napari_nh2st.viewer.genes.messages import NO_FIGURES, NO_MAP, absent_words, name_words
from napari_nh2st.viewer.genes.spatial_variability import SpatialVariability
from napari_nh2st.viewer.predict.workspace import Workspace


class GeneView(Protocol):
    """Shows the field, the list of genes and the pinned ones."""

    def show_panel(self, panel: GeneList | None, figures: Mapping[str, float] | None) -> None:
        """Suggest genes of this panel, each with its Moran's I where that is known; None leaves nothing to choose."""

    def list_genes(self, genes: Sequence[str], chosen: str) -> None:
        """List genes in this order."""

    def stand_at(self, gene: str) -> None:
        """Show which gene is chosen."""

    def show_absent(self, text: str) -> None:
        """Leave what was typed in the field, as a gene that the model does not predict."""

    def say_trust(self, text: str, explained: Sequence[str] = ()) -> None:
        """Say how far to trust the gene; `explained` says what the figures mean, a line each."""

    def say_measuring(self, text: str) -> None:
        """Say that something is being measured."""

    def show_pinned(self, genes: Sequence[str], shown: str, predicted: Callable[[str], bool]) -> None:
        """Show the pinned genes, and whether the gene that is shown is one of them."""

    def show_recent(self, genes: Sequence[str]) -> None:
        """Offer the genes that were shown last, while the field is empty."""

    def offer_orders(self, reasons_off: Mapping[str, str], chosen: str) -> None:
        """Offer the orders of the list but those that have a reason to be off."""


class GeneChoice:
    """Decides what a typed text means, in which order genes are listed, and which are pinned.

    Parameters
    ----------
    workspace : Workspace
    view : GeneView
    """

    def __init__(self, workspace: Workspace, view: GeneView) -> None:
        self._workspace, self._view = workspace, view
        self._state, self._preferences = workspace.state, workspace.preferences
        self._card: Card | None = None
        self._panel: GeneList | None = None
        self._names = gene_names.common_names()
        self._wanted_order = A_TO_Z  # a model without figures does not make it forgotten
        self._order = A_TO_Z
        self._variability = SpatialVariability(workspace.background)
        self._variability.said.connect(view.say_measuring)
        self._variability.measured.connect(self._figures_came)
        self._state.pinned = self._preferences.pinned
        self._follow()
        self._card_changed()
        self._offer_orders()
        self._show_pinned()
        view.show_recent(self._preferences.recent_genes)
        if gene_names.names_file().is_file():
            workspace.background.call(gene_names.load_names, then=self._names_read, failed=workspace.notices.complain)

    def _follow(self) -> None:
        state, preferences = self._state, self._preferences
        state.events.model.connect(self._card_changed)
        state.map_chosen.connect(self._card_changed)
        state.map_chosen.connect(self._map_changed)
        state.events.jobs_ended.connect(self._map_changed)
        state.events.gene.connect(self._gene_changed)
        state.events.pinned.connect(self._show_pinned)
        state.gene_requested.connect(self.choose)
        preferences.events.pinned.connect(self._pinned_elsewhere)
        preferences.events.recent_genes.connect(self._view.show_recent)
        self._workspace.when_closing(self._variability.stop)

    @property
    def gene(self) -> str:
        """The chosen gene, empty where there is no model, or it does not predict it."""
        return self._state.gene if self._panel is not None and self._state.gene in self._panel else ""

    # what the person does

    def choose(self, text: str) -> None:
        """Show the gene that a typed text means, or say that the model does not predict it."""
        if self._panel is not None:
            self.choose_meaning(self._panel.meaning(text), text)

    def choose_meaning(self, meaning: Meaning, said: str = "") -> None:
        """Show the gene of a suggestion, or say that the model does not predict it."""
        if self._card is None:
            return
        if meaning.gene is None:
            name = said.strip() or meaning.via or meaning.symbols[0]
            self._view.show_absent(name)
            self._view.say_trust(absent_words(self._card, meaning, name))
        else:
            self._view.stand_at(meaning.gene)
            self._show(meaning.gene, name_words(meaning))

    def walk_to(self, gene: str) -> None:
        """Show a gene of the list."""
        self._show(gene)

    def give_up(self) -> None:
        """Drop what was typed."""
        self._view.stand_at(self.gene)
        self._say_trust()

    def stay(self) -> None:
        """Take note that the gene was looked at, not only walked over."""
        if self.gene:
            self._preferences.use_gene(self.gene)

    def toggle_pin(self, gene: str) -> None:
        """Pin a gene, or unpin it."""
        pinned = self._state.pinned
        self._state.pinned = tuple(g for g in pinned if g != gene) if gene in pinned else (*pinned, gene)
        self._preferences.pinned = self._state.pinned

    def choose_order(self, order: str) -> None:
        """List the genes in another order."""
        self._wanted_order = self._order = order
        self._list_genes()
        self._measure()

    # what follows from a choice

    def _show(self, gene: str, named: str = "") -> None:
        self._state.choose_gene(gene)
        self._say_trust(named)
        self._show_pinned()

    def _card_changed(self) -> None:
        """List the genes of the map that is shown, or of the model."""
        card = self._state.shown_card
        if card is self._card:
            return
        self._card, self._panel = card, None if card is None else GeneList(card, self._names)
        self._variability.stop()
        self._variability.turn_to(self._workspace.map)
        self._view.show_panel(self._panel, self._variability.figures)
        self._offer_orders()
        self._list_genes()
        self._gene_changed()

    def _gene_changed(self) -> None:
        self._view.stand_at(self.gene)
        self._say_trust()
        self._show_pinned()

    def _names_read(self, names: GeneNames) -> None:
        self._names = names
        if self._card is not None:
            self._panel = GeneList(self._card, names)
            self._view.show_panel(self._panel, self._variability.figures)

    def _say_trust(self, named: str = "") -> None:
        said = "" if self._card is None else named + trust_words(self._card, self.gene)
        self._view.say_trust(said, figures_explained(self._card))

    def _pinned_elsewhere(self, genes: tuple[str, ...]) -> None:
        self._state.pinned = genes

    def _show_pinned(self) -> None:
        panel = self._panel
        self._view.show_pinned(self._state.pinned, self.gene, lambda gene: panel is not None and gene in panel)

    # in which order

    def _list_genes(self) -> None:
        """List the genes in the order that is chosen; the gene that is shown stays."""
        genes = [] if self._panel is None else self._panel.ordered(self._order, self._variability.figures)
        self._view.list_genes(genes, self.gene)

    def _offer_orders(self) -> None:
        evaluation = None if self._card is None else self._card.evaluation
        prediction_map = self._workspace.map
        reasons = {
            BEST_FIRST: "" if evaluation is not None and evaluation.genes else NO_FIGURES,
            VARYING_FIRST: "" if prediction_map is not None and prediction_map.count else NO_MAP,
        }
        self._order = A_TO_Z if reasons.get(self._wanted_order) else self._wanted_order
        self._view.offer_orders(reasons, self._order)

    def _map_changed(self) -> None:
        before = self._order
        self._offer_orders()
        other_figures = self._variability.turn_to(self._workspace.map)
        if other_figures:
            self._view.show_panel(self._panel, self._variability.figures)
        if other_figures or self._order != before:
            self._list_genes()
        self._measure()

    def _measure(self) -> None:
        """Have the spatial variability measured where the list stands in its order; until then the list stays."""
        prediction_map = self._workspace.map
        if self._order != VARYING_FIRST or prediction_map is None or prediction_map.card is not self._card:
            self._variability.stop()
        elif not self._variability.knows(prediction_map):
            self._variability.stop()
            if not self._workspace.controller.running:
                self._variability.measure(prediction_map)

    def _figures_came(self) -> None:
        self._view.show_panel(self._panel, self._variability.figures)
        self._list_genes()
