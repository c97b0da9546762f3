"""The choices of a run: offered as the sections allow, looked up when they have settled, handed to the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.card import TrainingSample
from napari_nh2st.model.heads.table import HEADS
from napari_nh2st.targets import TARGETS
from napari_nh2st.training.config import DEFAULT_TARGET, TrainingConfig
from napari_nh2st.training.run.settings_file import read_config, write_settings
from napari_nh2st.training.sections.section_check import SectionFacts
from napari_nh2st.viewer.finetune.choices_presenter import ChoicesPresenter
from napari_nh2st.viewer.finetune.choices_state import FROM_BASE, LOOKING_UP
from napari_nh2st.viewer.finetune.hold_out import HoldOut
from napari_nh2st.viewer.finetune.panel_choice import LISTED
from viewer.fakes import FakeServices, card
from viewer.finetune.fakes import FakeThreads
from viewer.finetune.test_hold_out import B1, C4, C5, facts


class Dock:
    """Choices with sections that a test gives and takes."""

    def __init__(self) -> None:
        self.services, self.threads = FakeServices(), FakeThreads()
        self.services.cards["her2st"] = card(training=[TrainingSample(sample="B9", patient="B", spots=10)])
        self.facts: list[SectionFacts] = []
        self.presenter = ChoicesPresenter(self.services, self.threads, lambda: self.facts)
        self.choices, self.state = self.presenter.choices, self.presenter.state

    def give(self, *sections: SectionFacts) -> None:
        self.facts = list(sections)
        self.presenter.look_up()
        self.settle()

    def settle(self) -> None:
        self.presenter.look_up_now()
        self.threads.run_all()

    def reasons_off(self) -> list[str]:
        return [offer.reason_off for offer in self.state.hold_outs]


@pytest.fixture
def dock() -> Dock:
    return Dock()


def test_what_is_offered_follows_the_sections(dock) -> None:
    assert dock.reasons_off() == ["", "Add sections first", "Add sections first"]
    dock.give(C4)
    assert dock.reasons_off()[1].startswith("There is only one section")
    dock.give(C4, C5)
    assert dock.reasons_off() == ["", "", "Needs sections from at least two patients"]
    dock.give(C4, C5, B1)
    assert dock.reasons_off() == ["", "", ""]


def test_values_are_those_of_the_base_model_unless_others_are_chosen(dock) -> None:
    def labels() -> str | None:
        return dock.presenter.config(Path("run")).labels

    assert [offer.value for offer in dock.state.targets] == list(TARGETS)
    assert all(offer.tip for offer in dock.state.targets)
    assert (dock.choices.labels, labels()) == (DEFAULT_TARGET, None)
    dock.choices.base = "her2st"
    assert (dock.choices.labels, labels()) == (FROM_BASE, None)
    dock.choices.labels = "pearson-residuals"
    assert TARGETS["pearson-residuals"].title in dock.presenter.summary
    dock.choices.base = None
    assert labels() == "pearson-residuals"
    dock.presenter.take(TrainingConfig(labels=None), {"labels"})
    assert dock.choices.labels == DEFAULT_TARGET
    dock.choices.base = "her2st"
    dock.choices.base = None
    assert dock.choices.labels == DEFAULT_TARGET


def test_a_choice_is_looked_up_when_it_has_settled(dock) -> None:
    dock.give(C4, C5)
    assert (dock.state.panel_choice.sentence, dock.state.why_not) == ("All of the 4 genes shared by all sections", "")
    dock.choices.number = 3
    assert dock.state.why_not == LOOKING_UP
    dock.presenter.look_up_now()
    dock.choices.number = 2  # meanwhile
    dock.threads.run_all()
    assert dock.state.why_not == LOOKING_UP
    dock.settle()
    assert dock.state.panel_choice.sentence == "2 of the 4 genes shared by all sections"
    dock.presenter.look_up_now()
    assert dock.threads.calls == []  # answered already


def test_pasted_genes_are_looked_up_in_all_sections(dock, tmp_path: Path) -> None:
    dock.give(C4, C5)
    dock.choices.panel = LISTED
    dock.settle()
    assert dock.state.why_not == "List the genes to predict first"
    dock.choices.gene_list = "krt8; ERBB2 NOWHERE"
    dock.settle()
    assert dock.state.panel_choice.sentence == (
        "2 genes of the list were measured in every section. Left out: NOWHERE."
    )
    assert dock.presenter.config(tmp_path / "run").genes == ["KRT8", "ERBB2"]
    dock.choices.panel = "highest-mean"
    dock.settle()
    assert dock.presenter.config(tmp_path / "run").genes is None


def test_a_model_to_start_from_brings_its_genes(dock) -> None:
    dock.give(C4, C5)
    dock.choices.base = "her2st"
    dock.settle()
    assert [offer.value for offer in dock.state.panels] == [FROM_BASE, LISTED]
    assert dock.choices.panel == FROM_BASE
    assert dock.state.panel_choice.sentence == "The 4 genes of her2st"
    dock.choices.base = "demo"
    dock.settle()
    assert dock.state.panel_choice.sentence == "The 4 genes of demo"
    dock.choices.base = None
    dock.settle()
    assert dock.choices.panel == "highest-mean"
    assert dock.state.panel_choice.sentence == "All of the 4 genes shared by all sections"


def test_a_model_that_cannot_be_read_stops_the_run(dock) -> None:
    dock.give(C4, C5)
    dock.choices.base = "/nowhere"
    dock.settle()
    assert "KeyError" in dock.state.why_not


def test_a_section_that_is_held_out_reaches_the_settings(dock, tmp_path: Path) -> None:
    dock.give(C4, C5, B1)
    assert dock.state.panel_choice.sentence == "All of the 1 gene shared by all sections"
    dock.presenter.choose_hold_out("section")
    assert dock.state.names == ("C4", "C5", "B1")
    assert dock.choices.hold_out == HoldOut("section", ("C4",))
    dock.choices.hold_out = HoldOut("section", ("B1",))
    dock.settle()
    assert dock.state.panel_choice.sentence == "All of the 4 genes shared by the sections trained on"
    assert dock.state.guard.startswith("B1 is never trained on, nor is any other")
    assert dock.presenter.summary == "250 genes, most highly expressed; head; holds out B1"
    run = tmp_path / "run"
    file = write_settings(run, dock.presenter.config(run))
    assert read_config(file) == TrainingConfig(name="run", hold_out_sections=["B1"])
    dock.presenter.choose_hold_out("patient")
    config = dock.presenter.config(run)
    assert (config.hold_out_patients, config.hold_out_sections) == (["C"], None)
    dock.presenter.choose_hold_out("blocks")
    assert dock.presenter.config(run).hold_out_patients is None
    assert dock.state.names == ()


def test_a_choice_outlasts_another_check_and_is_never_replaced(dock) -> None:
    dock.give(C4, C5)
    dock.choices.hold_out = HoldOut("section", ("C5",))
    dock.give()
    dock.give(C4)
    assert dock.state.why_not == "Choose the section to hold out"
    dock.give(C4, C5)
    assert dock.choices.hold_out.names == ("C5",)
    assert dock.state.why_not == ""
    dock.give(C5)
    assert dock.state.why_not.startswith("Holding out C5 leaves no section to train on")


def test_sections_may_come_after_the_kind_was_chosen(dock) -> None:
    dock.presenter.choose_hold_out("patient")
    dock.give(C4, B1)
    assert dock.choices.hold_out == HoldOut("patient", ("C",))


def test_a_model_that_has_learnt_from_the_patient_is_told(dock) -> None:
    dock.give(C4, C5, facts("B1", "B"))
    dock.choices.hold_out = HoldOut("patient", ("B",))
    dock.settle()
    assert dock.state.guard.endswith("cross-patient figures.")
    dock.choices.base = "her2st"
    dock.settle()
    assert "has learnt from patient B" in dock.state.guard
    assert dock.presenter.summary == "the genes of her2st; head, from her2st; holds out patient B"


def test_the_head_is_chosen_from_the_table(dock, tmp_path: Path) -> None:
    dock.give(C4, C5)
    dock.settle()
    assert [offer.value for offer in dock.state.heads] == ["", *HEADS]
    assert all(offer.tip.endswith(".") for offer in dock.state.heads[1:])
    write_settings(tmp_path, TrainingConfig(architecture={"variant": "paper", "width": 16}))
    assert dock.presenter.config(tmp_path).architecture.variant == "paper"
    dock.choices.head = "triplex"
    chosen = dock.presenter.config(tmp_path).architecture
    assert (chosen.variant, chosen.width, chosen.head_options["slide_layers"]) == ("triplex", 16, 2)
    assert "; head triplex; " in dock.presenter.summary
    assert dock.state.why_not == ""
    dock.choices.train = "everything"
    assert dock.state.why_not == "The head triplex looks at the whole slide: train the head alone"
    dock.choices.train = "head"
    assert dock.state.why_not == ""
    dock.presenter.take(TrainingConfig(), {"architecture.variant"})  # the form has written it into the file
    assert dock.choices.head == ""
    dock.choices.head = "triplex"
    dock.choices.base = "her2st"
    assert [offer.label for offer in dock.state.heads] == ["as the base model"]
    assert dock.choices.head == ""


def test_choices_fold_to_a_line(dock) -> None:
    dock.give(C4, C5)
    dock.presenter.collapse(True)
    assert dock.state.folded == "250 genes, most highly expressed; head; holds out a block of each section"
    dock.choices.train = "everything"
    assert "; everything; " in dock.state.folded
    dock.presenter.unfold()
    dock.presenter.collapse(True)  # asked again each second: what was opened stays open
    assert dock.state.folded == ""
    dock.presenter.collapse(False)
    dock.presenter.collapse(True)
    assert dock.state.folded != ""


def test_the_line_says_what_the_run_was_started_with(dock, tmp_path: Path) -> None:
    dock.give(C4, C5)
    dock.presenter.collapse(True, tmp_path)
    assert dock.state.folded.startswith("250 genes, most highly expressed; head; holds out a block")
    run = tmp_path / "run"
    write_settings(run, TrainingConfig(genes=["ERBB2", "KRT8"], hold_out_sections=["C4", "C5"]))
    (run / "job.json").write_text('{"argv": ["nh2st", "finetune", "s.csv", "--model", "her2st"]}')
    dock.presenter.collapse(True, run)
    assert dock.state.folded == "2 listed genes; head, from her2st; holds out C4, C5"
    (run / "settings.yaml").write_text("nonsense: 1")
    dock.presenter.collapse(False)
    dock.presenter.collapse(True, run)
    assert dock.state.folded.startswith("250 genes, most highly expressed")


def test_a_wrong_setting_in_the_file_is_named(dock, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("patience: many\n")
    with pytest.raises(Nh2stError, match="patience"):
        dock.presenter.config(tmp_path)


def test_a_closed_dock_looks_nothing_up(dock) -> None:
    dock.give(C4)
    dock.presenter.look_up()
    dock.presenter.close()
    dock.presenter.look_up_now()
    assert dock.threads.calls == []
