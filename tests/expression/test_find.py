import gzip
import shutil
from dataclasses import replace

import anndata as ad
import numpy as np
import pytest

from napari_nh2st.errors import Cancelled, SampleError
from napari_nh2st.expression import find, read_sheet, write_sheet
from napari_nh2st.expression.find import find_sections, patient_of
from support import visium

COUNTS, POSITIONS = "\tA\tB\n1x2\t3\t4\n", "x\ty\tpixel_x\tpixel_y\n1\t2\t10\t20\n"


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def h5ad(path, **about):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = ad.AnnData(np.ones((3, 2), np.float32))
    data.obsm["spatial"] = np.zeros((3, 2))
    if "obs" in about:
        data.obs["patient"] = about["obs"]
    data.uns.update(about.get("uns", {}))
    data.write_h5ad(path)


def st(folder, name):
    with gzip.open(folder / f"{name}.tsv.gz", "wt") as file:
        file.write(COUNTS)
    (folder / f"{name}_selection.tsv").write_text(POSITIONS)


def pairs(folder, **how):
    samples, says = find_sections(folder, **how)
    return [(s.sample, s.slide.name, s.expression.name, s.format) for s in samples], says


def test_images_with_counts_of_the_same_name(tmp_path):
    h5ad(tmp_path / "A.h5ad")
    st(tmp_path, "B")
    touch(tmp_path / "A.ome.tif", tmp_path / "B.jpg", tmp_path / "other.png", tmp_path / "notes.txt")
    assert pairs(tmp_path) == ([("A", "A.ome.tif", "A.h5ad", "h5ad"), ("B", "B.jpg", "B.tsv.gz", "st-tsv")], [])
    assert find_sections(tmp_path)[0][1].spots == tmp_path / "B_selection.tsv"


def test_images_and_counts_in_folders_of_their_own(tmp_path):
    h5ad(tmp_path / "st" / "T1.h5ad")
    touch(tmp_path / "wsis" / "T1.tif", tmp_path / "thumbnails" / "T1.jpg")
    assert pairs(tmp_path) == ([("T1", "T1.tif", "T1.h5ad", "h5ad")], [])


def test_a_sheet_in_the_folder_says_what_its_sections_are(tmp_path):
    for name in "AB":
        h5ad(tmp_path / f"{name}.h5ad")
        touch(tmp_path / f"{name}.tif")
    line = "sample,patient,slide,expression,format\nA,P1,A.tif,A.h5ad,h5ad\n"
    (tmp_path / "mine.csv").write_text(line)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    samples, says = find_sections(tmp_path)
    assert ([(s.sample, s.patient) for s in samples], says) == ([("A", "P1")], [])
    (tmp_path / "second.csv").write_text(line)
    samples, says = find_sections(tmp_path)
    assert [s.sample for s in samples] == ["A", "B"]
    assert says == ["mine.csv, second.csv: there are several sample sheets, choose one of them instead"]
    (tmp_path / "samples.csv").write_text(line.replace("A.tif", "gone.tif"))
    samples, says = find_sections(tmp_path)
    assert samples == []
    assert "there is no" in says[0]


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("V1/scan.tif", True),
        ("V1/outs/V1.tif", True),
        ("V1.tif", True),
        ("V1_fullres.jpg", True),
        ("images/V1.tif", True),
        ("V1/outs/spatial/tissue_hires_image.png", False),
        ("V10.tif", False),
    ],
)
def test_a_visium_folder_with_the_image_that_belongs_to_it(tmp_path, image, found):
    visium.outs(tmp_path / "V1", [[1]], ["A"])
    touch(tmp_path / image)
    samples, says = find_sections(tmp_path)
    if found:
        assert [(s.sample, s.slide, s.format, s.patient) for s in samples] == [("V1", tmp_path / image, "visium", "")]
        assert says == []
    else:
        assert samples == []
        assert "V1 (outs): no image was found for it" in says[1]


def test_a_visium_image_is_not_that_of_the_section_next_to_it(tmp_path):
    for name in ("V1", "V1_b"):
        visium.outs(tmp_path / name, [[1]], ["A"])
    touch(tmp_path / "V1_b.tif", tmp_path / "V1_scan.tif")
    found, _ = pairs(tmp_path)
    assert [(name, slide) for name, slide, *_ in found] == [("V1", "V1_scan.tif"), ("V1_b", "V1_b.tif")]
    for chosen in (tmp_path / "V1_b", tmp_path / "V1_b" / "outs"):
        shutil.copy(tmp_path / "V1_b.tif", tmp_path / "V1_b" / "x.tif")
        assert [s.slide.name for s in find_sections(chosen)[0]] == ["x.tif"]


def test_what_is_not_understood_is_told(tmp_path):
    h5ad(tmp_path / "alone.h5ad")
    h5ad(tmp_path / "two.h5ad")
    touch(tmp_path / "two.tif", tmp_path / "two.svs")
    st(tmp_path, "lost")
    (tmp_path / "lost_selection.tsv").unlink()
    touch(tmp_path / "lost.png")
    samples, says = find_sections(tmp_path)
    assert samples == []
    assert says[0].startswith(f"No section was found in {tmp_path}: looked for a sample sheet")
    assert says[1:] == [
        "alone (alone.h5ad): no image was found for it; name its image alone.tif, or put it beside it",
        "lost.tsv.gz: no table of the spots' positions lies beside it (lost_selection.tsv)",
        "two (two.h5ad): which is its image, two.svs or two.tif? Name it in a sample sheet",
    ]


