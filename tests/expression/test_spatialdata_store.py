"""SpatialData stores, read without their package: shapes and image in their places, one clear line otherwise."""

import json
import shutil
import struct

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression, shapes_file
from napari_nh2st.expression.detect import detect
from napari_nh2st.expression.find import find_sections, sections_among
from napari_nh2st.expression.shapes_file import _centre
from support import assays
from support.slides import tiff

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SIDE = assays.PLACE / assays.MPP


@pytest.fixture(scope="module")
def made():
    return assays.tissue(rows=1, columns=2)


@pytest.fixture(scope="module")
def store(made, tmp_path_factory):
    return assays.spatialdata(tmp_path_factory.mktemp("store") / "S", made)


def read(path, **more):
    return read_expression(Sample("S", "P", path / "S.tif", path, "spatialdata", mpp=assays.MPP, **more))


def centres(data):
    return sorted(map(tuple, np.round(data.obsm["spatial"], 6).tolist()))


@pytest.mark.parametrize("version", [2, 3])
def test_cells_lie_where_their_shapes_and_the_image_say(tmp_path, made, version):
    data = read(assays.spatialdata(tmp_path / "S", made, version=version))
    assert centres(data) == [(1.5 * SIDE, 1.5 * SIDE), (2.5 * SIDE, 1.5 * SIDE)]
    assert data.X.sum(axis=0).tolist() == [made.counts.sum(axis=0).tolist()]
    assert data.uns["frame"]["shape"] == assays.SIZE


@pytest.mark.parametrize("version", [2, 3])
def test_cells_of_a_label_image_are_those_of_the_same_shapes(tmp_path, made, version):
    shapes = read(assays.spatialdata(tmp_path / "S", made))
    labels = read(assays.spatialdata(tmp_path / "L", made, version=version, labels=True))
    np.testing.assert_allclose(labels.obsm["spatial"], shapes.obsm["spatial"], atol=1e-9)
    assert labels.X.toarray().tolist() == shapes.X.toarray().tolist()
    assert labels.uns["nh2st"]["pooled"] == shapes.uns["nh2st"]["pooled"]
    assert labels.uns["frame"] == shapes.uns["frame"]


def test_labels_without_an_image_or_a_place_are_not_guessed(tmp_path, made):
    """The table has obsm["spatial"], and nothing says of which pixels."""
    path = assays.spatialdata(tmp_path / "S", made, labels=True)
    about = path / "labels" / "cells" / "zarr.json"
    facts = json.loads(about.read_text())
    facts["attributes"]["ome"]["multiscales"][0].pop("coordinateTransformations")
    about.write_text(json.dumps(facts))
    with pytest.raises(SampleError, match="does not say where it lies"):
        read(path)
    shutil.rmtree(path / "labels" / "cells")
    with pytest.raises(
        SampleError, match="names cells, which is not there: it should be about shapes, points or labels"
    ):
        read(path)


def test_a_label_that_is_not_there_is_lost_like_a_shape(tmp_path, made):
    path = assays.spatialdata(tmp_path / "S", made, labels=True)
    pixels = zarr.open_group(str(path / "labels" / "cells"), mode="r+")["0"]
    kept = pixels[:]
    kept[np.isin(kept, [3, 4])] = 0
    pixels[:] = kept
    with pytest.raises(SampleError, match="lacks 2 of the 392 labels that table is about"):
        read(path)


@pytest.fixture
def cohort(tmp_path, made):
    """A store of three sections, and the tissue of the two that are there."""
    other = assays.tissue(rows=1, columns=2, seed=1)
    return assays.spatialdata_cohort(tmp_path / "S", made, other), made, other


def test_each_region_of_a_store_is_read_by_its_folder(cohort):
    path, *sections = cohort
    for name, section in zip(("cells", "two"), sections, strict=True):
        data = read(path / "labels" / name)
        assert centres(data) == [(1.5 * SIDE, 1.5 * SIDE), (2.5 * SIDE, 1.5 * SIDE)]
        assert {tuple(row) for row in data.X.toarray().tolist()} == set(map(tuple, section.at_places().values()))
        assert data.uns["frame"]["shape"] == assays.SIZE
    assert not np.array_equal(*(section.counts for section in sections))


