"""Sentences about genes: how they are listed, named and missed."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from napari_nh2st.model.card import Card

if TYPE_CHECKING:
    from napari_nh2st.model.gene_list import Meaning, Suggestion


NO_FIGURES = "This model was not evaluated on held-out tissue: there is nothing to order its genes by trust"
NO_MAP = "Predict first: how genes vary over this slide is not known yet"


def gene_words(card: Card, gene: str, variability: float | None = None) -> str:
    """Write a gene for the list: with its held-out PCC, whether that was better than chance, and its Moran's I."""
    found = card.evaluation.genes.get(gene) if card.evaluation else None
    parts = [gene]
    if variability is not None:
        parts.append("constant" if isnan(variability) else f"I {variability:z.2f}")
    if found is not None:
        interval = "" if found.low is None or found.high is None else f" ({found.low:z.2f} to {found.high:z.2f})"
        parts.append(f"PCC {found.pcc:z.2f}{interval}{', chance' if found.chance else ''}")
    return "   ".join(parts)


def suggestion_words(card: Card, suggestion: Suggestion, variability: float | None = None) -> str:
    """Write a line of the suggestions: a gene as in the list, with the other name by which it was found."""
    gene = suggestion.gene
    named = f"{gene} ({suggestion.via})" if suggestion.via else gene
    if not suggestion.predicted:
        return f"{named}   not predicted"
    recent = "   recent" if suggestion.recent else ""
    return f"{named}{gene_words(card, gene, variability).removeprefix(gene)}{recent}"


def name_words(meaning: Meaning) -> str:
    """Say which gene another name stands for; empty where it was called by its symbol."""
    if not meaning.via or meaning.gene is None:
        return ""
    if len(meaning.symbols) < 2:
        return f"{meaning.via} is {meaning.gene}: "
    return f"{meaning.via} stands for {', '.join(meaning.symbols[:-1])} and {meaning.symbols[-1]}. {meaning.gene}: "


def absent_words(card: Card, meaning: Meaning, said: str) -> str:
    """Say that a model does not predict what was asked for."""
    symbols = " or ".join(meaning.symbols) or said
    via = f" ({meaning.via})" if meaning.via and meaning.via.casefold() != symbols.casefold() else ""
    return f"{card.name} does not predict {symbols}{via}"
