"""Cells of Xenium, MERSCOPE and CosMx: joined by name, pooled, laid on the H&E by a matrix."""

import gzip
import json
import re
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, cell_table, read_expression
from napari_nh2st.expression.detect import detect
from napari_nh2st.expression.find import find_sections
from napari_nh2st.expression.transform import NOWHERE_ELSE, Transform
from napari_nh2st.training.sections.array_pitch import array_pitch
from support import assays
from support.slides import tiff

SAYS = "are pooled to 24 places of 112 µm"


def read(folder, form="xenium", **more):
    return read_expression(Sample("S", "P", folder / "S.tif", folder, form, **more))


@pytest.fixture(scope="module")
def made():
    return assays.tissue()


def totals(data):
    return dict(zip(data.var_names, np.asarray(data.X.sum(axis=0)).ravel().tolist(), strict=True))


def of(made):
    return dict(zip(assays.GENES, made.counts.sum(axis=0).tolist(), strict=True))


@pytest.mark.parametrize("parquet", [True, False])
def test_cells_of_xenium_without_its_controls(tmp_path, made, parquet):
    data = read(assays.xenium(tmp_path, made, parquet=parquet))
    assert totals(data) == of(made)
    says = data.uns["nh2st"]["says"]
    assert "1 features that are not genes are left out (Negative Control Probe)" in says
    assert any(SAYS in line for line in says)
    assert data.uns["frame"]["spot_diameter"] == pytest.approx(assays.PLACE / assays.MPP)


def test_without_a_matrix_it_says_what_is_needed(tmp_path, made):
    assays.xenium(tmp_path, made, matrix=None)
    with pytest.raises(SampleError, match="put the matrix that Xenium Explorer writes for the H&E") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    given = read(tmp_path, transform=Transform.of(assays.ON_SLIDE))
    assays.xenium(tmp_path, made)
    assert np.allclose(read(tmp_path).obsm["spatial"], given.obsm["spatial"])


def test_the_sheets_transform_goes_before_the_folders_matrix(tmp_path, made):
    assays.xenium(tmp_path, made, matrix=np.diag([3.0, 3.0, 1.0]))
    turned = read(tmp_path, transform=Transform.of(assays.ON_SLIDE)).obsm["spatial"]
    assays.xenium(tmp_path, made)
    assert np.allclose(turned, read(tmp_path).obsm["spatial"])


def test_of_several_matrices_that_of_the_he_image(tmp_path, made):
    assays.xenium(tmp_path, made)
    before = read(tmp_path).obsm["spatial"]
    (tmp_path / "S_if_imagealignment.csv").write_text("1,0,0\n0,1,0\n0,0,1\n")
    assert np.array_equal(read(tmp_path).obsm["spatial"], before)
    (tmp_path / "S_he_imagealignment.csv").rename(tmp_path / "other_imagealignment.csv")
    with pytest.raises(SampleError, match="holds several matrices"):
        read(tmp_path)


def test_a_folder_of_xenium_is_found_with_its_he_and_not_with_dapi(tmp_path, made):
    folder = assays.xenium(tmp_path / "X1" / "outs", made)
    for path in (tmp_path / "X1", folder, folder / "experiment.xenium", folder / "cell_feature_matrix.h5"):
        found = detect([path])
        assert (found.name, found.format, found.expression) == ("X1", "xenium", folder)
    samples, says = find_sections(tmp_path)
    assert (samples, len(says)) == ([], 2)
    tiff(folder / "S_he_image.ome.tif", np.zeros((8, 8, 3), np.uint8))
    ((sample,), _) = find_sections(tmp_path)
    assert (sample.format, sample.slide.name) == ("xenium", "S_he_image.ome.tif")


def _write(name, text):
    return lambda folder: (folder / name).write_text(text)


def _cut(folder):
    path = folder / "cells.parquet"
    path.write_bytes(path.read_bytes()[:100])


