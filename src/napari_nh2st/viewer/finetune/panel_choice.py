"""The genes that a run will learn: the choice against the measured genes, before the run starts. No Qt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nh2st.errors import UnknownGene
from napari_nh2st.model.find_genes import known_by
from napari_nh2st.viewer.kit.phrases import count, sentence

if TYPE_CHECKING:
    from napari_nh2st.model.card import Card
    from napari_nh2st.training.sections.section_check import SectionFacts

LISTED = "listed"
# By the name of the setting `panel_kind`.
PANEL_NAMES = {
    "highest-mean": "most highly expressed",
    "most-variable": "most variable",
    "spatially-variable": "spatially variable",
}
_NAMED = 8  # genes that are named before the rest is counted


@dataclass(frozen=True)
class PanelChoice:
    """A choice of genes, looked up in the sections.

    Attributes
    ----------
    sentence : str
        For the person who chose.
    genes : list of str or None
        The listed genes that were measured in every section, as the sections spell them; None where no list was given.
    why_not : str
        Why no run can be made with it; empty where one can.
    """

    sentence: str = ""
    genes: list[str] | None = None
    why_not: str = ""


def chosen_by_rule(facts: Sequence[SectionFacts], n: int, *, all_of_them: bool = True) -> PanelChoice:
    """Say how many genes there are to choose n from.

    Parameters
    ----------
    facts : sequence of SectionFacts
        Of the sections that are trained on: those that are held out have no say.
    n : int
    all_of_them : bool
        Whether those are all sections of the sheet.
    """
    from napari_nh2st.training.sections.section_check import shared_genes

    shared = len(shared_genes(facts))
    if not shared:
        return PanelChoice()  # said at the sections
    among = "measured" if len(facts) == 1 else "shared by all sections"
    if not all_of_them:
        among = "measured in the one section" if len(facts) == 1 else "shared by the sections"
    of = f"{count(shared, 'gene')} {among}{'' if all_of_them else ' trained on'}"
    return PanelChoice(f"{n:,} of the {of}" if n < shared else f"All of the {of}")


def chosen_by_list(facts: Sequence[SectionFacts], text: str) -> PanelChoice:
    """Look up genes that were typed or pasted, separated by spaces, commas, semicolons or lines."""
    import anndata as ad
    import pandas as pd

    from napari_nh2st.expression.panels import listed_genes

    wanted = [word for word in re.split(r"[\s,;]+", text) if word]
    if not wanted:
        return PanelChoice(genes=[], why_not="List the genes to predict first")
    sections = [
        ad.AnnData(var=pd.DataFrame(index=sorted(f.genes)), uns={"nh2st": {"sample": f.sample.sample}})
        for f in facts
        if f.genes
    ]
    if not sections:
        return PanelChoice(genes=[], why_not="The sections that the genes would be looked up in cannot be read")
    shared = sorted(set.intersection(*(set(f.genes) for f in facts if f.genes)))
    try:
        wanted = known_by(wanted, shared)
    except UnknownGene as error:
        return PanelChoice(genes=[], why_not=sentence(str(error)))
    found, lacking = listed_genes(wanted, sections)
    among = "the section" if len(sections) == 1 else "every section"
    said = [f"{count(len(found), 'gene')} of the list {'was' if len(found) == 1 else 'were'} measured in {among}."]
    if lacking:
        named = [_lack(gene, without, len(sections)) for gene, without in list(lacking.items())[:_NAMED]]
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        said.append(f"Left out: {', '.join(named)}{more}.")
    return PanelChoice(" ".join(said), found, "" if found else f"No gene of the list was measured in {among}")


def taken_over(facts: Sequence[SectionFacts], card: Card) -> PanelChoice:
    """Say how many genes of the base model were measured."""
    from napari_nh2st.training.sections.section_check import shared_genes

    shared, all_of_them = shared_genes(facts), count(len(card.genes), "gene")
    missing = [gene for gene in card.genes if gene not in shared]
    if not shared or not missing:
        return PanelChoice(f"The {all_of_them} of {card.name}")
    named = ", ".join(missing[:_NAMED]) + (f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else "")
    return PanelChoice(
        f"The {all_of_them} of {card.name}. Not measured under these names in every section: {named}. Where their "
        "Ensembl ids are not found either, the run will not start: list the genes instead."
    )


def _lack(gene: str, without: list[str], sections: int) -> str:
    return f"{gene} (not in {', '.join(without)})" if 0 < len(without) < sections else gene
