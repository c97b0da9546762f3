"""The genes of a run looked up in its sections, and its base model in what it has learnt from. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_nh2st.viewer.finetune.cards import Cards
from napari_nh2st.viewer.finetune.panel_choice import LISTED, PanelChoice, chosen_by_list, chosen_by_rule, taken_over

if TYPE_CHECKING:
    from napari_nh2st.model.card import Card
    from napari_nh2st.training.sections.section_check import SectionFacts


@dataclass(frozen=True)
class GeneLookup:
    """Looks a choice of genes up in sections. Slow: not on the GUI thread."""

    cards: Cards
    base: str | None
    panel: str
    number: int
    gene_list: str

    def __call__(
        self, everything: Sequence[SectionFacts], training: Sequence[SectionFacts]
    ) -> tuple[PanelChoice, frozenset[str]]:
        """Return what comes of it, and the patients from which the base model has learnt."""
        card = None if self.base is None else self.cards.load_card(self.base)
        learnt = frozenset() if card is None else frozenset(sample.patient for sample in card.seen)
        choice = self._panel(card, training, all_of_them=len(training) == len(everything))
        if self.base is not None and card is not None:
            reason = _learnt_before(everything, training, self.base, card)
            choice = replace(choice, why_not=reason or choice.why_not)
        return choice, learnt

    def _panel(self, card: Card | None, training: Sequence[SectionFacts], *, all_of_them: bool) -> PanelChoice:
        if self.panel == LISTED:
            return chosen_by_list(training, self.gene_list)
        if card is not None:
            return taken_over(training, card)
        return chosen_by_rule(training, self.number, all_of_them=all_of_them)


def _learnt_before(everything: Sequence[SectionFacts], training: Sequence[SectionFacts], base: str, card: Card) -> str:
    """Say which held-out section the base model has learnt from; empty where it has from none."""
    from napari_nh2st.engine.seen_sections import SeenSections
    from napari_nh2st.model.folder import find_model
    from napari_nh2st.training.sections.held_apart import learnt_before

    held_out = [facts.named for facts in everything if facts not in training]
    return learnt_before(held_out, SeenSections.of(card, find_model(base)), base) if held_out else ""
