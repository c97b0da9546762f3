"""What is said of a choice of genes before a run."""

from __future__ import annotations

from pathlib import Path

from napari_nh2st.expression import Sample
from napari_nh2st.training.sections.section_check import SectionFacts
from napari_nh2st.viewer.finetune.panel_choice import PanelChoice, chosen_by_list, chosen_by_rule, taken_over
from viewer.fakes import card


def facts(name: str, *genes: str) -> SectionFacts:
    return SectionFacts(Sample(name, "P", Path("s"), Path("e"), "h5ad"), "good", genes=frozenset(genes))


BOTH = [facts("A", "ERBB2", "KRT8", "CD3E"), facts("B", "ERBB2", "KRT8", "FLAT")]


def test_a_rule_chooses_among_the_shared_genes() -> None:
    assert chosen_by_rule(BOTH, 1).sentence == "1 of the 2 genes shared by all sections"
    assert chosen_by_rule(BOTH, 250).sentence == "All of the 2 genes shared by all sections"
    assert chosen_by_rule(BOTH[:1], 250).sentence == "All of the 3 genes measured"
    assert chosen_by_rule([], 250) == PanelChoice()


def test_a_list_says_what_is_left_out_and_where_it_lacks() -> None:
    choice = chosen_by_list(BOTH, "krt8;ERBB2, ERBB2\nCD3E\tNOWHERE")
    assert choice.genes == ["KRT8", "ERBB2"]
    assert choice.sentence == (
        "2 genes of the list were measured in every section. Left out: CD3E (not in B), NOWHERE."
    )
    assert not choice.why_not
    assert chosen_by_list(BOTH, "HER2, CK8").genes == ["ERBB2", "KRT8"]


def test_a_list_that_cannot_be_used_says_why() -> None:
    assert chosen_by_list(BOTH, " ,\n").why_not == "List the genes to predict first"
    assert chosen_by_list(BOTH, "NOWHERE").why_not == "No gene of the list was measured in every section"
    assert "cannot be read" in chosen_by_list([], "ERBB2").why_not


def test_a_model_brings_its_genes() -> None:
    assert "KRT8" not in taken_over(BOTH, card()).sentence
    assert "CD3E, FLAT" in taken_over(BOTH, card()).sentence
    assert taken_over([facts("A", *card().genes)], card()).sentence == "The 4 genes of her2st"