def _cells(change):
    def write(folder):
        (folder / "cells.parquet").unlink()
        change(pd.read_csv(folder / "cells.csv.gz")).to_csv(folder / "cells.csv.gz", index=False)

    return write


def _no_cells(folder):
    (folder / "cells.parquet").unlink()
    (folder / "cells.csv.gz").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_no_cells, "lacks cells.parquet or cells.csv.gz"),
        (lambda folder: (folder / "cell_feature_matrix.h5").unlink(), "is no folder of Xenium"),
        (lambda folder: (folder / "cell_feature_matrix.h5").write_bytes(b""), "cell_feature_matrix.h5"),
        (_cut, "cells.parquet"),
        (_cells(lambda t: t.drop(columns="x_centroid")), "cells.csv.gz lacks the column x_centroid"),
        (_cells(lambda t: t.assign(y_centroid="here")), "y_centroid holds something other than numbers"),
        (_cells(lambda t: t.assign(x_centroid=np.nan)), "positions that are not numbers"),
        (_cells(lambda t: t.assign(cell_id="one")), "cells.csv.gz names one twice"),
        (_cells(lambda t: t.assign(cell_id=t.cell_id + "0")), "share none of their cells"),
        (_cells(lambda t: t.iloc[:0]), "cells.csv.gz"),
        (_write("experiment.xenium", "{}"), "does not say how large a pixel is"),
        (_write("experiment.xenium", "{"), "experiment.xenium"),
        (_write("experiment.xenium", json.dumps({"pixel_size": 0})), "does not say how large a pixel is"),
        (_write("S_he_imagealignment.csv", "1,2\n3,4\n"), "imagealignment.csv"),
    ],
)
def test_a_damaged_folder_of_xenium_is_one_line(tmp_path, made, damage, words):
    assays.xenium(tmp_path, made)
    damage(tmp_path)
    with pytest.raises(SampleError, match=words) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_xeniums_pixels_where_its_experiment_is_missing(tmp_path, made):
    assays.xenium(tmp_path, made)
    (tmp_path / "experiment.xenium").unlink()
    data = read(tmp_path, pool=30.0)
    assert "experiment.xenium is missing: 0.2125 µm per pixel of Xenium's image are taken" in data.uns["nh2st"]["says"]


def test_cells_of_merscope_and_cosmx_are_the_same(tmp_path, made):
    merscope = read(assays.merscope(tmp_path / "m", made), "cell-table", transform=Transform.of(assays.ON_SLIDE))
    matrix = assays.ON_SLIDE @ np.diag([assays.COSMX_MPP, assays.COSMX_MPP, 1])
    cosmx = read(assays.cosmx(tmp_path / "c", made), "cell-table", transform=Transform.of(matrix))
    assert totals(merscope) == totals(cosmx) == of(made)
    assert np.allclose(merscope.obsm["spatial"], cosmx.obsm["spatial"])
    assert (merscope.X != cosmx.X).nnz == 0
    assert merscope.uns["nh2st"]["says"][0] == "1 control probes are left out (Blank-1)"
    assert cosmx.uns["nh2st"]["says"][:2] == [
        "2 control probes are left out (Negative1, SystemControl7)",
        "1 cells of S_exprMat_file.csv have no position, and are left out",
    ]


GUESSED = "its files do not say how large a pixel is: 0.12028 µm are taken"
WIDE = "its fields are wider than 4,256 pixels, as those of CosMx's first instruments: 0.18 µm per pixel are taken"
TOLD = "a pixel has {} µm by S_fov_positions_file.csv, which has places in pixels and in mm"