def test_an_export_of_ours_is_no_measurement(tmp_path):
    h5ad(tmp_path / "A.h5ad", uns={"nh2st": {"content": "predicted expression, not a measurement"}})
    touch(tmp_path / "A.tif")
    samples, says = find_sections(tmp_path)
    assert (samples, len(says)) == ([], 1)


def test_names_that_stand_there_twice_get_their_folder(tmp_path):
    for place in ("one", "two"):
        h5ad(tmp_path / place / "S.h5ad")
        touch(tmp_path / place / "S.tif")
    samples, _ = find_sections(tmp_path)
    assert [(s.sample, s.slide.parent.name) for s in samples] == [("one-S", "one"), ("two-S", "two")]


@pytest.mark.parametrize(
    ("about", "patient"),
    [
        ({"obs": ["P7"] * 3}, "P7"),
        ({"uns": {"patient": "P7"}}, "P7"),
        ({"obs": ["P7", "P7", "P8"]}, ""),
        ({"obs": ["P7"] * 3, "uns": {"patient": "P8"}}, ""),
        ({"obs": [np.nan] * 3}, ""),
        ({}, ""),
    ],
)
def test_the_patient_is_taken_where_the_file_names_one(tmp_path, about, patient):
    h5ad(tmp_path / "A.h5ad", **about)
    touch(tmp_path / "A.tif")
    assert find_sections(tmp_path)[0][0].patient == patient


def test_what_is_no_h5ad_names_no_patient(tmp_path):
    (tmp_path / "A.h5ad").write_bytes(b"nothing")
    assert patient_of(tmp_path / "A.h5ad") == ""


def test_the_walk_is_bounded_and_can_be_stopped(tmp_path, monkeypatch):
    deep = tmp_path / "a" / "b" / "c" / "d" / "e"
    h5ad(deep / "A.h5ad")
    touch(deep / "A.tif")
    samples, says = find_sections(tmp_path)
    assert samples == []
    assert "Only a part" in says[1]
    assert len(find_sections(tmp_path / "a")[0]) == 1
    monkeypatch.setattr(find, "_MOST", 1)
    assert any("Only a part" in line for line in find_sections(tmp_path / "a")[1])
    with pytest.raises(Cancelled):
        find_sections(tmp_path, cancelled=lambda: True)
    with pytest.raises(SampleError, match="there is no folder"):
        find_sections(tmp_path / "nowhere")


def test_the_images_are_those_that_the_viewer_opens():
    reader = pytest.importorskip("napari_nh2st.viewer.reader")
    assert set(find.WHOLE_SLIDES + find.PICTURES) == set(reader._SUFFIXES) - set(reader._OVERVIEWS)


def test_the_real_sections_are_found(data_dir, tmp_path):
    samples, says = find_sections(data_dir / "her2st")
    assert [s.patient for s in samples] == ["B", "C", "C", "C", "C"]
    (tmp_path / "her2st").mkdir()
    for file in (data_dir / "her2st").iterdir():
        if file.suffix != ".csv":
            (tmp_path / "her2st" / file.name).symlink_to(file)
    found, more = find_sections(tmp_path)
    here = tmp_path / "her2st"  # links keep their own names
    assert [(s.sample, s.slide, s.spots) for s in found] == [
        (s.sample, here / s.slide.name, here / s.spots.name) for s in samples
    ]
    assert (says, more) == ([], [])
    write_sheet([replace(s, patient="P") for s in found], tmp_path / "samples.csv")
    assert [replace(s, patient="") for s in read_sheet(tmp_path / "samples.csv")] == found


def test_an_excel_workbook_in_place_of_a_sheet_is_named(tmp_path):
    (tmp_path / "samples.xlsx").write_bytes(b"PK\x03\x04")
    samples, says = find_sections(tmp_path)
    assert not samples
    assert "samples.xlsx: save its sample sheet as “CSV UTF-8”" in says


def test_what_is_given_together_is_sorted_and_completed_by_what_lies_beside_it(tmp_path):
    h5ad(tmp_path / "A.h5ad")
    st(tmp_path, "B")
    touch(tmp_path / "A.ome.tif", tmp_path / "B.jpg", tmp_path / "lonely.tif", tmp_path / "notes.docx")
    h5ad(tmp_path / "more" / "C.h5ad")
    touch(tmp_path / "more" / "C.tif")
    sheet = tmp_path / "own.csv"
    write_sheet([replace(find_sections(tmp_path)[0][0], sample="S", patient="P")], sheet)

    def among(*names):
        samples, says = find.sections_among([tmp_path / name for name in names])
        return [(s.sample, s.slide.name, s.expression.name) for s in samples], says

    for names in (["A.ome.tif"], ["A.h5ad"], ["A.ome.tif", "A.h5ad"]):
        assert among(*names) == ([("A", "A.ome.tif", "A.h5ad")], [])
    assert among("own.csv", "B.tsv.gz", "B_selection.tsv", "more") == (
        [("S", "A.ome.tif", "A.h5ad"), ("C", "C.tif", "C.h5ad"), ("B", "B.jpg", "B.tsv.gz")],
        [],
    )
    samples, says = among("notes.docx", "lonely.tif")
    assert samples == []
    assert [text.partition(":")[0] for text in says] == ["notes.docx", "lonely.tif"]
