"""Which gene a text means, what is listed in which order, what is pinned and remembered; without a window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from napari_nh2st.model import gene_names
from napari_nh2st.model.card import Evaluation, GeneTrust
from napari_nh2st.model.gene_list import A_TO_Z, BEST_FIRST, VARYING_FIRST, GeneList, Meaning
from napari_nh2st.viewer.genes.gene_choice import GeneChoice
from napari_nh2st.viewer.state.preferences import Preferences
from viewer.fakes import GENES, FakeSlide, card
from viewer.without_window import Desk


class FakeGeneView:
    def __init__(self) -> None:
        self.panel: GeneList | None = None
        self.figures: Mapping[str, float] | None = None
        self.listed: list[str] = []
        self.chosen = self.absent = self.trust = self.measuring = self.order = ""
        self.explained: list[str] = []
        self.pinned: dict[str, bool] = {}
        self.recent: list[str] = []
        self.reasons_off: dict[str, str] = {}

    def show_panel(self, panel: GeneList | None, figures: Mapping[str, float] | None) -> None:
        self.panel, self.figures = panel, figures

    def list_genes(self, genes: Sequence[str], chosen: str) -> None:
        self.listed, self.chosen = list(genes), chosen

    def stand_at(self, gene: str) -> None:
        self.chosen, self.absent = gene, ""

    def show_absent(self, text: str) -> None:
        self.absent = text

    def say_trust(self, text: str, explained: Sequence[str] = ()) -> None:
        self.trust, self.explained = text, list(explained)

    def say_measuring(self, text: str) -> None:
        self.measuring = text

    def show_pinned(self, genes: Sequence[str], shown: str, predicted: Callable[[str], bool]) -> None:
        self.pinned = {gene: predicted(gene) for gene in genes}

    def show_recent(self, genes: Sequence[str]) -> None:
        self.recent = list(genes)

    def offer_orders(self, reasons_off: Mapping[str, str], chosen: str) -> None:
        self.reasons_off, self.order = dict(reasons_off), chosen


class Genes(Desk):
    """The dock without a window, with the gene field's presenter."""

    def __init__(self, preferences: Preferences | None = None) -> None:
        super().__init__()
        if preferences is not None:
            self.workspace.preferences = preferences
        self.view = FakeGeneView()
        self.choice = GeneChoice(self.workspace, self.view)

    @property
    def preferences(self) -> Preferences:
        return self.workspace.preferences


@pytest.fixture
def genes() -> Genes:
    return Genes()


def test_another_name_and_an_ensembl_id_show_the_gene_and_say_so(genes: Genes) -> None:
    ids = ["ENSG00000141736", "ENSG00000170421.4", None, None]
    genes.services.cards["ids"] = card("ids", ensembl=ids)
    genes.use_model("ids")
    genes.choice.choose("her-2")
    assert genes.state.gene == genes.view.chosen == "ERBB2"
    assert genes.view.trust == "her-2 is ERBB2: held-out PCC 0.41 (0.33 to 0.48), same patient"
    genes.choice.choose("ensg00000170421")
    assert genes.state.gene == "KRT8"
    genes.choice.choose_meaning(Meaning("CD3E", "CD3", ("CD3E",)))
    assert genes.state.gene == "CD3E"
    assert genes.view.trust == "CD3 is CD3E: not evaluated"


def test_a_gene_that_is_not_predicted_is_said_and_the_shown_one_stays(genes: Genes) -> None:
    genes.predict()
    chosen: list[str] = []
    genes.state.gene_chosen.connect(chosen.append)
    genes.choice.choose_meaning(Meaning(None, "Ki-67", ("MKI67",)))
    assert (genes.view.absent, genes.view.trust) == ("Ki-67", "her2st does not predict MKI67 (Ki-67)")
    genes.choice.choose("er")  # not ERBB2, which only begins so
    assert (genes.view.absent, genes.view.trust) == ("er", "her2st does not predict ESR1 (er)")
    assert (genes.state.gene, genes.heatmap.gene, chosen) == ("ERBB2", "ERBB2", [])
    genes.choice.give_up()
    assert (genes.view.chosen, genes.view.absent) == ("ERBB2", "")
    assert genes.view.trust.startswith("held-out")


def test_a_gene_that_is_asked_for_elsewhere_is_shown(genes: Genes) -> None:
    genes.predict()
    genes.state.request_gene("krt8")
    assert (genes.state.gene, genes.view.chosen, genes.heatmap.gene) == ("KRT8", "KRT8", "KRT8")
    assert genes.view.trust == "not evaluated"
    genes.state.choose_gene("CD3E")
    assert genes.view.chosen == "CD3E"


def test_without_a_model_nothing_can_be_chosen(genes: Genes) -> None:
    genes.state.choose_model(None)
    genes.choice.choose("ERBB2")
    assert (genes.view.panel, genes.view.listed, genes.view.trust, genes.choice.gene) == (None, [], "", "")


def test_genes_that_were_looked_at_are_remembered(genes: Genes) -> None:
    genes.choice.choose("KRT8")
    genes.choice.stay()
    genes.choice.walk_to("CD3E")  # walked over: not looked at
    genes.choice.walk_to("FLAT")
    genes.choice.stay()
    assert genes.view.recent == ["FLAT", "KRT8"]
    again = Genes(genes.preferences)
    assert again.view.recent == ["FLAT", "KRT8"]
    assert again.state.gene == "ERBB2"