@pytest.mark.parametrize(
    ("mpp", "how", "said"),
    [
        (0.12028, {}, GUESSED),
        (0.12028, {"field": 4200, "positions": "px"}, GUESSED),
        (0.18, {"field": 5400, "positions": "px"}, WIDE),
        (0.18, {"positions": "px mm"}, TOLD.format("0.18")),
        (0.12028, {"positions": "px mm"}, TOLD.format("0.12028")),
        (0.169, {"field": 5400, "positions": "px mm"}, TOLD.format("0.169")),
    ],
)
def test_pixels_of_cosmx_are_as_its_files_tell(tmp_path, made, mpp, how, said):
    matrix = assays.ON_SLIDE @ np.diag([mpp / assays.OWN_MPP, mpp / assays.OWN_MPP, 1])
    data = read(assays.cosmx(tmp_path, made, mpp=mpp, **how), "cell-table", transform=Transform.of(matrix))
    assert totals(data) == of(made)
    (line,) = [
        line for line in data.uns["nh2st"]["says"] if "µm are taken" in line or "µm per" in line or "by S_" in line
    ]
    assert line.startswith(said)
    assert data.uns["nh2st"]["pooled"]["sure"] == ("by S_" in line)


def _places(change):
    return _table("S_fov_positions_file.csv", change)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(x_global_mm=[0.0, 9.0, 5.0]),
        lambda t: t.iloc[:1],
        lambda t: t.iloc[:0],
        lambda t: t * [1, 1, 1, 1e-6, 1e-6],
        lambda t: t.assign(y_global_mm=np.nan),
    ],
)
def test_places_of_fields_that_tell_no_pixel_size_are_not_believed(tmp_path, made, change):
    folder = assays.cosmx(tmp_path, made, positions="px mm")
    _places(change)(folder)
    matrix = assays.ON_SLIDE @ np.diag([assays.COSMX_MPP / assays.OWN_MPP, assays.COSMX_MPP / assays.OWN_MPP, 1])
    data = read(folder, "cell-table", transform=Transform.of(matrix))
    assert any(line.startswith(GUESSED) for line in data.uns["nh2st"]["says"])


def test_a_sheets_pixel_size_goes_before_a_guess_once_the_cells_are_laid(tmp_path, made):
    folder = assays.cosmx(tmp_path, made, mpp=0.18)
    matrix = Transform.of(assays.ON_SLIDE @ np.diag([0.18 / assays.OWN_MPP, 0.18 / assays.OWN_MPP, 1]))
    laid = read(folder, "cell-table", transform=matrix, mpp=assays.MPP)
    assert (
        dict(laid.uns["nh2st"]["pooled"]) | {"sure": False, "guessed": False, "places": 24}
        == laid.uns["nh2st"]["pooled"]
    )
    guessed = read(folder, "cell-table", transform=matrix)
    assert guessed.uns["nh2st"]["pooled"]["guessed"]
    assert guessed.uns["nh2st"]["pooled"]["places"] != 24
    pitch = array_pitch(guessed, "cell-table")  # a doubt, no refusal
    assert (pitch.um, pitch.sure) == (assays.PLACE, False)
    nowhere = read(folder, "cell-table", transform=NOWHERE_ELSE, mpp=assays.MPP)  # the slide's: it says nothing here
    assert nowhere.uns["nh2st"]["pooled"] == guessed.uns["nh2st"]["pooled"]


def test_of_two_numbers_of_a_cell_that_of_its_field_counts(tmp_path, made):
    """AtoMx writes names of the whole slide beside them."""
    matrix = assays.ON_SLIDE @ np.diag([assays.COSMX_MPP / assays.OWN_MPP, assays.COSMX_MPP / assays.OWN_MPP, 1])
    folder = assays.cosmx(tmp_path, made)
    _table("S_metadata_file.csv", lambda t: t.assign(cell_id=[f"c_1_{i}" for i in t.index]))(folder)
    assert totals(read(folder, "cell-table", transform=Transform.of(matrix))) == of(made)


@pytest.mark.parametrize("name", ["X", "V1", "...1", "EntityID", "cell"])
@pytest.mark.parametrize("both", [False, True])
def test_cells_of_merscope_by_any_name_of_their_column(tmp_path, made, name, both):
    """R names a column without a name in its own ways."""
    folder = assays.merscope(tmp_path, made)
    files = ("cell_metadata.csv", "cell_by_gene.csv") if both else ("cell_metadata.csv",)
    for file in files:
        _table(file, lambda t: t.rename(columns={t.columns[0]: name}))(folder)
    assert totals(read(folder, "cell-table", transform=Transform.of(assays.ON_SLIDE))) == of(made)