def test_a_store_of_several_regions_says_which_folders_to_choose_from(cohort):
    path, *_ = cohort
    for named in (path, path / "tables" / "table"):
        with pytest.raises(SampleError, match="is about 3 regions: give the folder of one instead") as caught:
            read(named)
        assert str(caught.value).endswith(": S.zarr/labels/cells, S.zarr/labels/two")
    shutil.copytree(path / "labels" / "two", path / "labels" / "four")
    with pytest.raises(SampleError, match="has no row about labels/four"):
        read(path / "labels" / "four")
    shutil.copytree(path / "tables" / "table", path / "tables" / "other")
    for name, words in (("four", "of S.zarr, no table is about it"), ("two", "several tables are .*name the folder")):
        with pytest.raises(SampleError, match=words):
            read(path / "labels" / name)


def test_a_sheet_has_a_row_for_each_region_and_finds_its_slide(cohort):
    path, *_ = cohort
    for asked in (path.parent, path):
        samples, says = find_sections(asked)
        assert [(s.sample, s.expression, s.slide) for s in samples] == [
            ("S-cells", path / "labels" / "cells", path / "images" / "he"),
            ("S-two", path / "labels" / "two", path / "images" / "second_he"),
        ]
        assert says == ["S.zarr: its table is about three too, which is not there"]
    tiff(path.parent / "second.tif", np.zeros((8, 8, 3), np.uint8))
    ((sample,), says) = sections_among([path / "labels" / "two"])
    assert (sample.sample, sample.slide, says) == ("S-two", path.parent / "second.tif", [])
    copied = shutil.copytree(path, path.parent / "deep" / "S.zarr")
    samples, _ = find_sections(path.parent)
    assert len({s.sample for s in samples}) == 4
    assert [s.expression for s in samples].count(copied / "labels" / "two") == 1


def test_fields_of_view_side_by_side_are_one_section(tmp_path, made):
    """Each has a label image and an image of its own; the section lies on the image that shows them all."""
    whole = read(assays.spatialdata(tmp_path / "S", made, labels=True))
    path = assays.spatialdata_fields(tmp_path / "F", made)
    fields = sorted((path / "labels").glob("*_labels"))
    assert len(fields) > 2
    data = read(path)
    np.testing.assert_allclose(data.obsm["spatial"], whole.obsm["spatial"], atol=1e-9)
    assert data.X.toarray().tolist() == whole.X.toarray().tolist()
    assert data.uns["frame"] == whole.uns["frame"]
    assert f"its {len(fields)} label images lie side by side, and are read as one section" in data.uns["nh2st"]["says"]
    ((sample,), says) = find_sections(path)
    assert (sample.sample, sample.expression, sample.slide, says) == ("F", path, path / "images" / "he", [])
    shutil.rmtree(path / "images" / "he")
    without = read(path)
    assert set(without.uns["frame"]) == {"spot_diameter"}  # no image shows half of them
    assert without.X.sum() == whole.X.sum()
    assert find_sections(path)[0] == []


def test_one_field_of_view_lies_on_its_own_image(tmp_path, made):
    path = assays.spatialdata_fields(tmp_path / "F", made)
    shutil.rmtree(path / "images" / "he")
    for field in sorted((path / "labels").glob("*_labels")):
        data = read(field)
        _, height, width = zarr.open_group(str(path / "images" / f"{field.name[0]}_image"), mode="r")["0"].shape
        assert data.uns["frame"]["shape"] == (height, width)
        assert ((data.obsm["spatial"] > 0) & (data.obsm["spatial"] < (width + SIDE, height + SIDE))).all()


def test_fields_that_lie_on_one_another_are_sections(tmp_path, made):
    path = assays.spatialdata_fields(tmp_path / "F", made)
    first, second = sorted((path / "labels").glob("*_labels"))[:2]
    for part in ("global", "only"):
        _edit(second.relative_to(path) / "zarr.json", _moved_to(first, part))(path)
    with pytest.raises(SampleError, match="give the folder of one instead"):
        read(path)


