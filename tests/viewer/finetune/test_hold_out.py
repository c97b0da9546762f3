"""What a run holds out, and what its figures will mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_nh2st.engine.section_descriptor import SectionDescriptor
from napari_nh2st.expression import Sample
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.sections.section_check import SectionFacts
from napari_nh2st.viewer.finetune.hold_out import HoldOut, choices_words
from napari_nh2st.viewer.finetune.panel_choice import chosen_by_rule

GENES = ("ERBB2", "KRT8", "CD3E", "FLAT")


def facts(name: str, patient: str, *genes: str) -> SectionFacts:
    return SectionFacts(Sample(name, patient, Path("s"), Path("e"), "h5ad"), "good", genes=frozenset(genes or GENES))


C4, C5, B1 = facts("C4", "C"), facts("C5", "C"), facts("B1", "B", "ERBB2")


def same(one: SectionFacts, name: str, patient: str) -> SectionFacts:
    """The same section under another name; `one` has a descriptor."""
    return replace(facts(name, patient), descriptor=one.descriptor)


def section(*names: str) -> HoldOut:
    return HoldOut("section", names)


def patient(*names: str) -> HoldOut:
    return HoldOut("patient", names)


def test_the_patient_guard() -> None:
    everything = [C4, C5, B1]
    assert section("C5").guard(everything) == (
        "C5 is never trained on, but other sections of patient C are: same-patient figures, higher than a new "
        "patient will give."
    )
    assert section("B1").guard(everything) == (
        "B1 is never trained on, nor is any other section of its patient: cross-patient figures."
    )
    assert patient("B").guard(everything) == "Patient B (1 section) is never trained on: cross-patient figures."
    assert patient("B").guard(everything, {"B"}) == (
        "Patient B (1 section) is never trained on, but the base model has learnt from patient B. If that is "
        "the same person, these are same-patient figures, higher than a new patient will give."
    )
    assert HoldOut().guard([C4]).startswith("A block of each section (15%) is only scored: ")
    assert section("C5").guard([]) == ""


def test_several_are_held_out_together() -> None:
    everything = [C4, C5, B1, facts("A1", "A")]
    assert patient("B", "C").guard(everything) == (
        "Patients B, C (3 sections) are never trained on: cross-patient figures."
    )
    assert (
        section("B1", "C4")
        .guard(everything)
        .startswith("B1, C4 are never trained on, but other sections of patient C are")
    )
    assert (
        section("C4", "C5", "B1")
        .guard(everything)
        .endswith("nor is any other section of these patients: cross-patient figures.")
    )
    assert [f.sample.sample for f in section("B1", "C4").training(everything)] == ["C5", "A1"]
    assert section("C4", "gone").why_not(everything) == "Choose the section to hold out"
    config = TrainingConfig(hold_out_sections=["C4", "C5"])
    assert HoldOut.of(config) == section("C4", "C5")
    assert HoldOut.of(config).settings() == {"hold_out_sections": ["C4", "C5"], "hold_out_patients": None}


def test_something_must_be_left_to_train_on() -> None:
    assert patient("C").why_not([C4, C5]).startswith("Holding out patient C leaves no section to train on")
    assert patient("C").guard([C4, C5]) == ""
    assert section("C4").why_not([C4]).startswith("Holding out C4 leaves no section")
    assert section("C4").why_not([C4, C5]) == ""
    assert section("gone").why_not([C4, C5]) == section().why_not([C4, C5]) == "Choose the section to hold out"
    assert HoldOut().why_not([C4]) == ""


def test_names_are_offered_once_in_the_order_of_the_sheet() -> None:
    assert patient().offered([C4, C5, B1]) == ["C", "B"]
    assert section().offered([C4, C5, B1]) == ["C4", "C5", "B1"]
    assert HoldOut().offered([C4]) == []


def test_genes_are_those_of_the_sections_trained_on() -> None:
    left = section("B1").training([C4, C5, B1])
    assert chosen_by_rule(left, 2, all_of_them=False).sentence == "2 of the 4 genes shared by the sections trained on"
    assert chosen_by_rule([C4], 9, all_of_them=False).sentence == (
        "All of the 4 genes measured in the one section trained on"
    )


def test_a_run_is_summed_up_in_a_line() -> None:
    assert (
        choices_words(TrainingConfig(), None)
        == "250 genes, most highly expressed; head; holds out a block of each section"
    )
    listed = TrainingConfig(genes=["ERBB2", "KRT8"], train="everything", hold_out_sections=["C4", "C5"])
    assert choices_words(listed, "her2st") == "2 listed genes; everything, from her2st; holds out C4, C5"
    taken = TrainingConfig(hold_out_patients=["B"])
    assert choices_words(taken, "her2st") == "the genes of her2st; head, from her2st; holds out patient B"


def test_one_section_under_two_names_is_never_on_both_sides() -> None:
    seen = replace(C4, descriptor=SectionDescriptor("abc"))
    everything = [seen, C5, B1, same(seen, "S", "Z9")]
    for choice in (section("S"), patient("Z9"), patient("C"), HoldOut()):
        reason = choice.why_not(everything)
        assert "C4 (patient C)" in reason
        assert "S (patient Z9)" in reason
        assert choice.guard(everything) == ""
    assert section("B1").why_not(everything) == ""
    assert section("C4", "S").why_not(everything) == ""


def test_a_patient_written_in_two_ways_is_one() -> None:
    everything = [C4, C5, facts("D1", "c "), B1]
    assert patient("C").training(everything) == [B1]
    assert patient().offered(everything) == ["C", "B"]
    assert "other sections of patient c  are: same-patient figures" in section("D1").guard(everything)
    assert "has learnt from patient B" in patient("B").guard(everything, {"b"})