def test_numbers_of_rows_beside_the_names_of_cells_are_no_gene(tmp_path, made):
    folder = assays.merscope(tmp_path, made)
    _table("cell_by_gene.csv", lambda t: t.rename_axis("X").reset_index())(folder)
    assert totals(read(folder, "cell-table", transform=Transform.of(assays.ON_SLIDE))) == of(made)


@pytest.mark.parametrize("parquet", [False, True])
@pytest.mark.parametrize("kind", [int, float])
def test_cells_of_xenium_with_numbers_for_names(tmp_path, made, kind, parquet):
    """As its first versions have them; R writes 1e+05, which becomes 100000.0."""
    folder = assays.xenium(tmp_path, made, parquet=parquet)
    cells = pd.read_csv(folder / "cells.csv.gz")
    numbers = cells.cell_id.str.slice(4, 8).astype(int) + 99_990
    for write in (
        cells.assign(cell_id=numbers.astype(kind)).to_csv,
        cells.assign(cell_id=numbers.astype(kind)).to_parquet,
    ):
        name = "cells.csv.gz" if write.__name__ == "to_csv" else "cells.parquet"
        if parquet or name == "cells.csv.gz":
            write(folder / name, index=False)
    with h5py.File(folder / "cell_feature_matrix.h5", "r+") as file:
        names = [str(int(name[4:8]) + 99_990).encode() for name in file["matrix/barcodes"][()]]
        del file["matrix/barcodes"]
        file["matrix/barcodes"] = names
    assert totals(read(folder)) == of(made)


@pytest.mark.parametrize("name", ["BLNK", "NEGR1", "Negr1", "BLANKET"])
def test_a_gene_named_like_a_control_is_kept(tmp_path, made, name):
    folder = assays.merscope(tmp_path, made)
    table = pd.read_csv(folder / "cell_by_gene.csv").rename(columns={"VIM": name})
    table.to_csv(folder / "cell_by_gene.csv", index=False)
    assert name in read(folder, "cell-table", transform=Transform.of(assays.ON_SLIDE)).var_names


@pytest.mark.parametrize("write", [assays.merscope, assays.cosmx])
def test_tables_of_cells_are_recognised_and_say_what_is_needed(tmp_path, made, write):
    folder = write(tmp_path / "M 1", made)
    counts = next(p for p in folder.iterdir() if "metadata" not in p.name)
    for path in (folder, counts):
        found = detect([path])
        assert (found.name, found.format, found.expression) == ("M 1", "cell-table", folder)
    with pytest.raises(SampleError, match="give a matrix or landmarks in the column transform"):
        read(folder, "cell-table")


def _table(name, change):
    def write(folder):
        change(pd.read_csv(folder / name)).to_csv(folder / name, index=False)

    return write


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "cell_metadata.csv").unlink(), "holds no cells"),
        (lambda folder: (folder / "cell_metadata.csv").write_text(""), "cell_metadata.csv: it is empty"),
        (_table("cell_metadata.csv", lambda t: t.drop(columns="center_y")), "lacks the column center_y"),
        (_table("cell_metadata.csv", lambda t: t.assign(center_x="a")), "center_x holds something other than numbers"),
        (_table("cell_by_gene.csv", lambda t: t.drop(columns="cell")), "lacks the column cell"),
        (_table("cell_by_gene.csv", lambda t: t.assign(ERBB2="a")), "'a' is not a count"),
        (_table("cell_by_gene.csv", lambda t: t.assign(ERBB2=0.5)), "holds no raw counts"),
        (_table("cell_by_gene.csv", lambda t: t.assign(cell=1)), "cell_by_gene.csv names 1 twice"),
        (_table("cell_by_gene.csv", lambda t: t.iloc[:0]), "cell_by_gene.csv has no cells"),
    ],
)
def test_damaged_tables_of_cells_are_one_line(tmp_path, made, damage, words):
    folder = assays.merscope(tmp_path, made)
    damage(folder)
    with pytest.raises(SampleError, match=words) as caught:
        read(folder, "cell-table", transform=Transform.of(assays.ON_SLIDE))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [1, 40, 5000])
