"""Finding a model's genes among the measured ones: by symbol, by Ensembl id, by a former or later symbol."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import anndata as ad

MATCH = "panel"  # in uns["nh2st"]: `PanelMatch.figures`

_SPECIES = re.compile(r"ENS([A-Z]{3,6})G\d", re.IGNORECASE)
_ANIMALS = {"MUS": "mice", "RNO": "rats", "SSC": "pigs", "DAR": "zebrafish", "MMU": "macaques", "CAF": "dogs"}


@dataclass(frozen=True)
class PanelMatch:
    """The ways in which the genes of a panel were found.

    Attributes
    ----------
    by_symbol, by_former_symbol, by_ensembl_id : int
        Genes that each way found.
    not_found : tuple of str
    """

    by_symbol: int
    by_former_symbol: int
    by_ensembl_id: int
    not_found: tuple[str, ...]

    def figures(self) -> dict[str, Any]:
        """Return the counts for JSON."""
        return {
            "by_symbol": self.by_symbol,
            "by_former_symbol": self.by_former_symbol,
            "by_ensembl_id": self.by_ensembl_id,
            "not_found": list(self.not_found),
        }


def match_words(figures: dict[str, Any]) -> str:
    """Say `PanelMatch.figures` in words: 245 by symbol, 3 by former symbol, 2 by Ensembl id, 1 not found."""
    words = [f"{figures[way]} {way.replace('_', ' ').replace('ensembl', 'Ensembl')}" for way in list(figures)[:3]]
    return ", ".join([*words, f"{len(figures['not_found'])} not found"])


def match_panel(
    data: ad.AnnData,
    genes: Sequence[str],
    ensembl: Sequence[str | None] | None,
    other_symbols: Callable[[str], Sequence[str]],
) -> tuple[ad.AnnData, PanelMatch]:
    """Give measured genes the names of a panel.

    A gene is found by its symbol; by its Ensembl id, where no gene has the symbol or the file gives that symbol's gene
    another id; by the symbol that it had before or has today, where this means no other gene.

    Parameters
    ----------
    data : AnnData
        With ``var["gene_ids"]``, or Ensembl ids for names; else ids find nothing.
    genes : sequence of str
        Symbols of the panel.
    ensembl : sequence of (str or None), or None
        Their Ensembl ids; versions (".12") do not count.
    other_symbols : callable
        Symbols that a gene had before or has today: `model.gene_names.other_symbols`.

    Returns
    -------
    named : AnnData
        The same counts; `data` itself where nothing is renamed.
    match : PanelMatch
    """
    names = [str(name) for name in data.var_names]
    ids = [_id(i) for i in data.var.get("gene_ids", names)]
    place = {name: i for i, name in reversed(list(enumerate(names)))}
    by_id = {known: i for i, known in reversed(list(enumerate(ids))) if known}
    wanted = [_id(e or "") for e in (ensembl or [None] * len(genes))]
    found: dict[str, int] = {}
    ways = {"symbol": 0, "id": 0, "former": 0}
    panel = set(genes)
    for gene, known in zip(genes, wanted, strict=True):
        at, by = place.get(gene), by_id.get(known) if known else None
        other = at is not None and by is not None and by != at and ids[at] != known and names[by] not in panel
        if at is not None and not other:
            found[gene] = at
            ways["symbol"] += 1
        elif by is not None and names[by] not in panel:
            found[gene] = by
            ways["id"] += 1
    taken = set(found.values())
    for gene, known in zip(genes, wanted, strict=True):
        if gene in found:
            continue
        there = [place[n] for n in other_symbols(gene) if n in place and n not in panel and place[n] not in taken]
        there = [i for i in there if not (known and ids[i] and ids[i] != known)]
        if len(there) == 1:
            found[gene] = there[0]
            taken.add(there[0])
            ways["former"] += 1
    missing = tuple(g for g in genes if g not in found)
    match = PanelMatch(ways["symbol"], ways["former"], ways["id"], missing)
    return _renamed(data, names, found), match


def none_found(data: ad.AnnData, genes: Sequence[str]) -> str:
    """Say why none of a panel's genes was found: another species, another case; else ask.

    Parameters
    ----------
    data : AnnData
    genes : sequence of str
        Symbols of the panel.
    """
    names = [str(name) for name in data.var_names]
    ids = [str(i) for i in data.var.get("gene_ids", names)]
    species = [m.group(1) for i in ids if (m := _SPECIES.match(i)) is not None]
    if len(species) > len(ids) / 2:
        kind = max(set(species), key=species.count)
        return f"its Ensembl ids are of {_ANIMALS.get(kind, 'another animal')} (ENS{kind}G), a model's of humans"
    folded = {name.casefold(): name for name in names}
    here = next(((folded[g.casefold()], g) for g in genes if g.casefold() in folded), None)
    if here is None:
        return "do the gene names match?"
    name, gene = here
    if name == name.capitalize() and name != gene:
        return f"it has {name}, as mice and rats do, where the model has {gene}"
    return f"it has {name} where the model has {gene}: write the names as the model does"


def _renamed(data: ad.AnnData, names: list[str], found: dict[str, int]) -> ad.AnnData:
    new = list(names)
    for gene, at in found.items():
        new[at] = gene
    if new == names:
        return data
    for i, name in enumerate(new):  # a symbol that another gene has by its id
        if name in found and found[name] != i:
            new[i] = f"{name} (another gene)"
    out = data.copy()
    out.var_names = new
    return out


def _id(text: object) -> str:
    return str(text).strip().split(".")[0]
