"""Genes of a model by any of their names, for Python, the command line and the dock alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache

from napari_nh2st.errors import Nh2stError, UnknownGene
from napari_nh2st.model import gene_names
from napari_nh2st.model.card import Card
from napari_nh2st.model.gene_list import GeneList
from napari_nh2st.model.gene_names import GeneNames, fold, other_symbols

_ALIKE = 0.75  # of difflib: ERB2 and ERBB2, but not TP53 and TP63 in a panel without either
_MOST_ALIKE = 3


def find_genes(card: Card, genes: str | Iterable[str]) -> list[str]:
    """Return the model's symbols of genes that a person names.

    Parameters
    ----------
    card : Card
    genes : str or iterable of str
        Symbols in any case, other names that people use (HER2), names from the user's own table, earlier symbols, or
        Ensembl ids. One text is one gene.

    Returns
    -------
    list of str
        One for each name, in the same order.

    Raises
    ------
    UnknownGene
        It names every gene that the model does not predict, with those of similar names, and every name that stands
        for several genes of the model.

    Examples
    --------
    >>> from napari_nh2st.model.folder import load_card
    >>> find_genes(load_card("her2st"), ["HER2", "cd74"])
    ['ERBB2', 'CD74']
    """
    asked = [genes] if isinstance(genes, str) else list(genes)
    wrong = next((name for name in asked if not isinstance(name, str)), None)
    if wrong is not None:
        raise Nh2stError(f"a gene is named by a text such as 'ERBB2', not by {type(wrong).__name__} {wrong!r}")
    panel = frozenset(card.genes)
    if panel.issuperset(asked):
        return asked
    listed = GeneList(card, _names())
    meant = [(name, _meant(listed, name)) for name in asked]
    absent = [_not_predicted(listed, name) for name, symbols in meant if not symbols]
    several = [f"{name} stands for {_and(symbols)}: name one of them" for name, symbols in meant if len(symbols) > 1]
    if absent or several:
        lacks = [f"the model {card.name} does not predict {', '.join(absent)}"] if absent else []
        raise UnknownGene("; ".join([*lacks, *several]))
    return [symbols[0] for _, symbols in meant]


def known_by(names: Iterable[str], symbols: Sequence[str]) -> list[str]:
    """Return the symbols that names stand for among some, as those that were measured; others are left as they are.

    Raises
    ------
    UnknownGene
        If a name stands for several of them.

    Examples
    --------
    >>> known_by(["HER2", "cd74", "NOPE"], ["CD74", "ERBB2"])
    ['ERBB2', 'CD74', 'NOPE']
    """
    asked = [name.strip() for name in names]
    if set(symbols).issuperset(asked) or not symbols:
        return asked
    listed = GeneList(Card(name="", mpp=1, pitch=1, genes=list(dict.fromkeys(symbols))), _names())
    meant = [(name, _meant(listed, name)) for name in asked]
    several = [f"{name} stands for {_and(found)}: name one of them" for name, found in meant if len(found) > 1]
    if several:
        raise UnknownGene("; ".join(several))
    return [found[0] if found else name for name, found in meant]


def _names() -> GeneNames:
    """Return the names that people use, with those of the user's own table, which is read again when it changes."""
    table = gene_names.names_file()
    try:
        changed = table.stat().st_mtime_ns
    except OSError:
        return gene_names.common_names()
    return _names_with(changed)


@lru_cache(maxsize=1)
def _names_with(_changed: int) -> GeneNames:
    return gene_names.load_names()


def _meant(listed: GeneList, name: str) -> tuple[str, ...]:
    """Return the model's genes that a whole name stands for; unlike in the dock, no beginning of a name counts."""
    known = listed.named(name)
    if known:
        return known
    symbols = listed.names.symbols.get(fold(name)) or [name.strip(), name.strip().upper()]
    of_other_times = [other for symbol in symbols for other in other_symbols(symbol)]
    # By `named`, so that a mouse's panel counts, too: Krt18.
    return tuple(dict.fromkeys(gene for symbol in [*symbols, *of_other_times] for gene in listed.named(symbol)))


def _not_predicted(listed: GeneList, name: str) -> str:
    """Write a name that is not in the panel, with what it stands for, else with what may have been meant."""
    stands_for = listed.names.symbols.get(fold(name), [])
    if stands_for:
        known = [symbol for symbol in stands_for if symbol.casefold() != name.strip().casefold()]
        return f"{name} ({_and(known)})" if known else name
    alike = _alike(listed, name)
    return f"{name} (did you mean {' or '.join(alike)}?)" if alike else name


def _alike(listed: GeneList, name: str) -> list[str]:
    """Return up to three genes of the panel whose symbols, or other names, are written alike."""
    keys = listed.keys
    close = get_close_matches(fold(name), keys, n=2 * _MOST_ALIKE, cutoff=_ALIKE)
    return list(dict.fromkeys(keys[key] for key in close))[:_MOST_ALIKE]


def _and(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
