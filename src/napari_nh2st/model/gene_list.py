"""The genes of a model as a person looks for them: what a typed text means, what to suggest, in which order. No Qt."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isnan

from napari_nh2st.model.card import Card
from napari_nh2st.model.gene_names import GeneNames, fold

A_TO_Z, BEST_FIRST, VARYING_FIRST = "a to z", "best first", "varying first"
MOST = 100  # suggestions; who wants more of them types another letter
_MOST_ABSENT = 20
_ID = "ens"  # with which Ensembl ids begin
_LAST = chr(0x10FFFF)  # after every letter


@dataclass(frozen=True)
class Suggestion:
    """A line of the suggestions.

    Attributes
    ----------
    gene : str
        Symbol; the model's own where it predicts the gene.
    via : str
        The other name that matched, empty where the symbol did.
    predicted : bool
    recent : bool
        It was shown lately, and nothing is typed.
    """

    gene: str
    via: str = ""
    predicted: bool = True
    recent: bool = False


@dataclass(frozen=True)
class Meaning:
    """The meaning of a typed text.

    Attributes
    ----------
    gene : str or None
        What to show, None where the model predicts nothing of that name.
    via : str
        The name by which it was found, empty where that is the symbol.
    symbols : tuple of str
        All genes that this name stands for.
    """

    gene: str | None
    via: str = ""
    symbols: tuple[str, ...] = ()


class GeneList:
    """The genes of one model with their other names.

    Parameters
    ----------
    card : Card
    names : GeneNames
    """

    def __init__(self, card: Card, names: GeneNames) -> None:
        self.card, self.names = card, names
        self._panel = frozenset(card.genes)
        self._keys = sorted((fold(gene), gene) for gene in card.genes)
        self._genes = dict(reversed(self._keys))
        self._ids = {fold(known): gene for known, gene in zip(card.ensembl or (), card.genes, strict=False) if known}
        named = self._panel & (names.of.keys() | names.later.keys())
        self._names = sorted((name, gene) for gene in named for name in self._names_of(gene))

    def __contains__(self, gene: str) -> bool:
        return gene in self._panel

    def ordered(self, order: str, variability: Mapping[str, float] | None = None) -> list[str]:
        """Return the panel by name, by trust or by `variability`, the highest first and what has no figure last."""
        if order == BEST_FIRST:
            return self.card.by_trust()
        by_name = sorted(self.card.genes, key=str.casefold)
        if order != VARYING_FIRST or variability is None:
            return by_name
        figures = {gene: variability.get(gene, float("nan")) for gene in by_name}
        return sorted(by_name, key=lambda gene: (isnan(figures[gene]), -figures[gene]))

    def meaning(self, text: str) -> Meaning:
        """Say what a text stands for: a symbol, another name, an Ensembl id, else what the first suggestion is."""
        said, key = text.strip(), fold(text.strip())
        if said in self._panel or key in self._genes:
            return Meaning(self.named(said)[0])
        genes = self.named(said)
        if genes:
            return Meaning(genes[0], said, () if key in self._ids else genes)
        symbols = self._stands_for(key)
        if symbols:
            return Meaning(None, said, tuple(symbols))
        first = next(self._matches(key), None) if key else None
        return Meaning(None) if first is None else Meaning(first.gene, first.via)

    def named(self, text: str) -> tuple[str, ...]:
        """Return the genes of the panel of which a text is the whole name; several where it stands for several."""
        said = text.strip()
        if said in self._panel:
            return (said,)
        key = fold(said)
        one = self._genes.get(key) or self._ids.get(key)
        if one is not None:
            return (one,)
        return tuple(gene for gene in map(self._in_panel, self._stands_for(key)) if gene)

    @property
    def keys(self) -> dict[str, str]:
        """Folded symbols and other names of the panel's genes, and the gene of each."""
        return dict([*self._names, *self._genes.items()])

    def _stands_for(self, key: str) -> list[str]:
        """Return the symbols that a folded name or Ensembl id stands for, whether or not the model predicts them."""
        by_id = self.names.ids.get(key)
        return self.names.symbols.get(key) or ([] if by_id is None else [by_id])

    def suggest(self, text: str) -> list[Suggestion]:
        """Return what a text may become, the likeliest first, what the model does not predict last."""
        key = fold(text)
        if not key:
            return []
        found: dict[str, Suggestion] = {}
        for suggestion in self._matches(key):
            found.setdefault(suggestion.gene, suggestion)
            if len(found) == MOST:
                break
        return [*found.values(), *self._absent(key)]

    def _matches(self, key: str) -> Iterator[Suggestion]:
        """Yield what matches of the panel: whole names, then what begins so, then what contains it; symbols first."""
        if key in self._genes:
            yield Suggestion(self._genes[key])
        yield from (self._named(name, gene) for name, gene in _between(self._names, key, key + "\0"))
        yield from (Suggestion(gene) for _, gene in _between(self._keys, key, key + _LAST))
        yield from (self._named(name, gene) for name, gene in _between(self._names, key, key + _LAST))
        yield from (Suggestion(gene) for known, gene in self._keys if key in known)
        yield from (self._named(name, gene) for name, gene in self._names if key in name)
        if len(key) > len(_ID) and key.startswith(_ID):
            yield from (Suggestion(gene, known.upper()) for known, gene in self._ids.items() if known.startswith(key))
            yield from (
                Suggestion(gene, known.upper())
                for known, symbol in self.names.ids.items()
                if known.startswith(key) and (gene := self._in_panel(symbol))
            )

    def _absent(self, key: str) -> list[Suggestion]:
        """Return known genes of such a name that the model does not predict, the shortest names first."""
        if len(key) < 2:
            return []
        names = self.names.ordered
        absent: dict[str, Suggestion] = {}
        for name in sorted(names[bisect_left(names, key) : bisect_left(names, key + _LAST)], key=len):
            for symbol in self.names.symbols[name]:
                if len(absent) < _MOST_ABSENT and self._in_panel(symbol) is None:
                    via = self.names.written[name]
                    absent.setdefault(symbol, Suggestion(symbol, "" if via == symbol else via, predicted=False))
        return list(absent.values())

    def _named(self, name: str, gene: str) -> Suggestion:
        return Suggestion(gene, self.names.written[name])

    def _names_of(self, gene: str) -> list[str]:
        """Return the folded names of a gene of the panel, beside its symbol."""
        today = [symbol for symbol in self.names.later.get(gene, ()) if symbol not in self._panel]
        names = {name for symbol in (gene, *today) for name in self.names.of.get(symbol, ())}
        return sorted(names - {fold(gene)})

    def _in_panel(self, symbol: str) -> str | None:
        """Return the model's symbol of a gene: that of today, or an earlier one."""
        return next((name for name in (symbol, *self.names.earlier.get(symbol, ())) if name in self._panel), None)


def _between(pairs: list[tuple[str, str]], low: str, high: str) -> list[tuple[str, str]]:
    """Return the (name, gene) of a sorted list whose name is not less than `low` and less than `high`."""
    return pairs[bisect_left(pairs, (low, "")) : bisect_left(pairs, (high, ""))]