def test_pinned_genes_are_remembered_and_may_be_of_another_model(genes: Genes) -> None:
    genes.choice.toggle_pin("ERBB2")
    genes.choice.toggle_pin("ESR1")
    genes.choice.toggle_pin("KRT8")
    assert genes.view.pinned == {"ERBB2": True, "ESR1": False, "KRT8": True}
    genes.choice.choose("ESR1")
    assert genes.view.trust == "her2st does not predict ESR1"
    again = Genes(genes.preferences)
    assert again.state.pinned == tuple(again.view.pinned) == ("ERBB2", "ESR1", "KRT8")
    again.choice.toggle_pin("ESR1")
    assert list(again.view.pinned) == ["ERBB2", "KRT8"]
    assert tuple(genes.view.pinned) == genes.state.pinned == ("ERBB2", "KRT8")  # as in another dock


def test_what_a_program_pins_is_not_remembered(genes: Genes) -> None:
    genes.state.pinned = ("KRT8",)
    assert genes.view.pinned == {"KRT8": True}
    assert genes.preferences.pinned == ()


TRUSTED = {
    "KRT8": GeneTrust(pcc=0.41, low=0.33, high=0.48),
    "ERBB2": GeneTrust(pcc=0.3, low=0.2, high=0.4),
    "CD3E": GeneTrust(pcc=0.6, low=-0.1, high=0.9),
}


def test_genes_from_a_to_z_or_the_best_first(genes: Genes) -> None:
    evaluation = Evaluation(kind="cross-patient", samples=["B4"], pcc_mean=0.2, genes=TRUSTED)
    genes.services.cards["good"] = card("good", evaluation=evaluation)
    genes.use_model("good")
    assert genes.view.listed == sorted(GENES)
    chosen: list[str] = []
    genes.state.gene_chosen.connect(chosen.append)
    genes.choice.choose_order(BEST_FIRST)
    assert genes.view.listed == ["KRT8", "ERBB2", "CD3E", "FLAT"]
    assert (genes.state.gene, genes.view.chosen, chosen) == ("ERBB2", "ERBB2", [])  # the gene in sight stays
    genes.use_model("demo")  # never evaluated
    assert "not evaluated" in genes.view.reasons_off[BEST_FIRST]
    assert (genes.view.order, genes.view.listed) == (A_TO_Z, sorted(GENES))
    genes.use_model("good")
    assert (genes.view.order, genes.view.listed[0]) == (BEST_FIRST, "KRT8")  # the order that was chosen comes back


def test_the_first_gene_is_one_that_can_be_trusted() -> None:
    genes = Genes()
    evaluation = Evaluation(kind="same-patient", samples=["C5"], pcc_mean=0.4, genes=TRUSTED)
    genes.services.cards["c"] = card("c", genes=["A", "CD3E", "KRT8", "B"], evaluation=evaluation)
    genes.use_model("c")
    assert genes.state.gene == genes.view.chosen == "KRT8"


def test_the_list_waits_in_its_order_until_the_variability_is_measured(genes: Genes) -> None:
    assert genes.view.reasons_off[VARYING_FIRST].startswith("Predict first")
    genes.predict()
    assert genes.view.reasons_off[VARYING_FIRST] == ""
    genes.background.hold = True
    genes.choice.choose_order(VARYING_FIRST)
    assert genes.view.measuring.startswith("Measuring")
    assert genes.view.listed == sorted(GENES)
    genes.background.release()
    assert genes.view.measuring == ""
    figures = genes.view.figures
    assert figures is not None
    assert genes.view.listed == [*sorted(GENES[:3], key=lambda gene: -figures[gene]), "FLAT"]
    assert genes.state.gene == genes.view.chosen == "ERBB2"
    genes.use_model("demo")
    assert (genes.view.order, genes.view.listed, genes.view.figures) == (A_TO_Z, sorted(GENES), None)


def test_the_variability_of_a_slide_is_never_seen_on_another_and_is_there_when_it_is_back(genes: Genes) -> None:
    genes.predict()
    genes.choice.choose_order(VARYING_FIRST)
    on_first, slide = genes.view.figures, FakeSlide()
    slide.fingerprint = "another"
    first, second = genes.state.slide_layer, genes.open(slide)
    genes.background.hold = True
    genes.predict()
    assert genes.view.figures is None
    assert genes.view.listed == sorted(GENES)
    genes.background.release()
    genes.background.release()
    on_second = genes.view.figures
    genes.background.hold = True
    for layer, figures in ((first, on_first), (second, on_second)):
        genes.presenter.choose_slide(layer)
        assert genes.view.figures is figures is not None
        assert genes.view.measuring == ""


def test_more_tissue_is_measured_again_when_the_job_has_ended(genes: Genes) -> None:
    genes.viewer.add_shapes([np.array([[0, 0], [0, 300], [480, 300], [480, 0]])], shape_type="polygon")
    genes.predict("shape")
    genes.choice.choose_order(VARYING_FIRST)
    before = genes.view.figures
    genes.predict("whole")
    assert before is not None
    assert genes.view.figures is not None
    assert genes.view.figures["ERBB2"] != before["ERBB2"]


def test_a_broken_table_of_names_is_told_and_the_dock_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "gene_names.tsv"
    monkeypatch.setattr(gene_names, "names_file", lambda: table)
    table.write_text("gene\nA\n")
    genes = Genes()
    assert "symbol" in genes.said[-1]
    genes.choice.choose("her2")
    assert genes.state.gene == "ERBB2"
    table.write_text("symbol\talias_symbol\nKRT8\tmy favourite\n")
    genes = Genes()
    genes.choice.choose("my favourite")
    assert genes.state.gene == "KRT8"
