"""What a typed text means, what is suggested and in which order; 20,000 genes stay quick."""

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_nh2st.model.card import Evaluation, GeneTrust
from napari_nh2st.model.gene_list import (
    A_TO_Z,
    BEST_FIRST,
    MOST,
    VARYING_FIRST,
    GeneList,
    Meaning,
    Suggestion,
)
from napari_nh2st.model.gene_names import GeneNames, common_names, load_names
from viewer.fakes import card

PANEL = ["ERBB2", "KRT8", "krt18", "CD3E", "CD3D", "FLAT", "C10orf54"]
IDS = ["ENSG00000141736", "ENSG00000170421.12", None, None, None, None, None]


def listed(genes=PANEL, ids=IDS, names: GeneNames | None = None, **changes) -> GeneList:
    made = card(genes=genes, ensembl=ids, gene_means=None, **changes)
    return GeneList(made, common_names() if names is None else names)


def test_what_a_text_means() -> None:
    genes = listed()
    assert genes.meaning(" ERBB2 ") == Meaning("ERBB2")
    assert genes.meaning("erbb-2") == Meaning("ERBB2")
    assert genes.meaning("HER2") == Meaning("ERBB2", "HER2", ("ERBB2",))
    assert genes.meaning("ENSG00000141736.7") == Meaning("ERBB2", "ENSG00000141736.7")
    assert genes.meaning("ensg00000170421") == Meaning("KRT8", "ensg00000170421")
    assert genes.meaning("cd3") == Meaning("CD3D", "cd3", ("CD3D", "CD3E"))  # CD3G is not of this panel
    assert genes.meaning("krt").gene == "krt18"  # what begins so
    assert genes.meaning("lat") == Meaning("FLAT")
    assert genes.meaning("her") == Meaning("ERBB2", "HER2")
    assert genes.meaning("NOPE") == Meaning(None)
    assert genes.meaning("-") == Meaning(None)


def test_a_known_name_is_not_taken_for_a_gene_that_only_begins_so() -> None:
    genes = listed()
    assert genes.meaning("ER") == Meaning(None, "ER", ("ESR1",))  # not ERBB2
    assert genes.meaning("p53") == Meaning(None, "p53", ("TP53",))


def test_symbols_of_today_and_of_the_model_s_day(tmp_path: Path) -> None:
    path = tmp_path / "names.tsv"
    path.write_text("symbol\talias_symbol\tprev_symbol\tensembl_gene_id\nVSIR\tB7H5\tC10orf54\tENSG00000107738\n")
    genes = listed(names=load_names(path))
    for said in ("VSIR", "VISTA", "b7-h5", "ENSG00000107738.9"):
        assert genes.meaning(said) == Meaning("C10orf54", said, ("C10orf54",))
    assert genes.meaning("C10orf54") == Meaning("C10orf54")
    assert genes.suggest("vsi") == [Suggestion("C10orf54", "VSIR")]
    assert genes.suggest("ensg000001077") == [Suggestion("C10orf54", "ENSG00000107738")]


def test_suggestions() -> None:
    genes = listed()
    assert genes.suggest("her2")[0] == Suggestion("ERBB2", "HER2")
    assert genes.suggest("cd3")[:2] == [Suggestion("CD3D", "CD3"), Suggestion("CD3E", "CD3")]
    assert Suggestion("CD3G", "CD3", predicted=False) in genes.suggest("cd3")
    assert genes.suggest("ki-6") == [Suggestion("MKI67", "Ki-67", predicted=False)]
    assert [s.gene for s in genes.suggest("KRT") if s.predicted] == ["krt18", "KRT8"]
    assert genes.suggest("ensg00000141736") == [Suggestion("ERBB2", "ENSG00000141736")]
    assert not [s for s in genes.suggest("en") if s.via.startswith("ENSG")]  # two letters are no id
    assert genes.suggest("") == genes.suggest(" -") == []
    everything = genes.suggest("c")
    assert len({s.gene for s in everything}) == len(everything)
    assert [s.predicted for s in everything] == sorted((s.predicted for s in everything), reverse=True)


def test_orders() -> None:
    trust = {"KRT8": GeneTrust(pcc=0.5, low=0.4, high=0.6), "ERBB2": GeneTrust(pcc=0.6, low=-0.1, high=0.9)}
    evaluation = Evaluation(kind="same-patient", samples=["C5"], pcc_mean=0.5, genes=trust)
    genes = listed(evaluation=evaluation)
    by_name = ["C10orf54", "CD3D", "CD3E", "ERBB2", "FLAT", "krt18", "KRT8"]
    assert genes.ordered(A_TO_Z) == by_name
    assert genes.ordered(BEST_FIRST)[:2] == ["KRT8", "ERBB2"]  # chance comes after the others
    figures = {"CD3E": 0.9, "ERBB2": 0.95, "FLAT": float("nan"), "KRT8": -0.1}
    assert genes.ordered(VARYING_FIRST, figures) == ["ERBB2", "CD3E", "KRT8", "C10orf54", "CD3D", "FLAT", "krt18"]
    assert genes.ordered(VARYING_FIRST) == by_name  # as long as nothing is known


@pytest.fixture
def tidy() -> Iterator[None]:
    """Leave what other tests have made out of the collector's work."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("tidy")
def test_twenty_thousand_genes_are_quick(tmp_path: Path) -> None:
    path = tmp_path / "names.tsv"
    lines = [f"S{i}\tA{i}|B{i}\tP{i}\tENSG{i:011d}" for i in range(40_001)]  # about as many as HGNC has
    path.write_text("\n".join(["symbol\talias_symbol\tprev_symbol\tensembl_gene_id", *lines]))
    names = load_names(path)
    started = time.process_time()  # not the clock on the wall: the machine may be busy with other tests
    genes = listed([f"S{2 * i + 1}" for i in range(20_000)], None, names)
    assert time.process_time() - started < 1.0
    typed = ["a", "s", "1", "b3", "s12", "zz", "ensg00000", "p5555", "q", "a40000"]
    started = time.process_time()
    found = [genes.suggest(text) for text in typed]
    assert time.process_time() - started < 1.0
    assert [len(f) <= MOST + 20 for f in found] == [True] * 10
    assert found[-1][0] == Suggestion("S40000", "A40000", predicted=False)