def _moved_to(other, system):
    steps = json.loads((other / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]
    (wanted,) = (s for s in steps["coordinateTransformations"] if s["output"]["name"] == system)

    def change(about):
        (scales,) = about["ome"]["multiscales"]
        kept = [s for s in scales["coordinateTransformations"] if s["output"]["name"] != system]
        scales["coordinateTransformations"] = [*kept, wanted]

    return change


@pytest.mark.parametrize("full", [True, False])
def test_a_store_of_visium_has_systems_of_its_own_and_small_pictures(tmp_path, made, full):
    """As spatialdata-io writes it: no system is called global, and the spots lie in that of each picture too."""
    size = assays.SIZE
    plain = read(assays.spatialdata(tmp_path / "P", made, circles=2.0, matrix=np.eye(3)))
    path = assays.spatialdata(tmp_path / "S", made, circles=2.0, matrix=np.eye(3))
    assays._image(path / "images" / "a_low", np.diag([0.125, 0.125, 1]), 3, size=(size[0] // 8, size[1] // 8))
    _edit("shapes/cells/zarr.json", _in_systems({"S_low": 0.125, "S": 1, "S_lower": 0.0625}))(path)
    _edit("images/he/zarr.json", _in_systems({"S": 1}))(path)
    _edit("images/a_low/zarr.json", _in_systems({"S_low": 0.125, "S": 1}))(path)
    if not full:
        shutil.rmtree(path / "images" / "he")
    data = read(path)
    np.testing.assert_allclose(data.obsm["spatial"], plain.obsm["spatial"], atol=1e-9)
    assert data.uns["frame"]["shape"] == pytest.approx(size, abs=8)
    assert data.uns["frame"]["spot_diameter"] == pytest.approx(plain.uns["frame"]["spot_diameter"])
    assert [s.slide.name for s in find_sections(path)[0]] == (["he"] if full else [])


def _in_systems(scales):
    """Put a step into each of several systems, so many times as large as the one that is there."""

    def change(about):
        owner = about["ome"]["multiscales"][0] if "ome" in about else about
        (step,) = owner["coordinateTransformations"]
        axes = [axis["name"] for axis in step["output"]["axes"]]
        after = {n: {**step, "type": "scale", "scale": [1 if a == "c" else k for a in axes]} for n, k in scales.items()}
        owner["coordinateTransformations"] = [
            {
                "type": "sequence",
                "transformations": [step, after[name]],
                "input": step["input"],
                "output": {**step["output"], "name": name},
            }
            for name in scales
        ]

    return change


def test_a_store_that_is_dropped_finds_the_slide_beside_it_else_its_own(tmp_path, store):
    path = shutil.copytree(store, tmp_path / "S.zarr")
    for part in (path, path / "shapes" / "cells"):
        ((sample,), says) = sections_among([part])
        assert (sample.slide, sample.expression, says) == (path / "images" / "he", part, [])
    tiff(tmp_path / "S_scan.tif", np.zeros((8, 8, 3), np.uint8))
    for part in (path, path / "shapes" / "cells"):
        ((sample,), says) = sections_among([part])
        assert (sample.slide.name, says) == ("S_scan.tif", [])


def test_spots_of_an_array_are_not_pooled_and_bins_that_touch_are(tmp_path, made):
    spots = read(assays.spatialdata(tmp_path / "spots", made, circles=2.0))
    assert spots.n_obs == len(made.counts)
    assert "pooled" not in spots.obs
    assert spots.uns["frame"]["spot_diameter"] == pytest.approx(4.0 * 2)  # own pixels, twice as wide as the slide's
    order = np.lexsort(made.pixels.T)
    assert np.allclose(spots.obsm["spatial"][np.lexsort(np.round(spots.obsm["spatial"], 3).T)], made.pixels[order])
    bins = read(assays.spatialdata(tmp_path / "bins", made, circles=4.0))
    assert bins.uns["nh2st"]["pooled"]["unit"] == "bins"


def test_a_picture_that_was_made_smaller_stands_for_the_full_image(tmp_path, made):
    path = assays.spatialdata(tmp_path / "S", made)
    about = path / "images" / "he" / "zarr.json"
    facts = json.loads(about.read_text())
    (scales,) = facts["attributes"]["ome"]["multiscales"]
    step = scales["coordinateTransformations"][0]
    scales["coordinateTransformations"] = [{**step, "type": "scale", "scale": [1, 4, 4]}]
    about.write_text(json.dumps(facts))
    data = read(path)
    assert data.uns["frame"]["shape"] == (4 * assays.SIZE[0], 4 * assays.SIZE[1])
    own = assays.own_pixels(made) * assays.OWN_MPP
    assert np.allclose(data.obsm["spatial"].mean(axis=0), own.mean(axis=0), atol=SIDE / 2)


def test_a_store_is_recognised_and_found_and_a_prediction_is_not(tmp_path, store):
    shutil.copytree(store, tmp_path / "S 1.zarr")
    tiff(tmp_path / "S 1.tif", np.zeros((8, 8, 3), np.uint8))
    found = detect([tmp_path / "S 1.zarr"])
    assert (found.name, found.format) == ("S 1", "spatialdata")
    table = tmp_path / "S 1.zarr" / "tables" / "table"
    assert (detect([table]).expression, detect([table]).name) == (table, "S 1")
    cells = tmp_path / "S 1.zarr" / "shapes" / "cells"
    assert (detect([cells]).expression, detect([cells]).name) == (cells, "S 1-cells")
    ((sample,), says) = find_sections(tmp_path)
    assert (sample.sample, sample.format, sample.slide.name, says) == ("S 1", "spatialdata", "S 1.tif", [])
    about = tmp_path / "S 1.zarr" / "zarr.json"
    facts = json.loads(about.read_text())
    facts["attributes"]["nh2st"] = {"model": "m"}
    about.write_text(json.dumps(facts))
    with pytest.raises(SampleError, match="is not a measurement"):
        detect([tmp_path / "S 1.zarr"])


def _edit(name, change):
    def write(path):
        about = json.loads((path / name).read_text())
        change(about.get("attributes", about))
        (path / name).write_text(json.dumps(about))

    return write


def _several(path):
    shutil.copytree(path / "tables" / "table", path / "tables" / "other")


def _parquet(change):
    def write(path):
        shapes = path / "shapes" / "cells" / "shapes.parquet"
        change(pd.read_parquet(shapes)).to_parquet(shapes)

    return write


def _claims(path):
    first = next((path / "tables" / "table" / "X").glob("data"))
    about = json.loads((first / "zarr.json").read_text())
    about["shape"] = [10**12]
    (first / "zarr.json").write_text(json.dumps(about))


DAMAGES = {
    "no table": (lambda p: shutil.rmtree(p / "tables" / "table"), "is no SpatialData store"),
    "no obs": (lambda p: shutil.rmtree(p / "tables" / "table" / "obs"), "holds no table"),
    "several tables": (_several, "several tables"),
    "no keys": (_edit("tables/table/zarr.json", lambda a: a.pop("instance_key")), "does not say which shapes"),
    "no shapes": (lambda p: shutil.rmtree(p / "shapes" / "cells"), "names cells, which is not there"),
    "no parquet": (lambda p: (p / "shapes/cells/shapes.parquet").unlink(), "lacks shapes.parquet"),
    "cut parquet": (lambda p: (p / "shapes/cells/shapes.parquet").write_bytes(b"PAR1"), "cannot read"),
    "other shapes": (_parquet(lambda t: t.iloc[3:]), "lacks 3 of the 392 shapes"),
    "cut shape": (_parquet(lambda t: t.assign(geometry=[g[:20] for g in t.geometry])), "a shape is cut off"),
    "no geometry": (_parquet(lambda t: t.drop(columns="geometry").assign(a=1)), "neither geometry nor x and y"),
    "no place": (_edit("shapes/cells/zarr.json", lambda a: a.pop("coordinateTransformations")), "where it lies"),
    "odd place": (
        _edit("shapes/cells/zarr.json", lambda a: a["coordinateTransformations"][0].update(type="mapAxis")),
        "of the kind mapAxis is not read",
    ),
    "flat place": (
        _edit("shapes/cells/zarr.json", lambda a: a["coordinateTransformations"][0].update(scale=[0, 1])),
        "transform",
    ),
    "no JSON": (lambda p: (p / "tables/table/zarr.json").write_text("{"), "cannot read"),
    "claims too much": (_claims, "far too small"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_store_is_one_line(tmp_path, store, name):
    damage, words = DAMAGES[name]
    shutil.copytree(store, tmp_path / "S.zarr")
    damage(tmp_path / "S.zarr")
    with pytest.raises(SampleError, match=words) as caught:
        read(tmp_path / "S.zarr")
    assert "\n" not in str(caught.value)


def _polygon(*rings):
    parts = [struct.pack("<I", len(ring)) + struct.pack(f"<{2 * len(ring)}d", *np.ravel(ring)) for ring in rings]
    return struct.pack("<BII", 1, 3, len(rings)) + b"".join(parts)


SQUARE = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)]
HOLE = [(2, 0), (2, 4), (4, 4), (4, 0), (2, 0)]
AWAY = [(x + 10, y) for x, y in SQUARE]


@pytest.mark.parametrize("many", [False, True])
def test_shapes_as_geoarrow_has_them_have_the_centres_of_the_same_in_wkb(tmp_path, many):
    """Lists of rings, or lists of polygons where a shape has several: so geopandas and spatialdata write them."""
    polygons = [[SQUARE], [SQUARE, HOLE], [AWAY[::-1]], [AWAY, [(x + 10, y) for x, y in HOLE[::-1]]]]
    shapes = [[p] for p in polygons] + [[polygons[0], polygons[2]]] if many else polygons
    corner = pa.struct([("x", pa.float64()), ("y", pa.float64())])
    kind = pa.list_(pa.list_(corner))
    as_corners = [[[{"x": float(x), "y": float(y)} for x, y in ring] for ring in polygon] for polygon in polygons]
    if many:
        kind = pa.list_(kind)
        as_corners = [[p] for p in as_corners] + [[as_corners[0], as_corners[2]]]
    table = pa.table({"geometry": pa.array([*as_corners, None], kind), "index": [*range(len(shapes)), -1]})
    pq.write_table(table, tmp_path / "shapes.parquet", row_group_size=2)
    read = shapes_file.read(tmp_path / "shapes.parquet").columns
    got = np.stack([read["x"], read["y"]], axis=1)
    assert np.isnan(got[-1]).all()
    expected = [(2, 2), (1, 2), (12, 2), (11, 2), (7, 2)][: len(shapes)]
    np.testing.assert_allclose(got[:-1], expected, atol=1e-12)
    if not many:
        np.testing.assert_allclose([_centre(_polygon(*rings)) for rings in polygons], expected, atol=1e-12)


def test_lines_as_geoarrow_has_them_are_no_shapes(tmp_path):
    corner = pa.struct([("x", pa.float64()), ("y", pa.float64())])
    lines = pa.array([[{"x": 0.0, "y": 0.0}, {"x": 1.0, "y": 0.0}]], pa.list_(corner))
    pq.write_table(pa.table({"geometry": lines}), tmp_path / "shapes.parquet")
    with pytest.raises(SampleError, match="save them as well-known binary"):
        shapes_file.read(tmp_path / "shapes.parquet")


def test_centres_are_those_of_area():
    ring = [(0, 0), (4, 0), (4, 1), (1, 1), (1, 3), (0, 3), (0, 0)]  # an L: 4 at (2, .5), and 2 at (.5, 2)
    for corners in (ring, ring[::-1]):
        assert _centre(_polygon(corners)) == pytest.approx((1.5, 1.0))
    assert _centre(_polygon(SQUARE, HOLE)) == pytest.approx((1.0, 2.0))
    both = struct.pack("<BII", 1, 6, 2) + _polygon(SQUARE) + _polygon(AWAY)
    assert _centre(both) == pytest.approx((7.0, 2.0))
    assert _centre(struct.pack(">BI2d", 0, 1, 3.0, 4.0)) == (3.0, 4.0)
    assert _centre(struct.pack("<BI3d", 1, 1001, 3.0, 4.0, 5.0)) == (3.0, 4.0)
