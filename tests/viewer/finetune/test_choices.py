"""What a run holds out: offered as the sections allow, said as it is, and handed to the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtCore import Qt

from napari_nh2st.expression import Sample
from napari_nh2st.model.card import TrainingSample
from napari_nh2st.training.config import TrainingConfig, read_config
from napari_nh2st.training.run.settings_file import write_settings
from napari_nh2st.training.sections.section_check import SectionFacts
from napari_nh2st.viewer.finetune.choices import ELSEWHERE, ChoicesPart
from napari_nh2st.viewer.finetune.hold_out import HoldOut
from napari_nh2st.viewer.finetune.panel_choice import chosen_by_rule
from napari_nh2st.viewer.kit.background import Background
from viewer.fakes import FakeServices, card

GENES = ("ERBB2", "KRT8", "CD3E", "FLAT")


def facts(name: str, patient: str, *genes: str) -> SectionFacts:
    return SectionFacts(Sample(name, patient, Path("s"), Path("e"), "h5ad"), "good", genes=frozenset(genes or GENES))


C4, C5, B1 = facts("C4", "C"), facts("C5", "C"), facts("B1", "B", "ERBB2")


def test_the_patient_guard() -> None:
    assert HoldOut("section", "C5").says([C4, C5, B1]) == (
        "C5 is never trained on. Its patient C is, so the figures are same-patient: optimistic for a new patient."
    )
    assert HoldOut("section", "B1").says([C4, C5, B1]) == (
        "B1 is never trained on, nor is any other section of its patient: cross-patient figures."
    )
    assert (
        HoldOut("patient", "B").says([C4, C5, B1])
        == "Patient B (1 section) is never trained on: cross-patient figures."
    )
    assert "the model to start from was trained on a patient B" in HoldOut("patient", "B").says([C4, C5, B1], {"B"})
    assert HoldOut().says([C4]).startswith("A block of each section, 15%: ")
    assert HoldOut("section", "C5").says([]) == ""


def test_something_must_be_left_to_train_on() -> None:
    assert HoldOut("patient", "C").why_not([C4, C5]).startswith("Holding out patient C leaves no section to train on")
    assert HoldOut("patient", "C").says([C4, C5]) == ""
    assert HoldOut("section", "C4").why_not([C4]).startswith("Holding out C4 leaves no section")
    assert HoldOut("section", "C4").why_not([C4, C5]) == ""
    assert HoldOut("section", "gone").why_not([C4, C5]) == "Choose the section to hold out"
    assert HoldOut().why_not([C4]) == ""


def test_genes_are_those_of_the_sections_trained_on() -> None:
    left = HoldOut("section", "B1").training([C4, C5, B1])
    assert chosen_by_rule(left, 2, all_of_them=False).says == "2 of the 4 genes shared by the sections trained on"
    assert chosen_by_rule([C4], 9, all_of_them=False).says == (
        "All of the 4 genes measured in the one section trained on"
    )


@pytest.fixture
def part(qtbot):
    services, background = FakeServices(), Background()
    known = [TrainingSample(sample="B9", patient="B", spots=10)]
    services.cards["her2st"] = card(training=known)
    here: list[SectionFacts] = []
    made = ChoicesPart(services, background, lambda: here)
    made.here = here
    qtbot.addWidget(made)
    made.resize(320, 500)
    made.show()
    yield made
    made.shut()
    background.close()


def give(part: ChoicesPart, qtbot, *found: SectionFacts) -> None:
    part.here[:] = found
    part.look_up()
    qtbot.waitUntil(lambda: not part._pending)


def pick(combo, qtbot, text: str) -> None:
    """Choose as a person does with the keyboard."""
    combo.setFocus()
    combo.setCurrentIndex(combo.findText(text))
    combo.activated.emit(combo.currentIndex())


def offered(part: ChoicesPart) -> list[bool]:
    return [bool(part.held_out.model().item(i).isEnabled()) for i in range(part.held_out.count())]


@pytest.mark.viewer
def test_what_is_offered_follows_the_sections(part, qtbot) -> None:
    assert offered(part) == [True, False, False]
    give(part, qtbot, C4)
    assert offered(part) == [True, False, False]
    give(part, qtbot, C4, C5)
    assert offered(part) == [True, True, False]
    assert "two patients" in part.held_out.itemData(2, Qt.ItemDataRole.ToolTipRole)
    assert "two patients" in part.held_out.toolTip()
    give(part, qtbot, C4, C5, B1)
    assert offered(part) == [True, True, True]
    assert part.which.isHidden()


@pytest.mark.viewer
def test_a_section_that_is_held_out_reaches_the_settings(part, qtbot, tmp_path: Path) -> None:
    give(part, qtbot, C4, C5, B1)
    assert part.note.text() == "All of the 1 gene shared by all sections"
    pick(part.held_out, qtbot, "one section")
    assert [part.which.itemText(i) for i in range(part.which.count())] == ["C4", "C5", "B1"]
    pick(part.which, qtbot, "B1")
    qtbot.waitUntil(lambda: not part._pending)
    assert part.note.text() == "All of the 4 genes shared by the sections trained on"
    assert part.guard.text().startswith("B1 is never trained on, nor is any other")
    assert part.summary() == "250 genes, highest mean; head; holds out B1"
    run = tmp_path / "run"
    file = write_settings(run, part.config(run), ELSEWHERE)
    assert read_config(file) == TrainingConfig(name="run", hold_out_sections=["B1"])
    pick(part.held_out, qtbot, "one patient")
    assert part.config(run).hold_out_patients == ["C"]
    assert part.config(run).hold_out_sections is None
    pick(part.held_out, qtbot, "a block of each section")
    assert part.config(run).hold_out_patients is None
    assert part.which.isHidden()


@pytest.mark.viewer
def test_a_choice_outlasts_looking_again_and_is_never_replaced(part, qtbot) -> None:
    give(part, qtbot, C4, C5)
    pick(part.held_out, qtbot, "one section")
    pick(part.which, qtbot, "C5")
    give(part, qtbot)
    give(part, qtbot, C4)
    assert part.why_not == "Choose the section to hold out"
    give(part, qtbot, C4, C5)
    assert part.which.currentText() == "C5"
    assert part.why_not == ""
    give(part, qtbot, C5)
    assert part.why_not.startswith("Holding out C5 leaves no section to train on")


@pytest.mark.viewer
def test_a_model_that_knows_the_patient_is_told(part, qtbot) -> None:
    give(part, qtbot, C4, C5, facts("B1", "B"))
    pick(part.held_out, qtbot, "one patient")
    pick(part.which, qtbot, "B")
    qtbot.waitUntil(lambda: part.guard.text().endswith("cross-patient figures."))
    pick(part.base, qtbot, "her2st")
    qtbot.waitUntil(lambda: "was trained on a patient B" in part.guard.text())
    assert part.summary() == "the genes of her2st; head, from her2st; holds out patient B"


@pytest.mark.viewer
def test_choices_fold_to_a_line(part, qtbot) -> None:
    give(part, qtbot, C4, C5)
    part.collapse(True)
    assert not part.kind.isVisible()
    assert part.summed_up.text() == "250 genes, highest mean; head; holds out a block of each section"
    qtbot.mouseClick(part.change, Qt.MouseButton.LeftButton)
    assert part.kind.isVisible()
    part.collapse(True)  # asked again each second: what was opened stays open
    assert part.kind.isVisible()
    part.collapse(False)
    part.collapse(True)
    assert not part.kind.isVisible()


@pytest.mark.viewer
def test_the_line_says_what_the_run_was_started_with(part, qtbot, tmp_path: Path) -> None:
    give(part, qtbot, C4, C5)
    part.collapse(True, tmp_path)
    assert part.summed_up.text().startswith("250 genes, highest mean; head; holds out a block")
    other = TrainingConfig(genes=["ERBB2", "KRT8"], train="everything", hold_out_sections=["C4", "C5"])
    write_settings(tmp_path / "run", other)
    (tmp_path / "run" / "job.json").write_text('{"argv": ["nh2st", "finetune", "s.csv", "--model", "her2st"]}')
    part.collapse(True, tmp_path / "run")
    assert part.summed_up.text() == "2 listed genes; everything, from her2st; holds out C4, C5"
    (tmp_path / "run" / "settings.yaml").write_text("nonsense: 1")
    part.collapse(False)
    part.collapse(True, tmp_path / "run")
    assert part.summed_up.text().startswith("250 genes, highest mean")
