"""`nh2st sheet` as a contract: sections of a folder, what each lacks, patients, and a sheet that stays."""

import csv
import json

import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import read_sheet
from napari_nh2st.expression.transform import Transform
from napari_nh2st.expression.transform_files import write_transform
from support import assays
from support.sections import section


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "study"
    (folder / "more").mkdir(parents=True)
    section(folder, "A1", "?", 1, side=800)
    section(folder / "more", "B7", "?", 2, side=800)
    (folder / "C9.h5ad").write_bytes((folder / "A1.h5ad").read_bytes())  # without a slide
    return folder


def test_sections_are_listed_with_what_they_lack_and_a_person_fills_in(nh2st, folder):
    out = folder / "samples.csv"
    status, printed, err = nh2st("sheet", folder, "--out", out)
    assert status == 0, err
    rows = [line.split() for line in printed.splitlines()]
    assert rows[0] == ["sample", "patient", "format", "um/px", "lacks"]
    assert rows[1:3] == [["A1", "-", "h5ad", "1", "patient"], ["B7", "-", "h5ad", "1", "patient"]]
    assert "C9 (C9.h5ad): no image was found for it" in err
    with pytest.raises(SampleError, match="line 2: it leaves patient empty"):
        read_sheet(out)
    out.write_text(out.read_text().replace("A1,,", "A1,P1,").replace("B7,,", "B7,P2,"))
    assert [s.patient for s in read_sheet(out)] == ["P1", "P2"]
    kept = out.read_text()
    status, _, err = nh2st("sheet", folder, "--out", out)
    assert (status, out.read_text()) == (1, kept)
    assert "is there already: choose another --out, or replace it with --overwrite" in err
    assert nh2st("sheet", folder, "--out", out, "--overwrite")[0] == 0
    assert out.read_text() != kept


@pytest.mark.parametrize("rule", ["^([A-Z])", "[A-Z]"])
def test_patients_from_a_pattern(nh2st, folder, rule):
    status, out, err = nh2st("sheet", folder, "--out", folder / "s.csv", "--patients", rule, "--json")
    assert status == 0, err
    said = json.loads(out)
    assert [(s["sample"], s["patient"], s["lacks"]) for s in said["sections"]] == [("A1", "A", []), ("B7", "B", [])]
    assert [s.patient for s in read_sheet(folder / "s.csv")] == ["A", "B"]


def test_patients_from_the_folder_and_from_a_table(nh2st, folder, tmp_path):
    assert nh2st("sheet", folder, "--out", folder / "s.csv", "--patients", r"^(\w+)/")[0] == 0
    assert ",more/B7.tif," in (folder / "s.csv").read_text()
    assert "B7,more," in (folder / "s.csv").read_text()
    (tmp_path / "p.csv").write_text("slide;Patient\nA1.tif;P 1\nb7;P 2\n")
    status, _, err = nh2st("sheet", folder, "--out", folder / "t.csv", "--patients", tmp_path / "p.csv")
    assert status == 0, err
    assert [s.patient for s in read_sheet(folder / "t.csv")] == ["P 1", "P 2"]


def test_a_transform_beside_the_counts_is_taken_along(nh2st, folder):
    write_transform(Transform.scaled(2, 0, 0), folder / "A1_transform.json")
    assert nh2st("sheet", folder, "--out", folder / "s.csv", "--patients", ".")[0] == 0
    first, second = read_sheet(folder / "s.csv")
    assert (first.transform, second.transform) == (folder / "A1_transform.json", None)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["{0}/nowhere"], 2, "there is no folder"),
        (["{0}", "--patients", "(["], 1, "is neither a table that is there nor a pattern"),
        (["{0}", "--patients", "{0}/wrong.csv"], 1, "lacks the column patient; it has sample and patient"),
        (["{0}/empty"], 1, "no section was found"),
    ],
)
def test_what_cannot_be_listed_is_one_line(nh2st, folder, tmp_path, words, status, said):
    (folder / "wrong.csv").write_text("sample,who\nA1,P\n")
    (folder / "empty").mkdir()
    found, _, err = nh2st("sheet", *[w.format(folder) for w in words], "--out", tmp_path / "s.csv")
    assert found == status
    assert said in err
    assert not (tmp_path / "s.csv").exists()


def test_folders_of_assays_are_listed_and_say_that_they_need_a_transform(nh2st, tmp_path):
    made = assays.tissue(rows=1, columns=1)
    for name, write in {"X1": assays.xenium, "M1": assays.merscope, "B1": assays.slide_seq}.items():
        write(tmp_path / name, made)
        assays.slide(tmp_path / name / f"{name}.tif")
    assays.xenium(tmp_path / "X2", made, matrix=None)
    assays.slide(tmp_path / "X2" / "X2.tif")
    _, printed, _ = nh2st("sheet", tmp_path, "--out", tmp_path / "s.csv", "--json")
    told = json.loads(printed)
    assert told["says"] == []
    lacking = {row["sample"]: row["lacks"] for row in told["sections"]}
    assert lacking == {
        "X1": ["patient"],
        **{name: ["transform", "patient"] for name in ("M1", "B1", "X2")},
    }
    with (tmp_path / "s.csv").open() as file:
        assert {row["mpp"] for row in csv.DictReader(file)} == {"0.5"}
