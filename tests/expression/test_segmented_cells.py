"""Cells of Visium HD: outlines in GeoJSON, read feature by feature, and the counts of the bins within them."""

import json

import numpy as np
import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, cell_outlines, read_expression
from napari_nh2st.expression.detect import detect
from napari_nh2st.expression.find import find_sections
from support import assays
from support.slides import tiff

FORM = "visium-hd-cells"


def read(folder, **more):
    return read_expression(Sample("S", "P", folder / "S.tif", folder, FORM, **more))


@pytest.fixture(scope="module")
def made():
    return assays.tissue()


def inside(folder):
    return folder / "outs" / "segmented_outputs"


def outlines(path, *geometries, ids=None):
    kinds = {2: "Polygon", 3: "MultiPolygon"}
    features = [
        {
            "type": "Feature",
            "geometry": None if rings is None else {"type": kinds[np.ndim(rings[0])], "coordinates": rings},
            "properties": {"cell_id": i + 1 if ids is None else ids[i]},
        }
        for i, rings in enumerate(geometries)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
HOLE = [[2, 0], [4, 0], [4, 4], [2, 4], [2, 0]]
BESIDE = [[8, 0], [12, 0], [12, 4], [8, 4], [8, 0]]


def centres(path):
    found = cell_outlines.read(path).arrays()
    return dict(zip(found["cell"].tolist(), np.stack([found["x"], found["y"]], axis=1).tolist(), strict=True))


def test_cells_are_pooled_to_places(tmp_path, made):
    data = read(assays.visium_hd_cells(tmp_path, made))
    found = {
        (r, c): x.tolist() for r, c, x in zip(data.obs.array_row, data.obs.array_col, data.X.toarray(), strict=True)
    }
    assert found == made.at_places()
    pixels = assays.PLACE / assays.MPP
    assert data.uns["frame"] == {"spot_diameter": pixels, "shape": (1340, 1790), "within": 5}
    assert data.uns["nh2st"]["says"] == [f"its {len(made.counts):,} cells are pooled to 24 places of 112 µm"]
    assert data.uns["nh2st"]["pooled"]["sure"]


def test_a_folder_is_recognised_and_bins_go_before_cells(tmp_path, made):
    outs = assays.visium_hd_cells(tmp_path / "HD 1", made) / "outs"
    place = outs / "segmented_outputs"
    for path in (tmp_path / "HD 1", outs):
        found = detect([path])
        assert (found.name, found.format, found.expression) == ("HD 1", FORM, outs)
    assays.visium_hd(tmp_path / "HD 1", made)
    for path in (place, place / "filtered_feature_cell_matrix.h5"):
        found = detect([path])
        assert (found.name, found.format, found.expression) == ("HD 1", FORM, place)
    assert detect([outs]).format == "visium-hd"
    bins = read_expression(Sample("S", "P", tmp_path, outs, "visium-hd"))
    assert (
        "bins are read, not the cells of segmented_outputs: name that folder to have those" in bins.uns["nh2st"]["says"]
    )
    assert (read(outs).X != read(place).X).nnz == 0


def test_it_is_found_with_its_image(tmp_path, made):
    assays.visium_hd_cells(tmp_path / "HD 1", made)
    tiff(tmp_path / "HD 1" / "he.tif", np.zeros((8, 8, 3), np.uint8))
    (sample,), says = find_sections(tmp_path)
    assert (sample.sample, sample.format, sample.slide.name, says) == ("HD 1", FORM, "he.tif", [])


def test_centres_of_area(tmp_path):
    path = outlines(tmp_path / "c.geojson", [SQUARE], [SQUARE, HOLE], [[SQUARE], [BESIDE]], [SQUARE[::-1]])
    assert centres(path) == {1: [2, 2], 2: [1, 2], 3: [6, 2], 4: [2, 2]}


def test_polygons_of_one_cell_and_names_instead_of_numbers(tmp_path):
    path = outlines(tmp_path / "c.geojson", [SQUARE], [BESIDE], [SQUARE], ids=["cellid_000000007-1", 7, 3.0])
    assert centres(path) == {3: [2, 2], 7: [6, 2]}


def test_outlines_without_an_area_have_no_place(tmp_path):
    path = outlines(tmp_path / "c.geojson", [SQUARE], None, [SQUARE[:2]])
    assert centres(path) == {1: [2, 2]}


@pytest.mark.parametrize("part", [1, 7, 64, 1000])
def test_it_is_read_part_by_part(tmp_path, monkeypatch, part):
    whole = outlines(tmp_path / "c.geojson", *[[np.add(SQUARE, i).tolist()] for i in range(50)])
    there = centres(whole)
    assert there == {i + 1: [2 + i, 2 + i] for i in range(50)}
    monkeypatch.setattr(cell_outlines, "_PART", max(part, 60) if part == 1 else part + 60)
    assert centres(whole) == there


def test_a_cell_without_an_outline_is_counted(tmp_path, made):
    folder = assays.visium_hd_cells(tmp_path, made)
    _outlines(lambda all_of_them: all_of_them[5:])(inside(folder))
    said = "5 cells of filtered_feature_cell_matrix.h5 have no position, and are left out"
    assert said in read(folder).uns["nh2st"]["says"]


def _outlines(change):
    def write(place):
        path = place / "cell_segmentations.geojson"
        whole = json.loads(path.read_text())
        path.write_text(json.dumps(whole | {"features": change(whole["features"])}))

    return write


def _drop(name):
    return lambda place: (place / name).unlink()


def _cut(place):
    path = place / "cell_segmentations.geojson"
    path.write_text(path.read_text()[:-200])


def _text(text):
    return lambda place: (place / "cell_segmentations.geojson").write_text(text)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_drop("filtered_feature_cell_matrix.h5"), "holds no cells of Visium HD"),
        (_drop("cell_segmentations.geojson"), "lacks cell_segmentations.geojson"),
        (_cut, "cell_segmentations.geojson: it is damaged or cut off"),
        (_text(""), "it has no features"),
        (_text('{"features": [1]}'), "a feature is none"),
        (_text('{"features": []}'), "it holds no outlines of cells"),
        (_text('{"features": [' + "[" * 100_000), "cell_segmentations.geojson"),
        (_text('{"features": [{"properties": {"cell_id": ' + "9" * 5000 + "}}]}"), "cell_segmentations.geojson"),
        (_outlines(lambda f: [g | {"properties": {}} for g in f]), "no number in its property cell_id"),
        (_outlines(lambda f: [g | {"properties": {"cell_id": True}} for g in f]), "no number in its property cell_id"),
        (_outlines(lambda f: [g | {"geometry": {"type": "Point", "coordinates": [1, 2]}} for g in f]), "kind Point"),
        (
            _outlines(lambda f: [g | {"geometry": {"type": "Polygon", "coordinates": [[1, 2]]}} for g in f]),
            "no list of",
        ),
        (
            _outlines(lambda f: [g | {"geometry": {"type": "Polygon", "coordinates": 3}} for g in f]),
            "no list of points",
        ),
        (_outlines(lambda f: [g | {"properties": {"cell_id": 10**9 + i}} for i, g in enumerate(f)]), "share none of"),
    ],
)
def test_a_damaged_folder_is_one_line(tmp_path, made, damage, words):
    folder = assays.visium_hd_cells(tmp_path, made)
    damage(inside(folder))
    with pytest.raises(SampleError, match=words) as caught:
        read(folder)
    assert "\n" not in str(caught.value)
