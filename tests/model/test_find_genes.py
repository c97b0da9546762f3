"""Genes by any of their names, and what is said of those that are not there."""

import pytest

from napari_nh2st.errors import Nh2stError, UnknownGene
from napari_nh2st.model import gene_names
from napari_nh2st.model.find_genes import find_genes
from support.predictions import card

PANEL = ["ERBB2", "ERBB3", "krt18", "CD3E", "CD3D", "CD8A", "C10orf54"]
IDS = ["ENSG00000141736", None, None, None, None, None, None]


@pytest.fixture
def her2():
    return card(genes=PANEL, ensembl=IDS, gene_means=None, name="m", evaluation=None)


@pytest.mark.parametrize(
    ("said", "symbols"),
    [
        ("ERBB2", ["ERBB2"]),  # one text is one gene
        (["erbb2", " her-2 ", "HER2/neu", "KRT18", "ck18"], ["ERBB2", "ERBB2", "ERBB2", "krt18", "krt18"]),
        (("ensg00000141736.3", "CD8"), ["ERBB2", "CD8A"]),  # of CD8A and CD8B, only one is of this panel
        (
            ["VSIR", "vsir"],
            ["C10orf54", "C10orf54"],
        ),  # today's symbol of a gene that the model knows by its earlier one
        ((g for g in ("CD3E",)), ["CD3E"]),
        ([], []),
    ],
)
def test_a_gene_by_any_of_its_names(her2, said, symbols):
    assert find_genes(her2, said) == symbols


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (["TP63", "CD74"], "the model m does not predict TP63, CD74"),
        ("ERB2", "the model m does not predict ERB2 (did you mean ERBB2?)"),
        ("p53", "the model m does not predict p53 (TP53)"),
        ("CD3", "CD3 stands for CD3D and CD3E: name one of them"),
        (["CD3", "AAAA"], "the model m does not predict AAAA; CD3 stands for CD3D and CD3E: name one of them"),
        ("her", "the model m does not predict her (did you mean ERBB3 or ERBB2?)"),  # no beginning of a name counts
    ],
)
def test_what_is_not_there_is_named_with_what_may_have_been_meant(her2, said, line):
    with pytest.raises(UnknownGene) as told:
        find_genes(her2, said)
    assert str(told.value) == line
    assert isinstance(told.value, KeyError)


def test_a_number_is_no_gene(her2):
    with pytest.raises(Nh2stError, match="named by a text such as 'ERBB2', not by int 3"):
        find_genes(her2, [3])


def test_the_user_s_own_table_counts_and_is_read_again_when_it_changes(her2, tmp_path, monkeypatch):
    file = tmp_path / "gene_names.tsv"
    monkeypatch.setattr(gene_names, "names_file", lambda: file)
    with pytest.raises(UnknownGene):
        find_genes(her2, "our marker")
    file.write_text("symbol\talias_symbol\nERBB3\tour marker\n")
    assert find_genes(her2, "our marker") == ["ERBB3"]