@pytest.mark.parametrize("packed", [False, True])
def test_counts_are_read_part_by_part(tmp_path, made, monkeypatch, values, packed):
    folder = assays.cosmx(tmp_path, made)
    matrix = assays.ON_SLIDE @ np.diag([assays.COSMX_MPP / assays.OWN_MPP, assays.COSMX_MPP / assays.OWN_MPP, 1])
    whole = read(folder, "cell-table", transform=Transform.of(matrix))
    if packed:
        text = (folder / "S_exprMat_file.csv").read_bytes()
        (folder / "S_exprMat_file.csv.gz").write_bytes(gzip.compress(text))
        (folder / "S_exprMat_file.csv").unlink()
    monkeypatch.setattr(cell_table, "_PART", values)
    parts = read(folder, "cell-table", transform=Transform.of(matrix))
    assert (whole.X != parts.X).nnz == 0
    assert list(whole.var_names) == list(parts.var_names)


def _late(change):
    def write(folder):
        path = folder / "cell_by_gene.csv"
        lines = path.read_text().splitlines()
        lines[-2] = change(lines[-2])
        path.write_text("\n".join(lines) + "\n")

    return write


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_late(lambda line: line + ",9,9"), "line .* has 8 cells, the lines above 6"),
        (_late(lambda line: re.sub(r",\d+", ",b", line, count=1)), "'b' is not a count"),
        (_late(lambda line: re.sub(r",\d+", ",", line, count=1)), "holds no raw counts"),
        (_late(lambda line: re.sub(r",\d+", ',"1', line, count=1)), "a quote in row .* is never closed"),
    ],
)
def test_damage_far_below_is_one_line(tmp_path, made, monkeypatch, damage, words):
    folder = assays.merscope(tmp_path, made)
    damage(folder)
    monkeypatch.setattr(cell_table, "_PART", 2000)
    with pytest.raises(SampleError, match=words) as caught:
        read(folder, "cell-table", transform=Transform.of(assays.ON_SLIDE))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (lambda whole: gzip.compress(whole.encode())[:-90], "cut off|end-of-stream|Error"),
        (lambda whole: ("sep=;\n" + whole.replace(",", ";")).encode(), ""),
        (lambda whole: whole.replace(",", "\t").encode("utf-8-sig"), ""),
        (lambda whole: whole.encode("utf-16"), ""),
        (lambda whole: whole.encode() + b"\xff\xfe", "cannot read .*cell_by_gene.csv"),
        (lambda whole: (whole + "9" * 300_000).encode(), "a line is longer than"),
    ],
)
def test_tables_however_they_were_saved(tmp_path, made, monkeypatch, text, words):
    folder = assays.merscope(tmp_path, made)
    path = folder / "cell_by_gene.csv"
    path.write_bytes(text(path.read_text()))
    monkeypatch.setattr("napari_nh2st.reading.table._LONGEST_LINE", 100_000)
    if not words:
        assert totals(read(folder, "cell-table", transform=Transform.of(assays.ON_SLIDE))) == of(made)
        return
    with pytest.raises(SampleError, match=words) as caught:
        read(folder, "cell-table", transform=Transform.of(assays.ON_SLIDE))
    assert "\n" not in str(caught.value)


def test_the_order_of_cells_changes_nothing(tmp_path, made):
    order = np.random.default_rng(3).permutation(len(made.counts))
    other = replace(made, counts=made.counts[order], um=made.um[order], array=made.array[order])
    one, two = read(assays.xenium(tmp_path / "1", made)), read(assays.xenium(tmp_path / "2", other))
    assert (one.X != two.X).nnz == 0
    assert np.array_equal(one.obsm["spatial"], two.obsm["spatial"])
