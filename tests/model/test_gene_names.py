"""Other names of genes: what pathologists say, and HGNC's table."""

from pathlib import Path

import pytest

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model import gene_names
from napari_nh2st.model.gene_names import common_names, fold, load_names

HGNC = """hgnc_id\tsymbol\tname\talias_symbol\tprev_symbol\tensembl_gene_id
HGNC:1\tVSIR\tV-set immunoregulatory receptor\t"B7H5|DD1alpha"\tC10orf54\tENSG00000107738
HGNC:2\tESR1\testrogen receptor 1\t"NR3A1|Era"\tESR\tENSG00000091831
HGNC:3\tLONELY\tno other names\t\t\t
"""


def table(tmp_path: Path, text: str = HGNC) -> Path:
    path = tmp_path / "gene_names.tsv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("said", "symbol"),
    [
        ("HER2", "ERBB2"),
        ("her-2", "ERBB2"),
        ("ER", "ESR1"),
        ("PR", "PGR"),
        ("Ki67", "MKI67"),
        ("ki-67", "MKI67"),
        ("PD-L1", "CD274"),
        ("pdl1", "CD274"),
        ("CD20", "MS4A1"),
        ("p53", "TP53"),
        ("CK 5", "KRT5"),
        ("ck19", "KRT19"),
        ("α-SMA", "ACTA2"),
        ("E‑cadherin", "CDH1"),  # a hyphen that does not break
        ("foxp3", None),  # a symbol needs no other name
    ],
)
def test_what_pathologists_say(said: str, symbol: str | None) -> None:
    found = common_names().symbols.get(fold(said))
    assert found == (None if symbol is None else [symbol])


def test_a_name_may_stand_for_several_genes_and_none_is_listed_twice() -> None:
    names = common_names()
    assert names.symbols["cd3"] == ["CD3D", "CD3E", "CD3G"]
    for symbol, said in gene_names._SAID.items():
        keys = [fold(name) for name in (symbol, *said.split("|"))]
        assert len(set(keys)) == len(keys), symbol


def test_ensembl_ids_without_their_version() -> None:
    assert fold("ENSG00000141736.13") == fold("ensg00000141736")
    assert fold("RP11-206L10.2") == "rp11206l10.2"  # a clone's name ends in no version


def test_the_user_s_own_table(tmp_path: Path, monkeypatch) -> None:
    names = load_names(table(tmp_path))
    assert names.symbols[fold("B7-H5")] == ["VSIR"]
    assert names.earlier["VSIR"] == ["C10orf54"]
    assert names.later["C10orf54"] == ["VSIR"]
    assert names.ids["ensg00000107738"] == "VSIR"
    assert names.symbols["er"] == ["ESR1"]  # what is built in stays
    assert names.symbols["lonely"] == ["LONELY"]
    monkeypatch.setattr(gene_names, "names_file", lambda: tmp_path / "gene_names.tsv")
    assert "lonely" in load_names().symbols


@pytest.mark.parametrize("text", ["gene,alias\nA,B\n", "", 'symbol\talias_symbol\nA\t"x\0|y"\n'])
def test_a_table_that_is_none_says_so_in_one_line(tmp_path: Path, text: str) -> None:
    path = table(tmp_path, text)
    if "\0" in text:
        path.write_bytes(b"symbol\n\xff\xfe\n")
    with pytest.raises(Nh2stError, match="gene_names") as told:
        load_names(path)
    assert "\n" not in str(told.value)
    with pytest.raises(Nh2stError, match="cannot read the gene names"):
        load_names(tmp_path / "absent.tsv")
