"""A panel among measured genes: by symbol, by id, by the symbol of another time, and nothing by chance."""

import anndata as ad
import numpy as np
import pytest

from napari_nh2st.expression.panel_match import match_panel, match_words, none_found
from napari_nh2st.model.folder import load_model
from napari_nh2st.model.gene_names import ensembl_ids, other_symbols

AES = "ENSG00000104964"  # TLE5 today


def measured(names, ids=None):
    data = ad.AnnData(np.arange(len(names), dtype=np.float32)[None] + 1)
    data.var_names = names
    if ids is not None:
        data.var["gene_ids"] = ids
    return data


def match(names, genes, ensembl=None, ids=None):
    named, found = match_panel(measured(names, ids), genes, ensembl, other_symbols)
    return list(named.var_names), found


def test_by_symbol_then_by_id_whatever_the_version():
    names, found = match(
        ["A", "B", "C", "D"],
        ["A", "NEW", "X"],
        ["ENSG9", "ENSG3.12", None],
        ["ENSG1", "ENSG2", "ENSG3", "ENSG4"],
    )
    assert names == ["A", "B", "NEW", "D"]
    assert (found.by_symbol, found.by_ensembl_id, found.not_found) == (1, 1, ("X",))


def test_nothing_is_copied_where_nothing_is_renamed():
    data = measured(["A", "B"])
    assert match_panel(data, ["A", "X"], None, other_symbols)[0] is data


def test_ids_for_names():
    names, found = match(["ENSG1.1", "ENSG2.3", "ENSG3.1"], ["A", "B"], ["ENSG1", "ENSG2"])
    assert names == ["A", "B", "ENSG3.1"]
    assert found.by_ensembl_id == 2


@pytest.mark.parametrize(("written", "panel"), [("TLE5", "AES"), ("AES", "TLE5"), ("H3-3B", "H3F3B"), ("JPT1", "HN1")])
def test_a_symbol_of_another_time(written, panel):
    names, found = match([written, "ERBB2"], [panel, "ERBB2"])
    assert names == [panel, "ERBB2"]
    assert (found.by_symbol, found.by_former_symbol, found.not_found) == (1, 1, ())


def test_a_former_symbol_whose_gene_has_another_id_is_no_match():
    assert match(["TLE5"], ["AES"], [AES], ["ENSG00000000001"])[1].not_found == ("AES",)
    assert match(["TLE5"], ["AES"], [AES], [AES])[1].by_ensembl_id == 1


def test_a_former_symbol_that_is_measured_as_another_gene_of_the_panel_is_no_match():
    assert match(["TLE5"], ["AES", "TLE5"])[1].not_found == ("AES",)


def test_the_id_decides_where_a_symbol_stands_for_another_gene():
    names, found = match(["A", "B"], ["A"], ["ENSG2"], ["ENSG1", "ENSG2"])
    assert names == ["A (another gene)", "A"]
    assert found.by_ensembl_id == 1


def test_of_a_symbol_that_stands_twice_the_one_with_the_id_is_taken():
    named, _ = match_panel(measured(["A", "A-1"], ["ENSG1", "ENSG2"]), ["A"], ["ENSG2"], other_symbols)
    assert named[:, "A"].X.tolist() == [[2]]


def test_a_symbol_stands_where_the_file_gives_its_gene_an_id_of_another_assembly():
    assert match(["A", "B"], ["A"], ["ENSG9"], ["ENSG1", "ENSG2"])[1].by_symbol == 1


def test_counts_in_words():
    _, found = match(
        ["ERBB2", "TLE5", "X"], ["ERBB2", "AES", "CD74", "ZZ"], [None, None, "ENSG7", None], ["", "", "ENSG7"]
    )
    assert match_words(found.figures()) == "1 by symbol, 1 by former symbol, 1 by Ensembl id, 1 not found"


def test_the_bundled_panel_has_ids_and_is_found_by_them_alone():
    card = load_model("her2st").card
    assert card.ensembl is not None
    known = [(gene, e) for gene, e in zip(card.genes, card.ensembl, strict=True) if e]
    assert [gene for gene, e in zip(card.genes, card.ensembl, strict=True) if not e] == ["AP000769.1"]
    assert dict(known)["ERBB2"] == "ENSG00000141736"
    ids = [e for _, e in known]
    names, found = match([f"{e}.5" for e in ids], card.genes, card.ensembl)
    assert found.by_ensembl_id == len(known) == 249
    assert names == [gene for gene, _ in known]


def test_a_panel_of_other_than_human_genes_gets_no_ids():
    assert ensembl_ids(["Erbb2", "Cd74", "DEMO-TUMORIN"]) is None
    assert ensembl_ids(["ERBB2", "AES"]) == ["ENSG00000141736", AES]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Erbb2", "Actb"], "it has Erbb2, as mice and rats do, where the model has ERBB2"),
        (["erbb2", "actb"], "it has erbb2 where the model has ERBB2: write the names as the model does"),
        (["ENSMUSG00000062312.7", "ENSMUSG00000029580"], "its Ensembl ids are of mice (ENSMUSG), a model's of humans"),
        (["X", "Y"], "do the gene names match?"),
    ],
)
def test_why_no_gene_was_found(names, said):
    assert none_found(measured(names), ["CD74", "ERBB2"]) == said
