"""SpatialData stores, read without their package: shapes and image in their places, one clear line otherwise."""

import json
import shutil
import struct

import numpy as np
import pandas as pd
import pytest

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression
from napari_nh2st.expression.detect import detect
from napari_nh2st.expression.find import find_sections
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
    assert detect([table]).expression == table
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


def _two_regions(path):
    import anndata as ad

    table = path / "tables" / "table"
    data = ad.read_zarr(table)
    data.obs["region"] = pd.Categorical(["cells", *["others"] * (data.n_obs - 1)])
    about = (table / "zarr.json").read_text()
    with ad.settings.override(zarr_write_format=3):
        data.write_zarr(table)
    (table / "zarr.json").write_text(about)


def _claims(path):
    first = next((path / "tables" / "table" / "X").glob("data"))
    about = json.loads((first / "zarr.json").read_text())
    about["shape"] = [10**12]
    (first / "zarr.json").write_text(json.dumps(about))


DAMAGES = {
    "no table": (lambda p: shutil.rmtree(p / "tables" / "table"), "is no SpatialData store"),
    "no obs": (lambda p: shutil.rmtree(p / "tables" / "table" / "obs"), "holds no table"),
    "several tables": (_several, "several tables"),
    "several regions": (_two_regions, "is about several regions"),
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


def test_centres_are_those_of_area():
    ring = [(0, 0), (4, 0), (4, 1), (1, 1), (1, 3), (0, 3), (0, 0)]  # an L: 4 at (2, .5), and 2 at (.5, 2)
    for corners in (ring, ring[::-1]):
        assert _centre(_polygon(corners)) == pytest.approx((1.5, 1.0))
    square = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)]
    hole = [(2, 0), (4, 0), (4, 4), (2, 4), (2, 0)]
    assert _centre(_polygon(square, hole)) == pytest.approx((1.0, 2.0))
    away = [(x + 10, y) for x, y in square]
    both = struct.pack("<BII", 1, 6, 2) + _polygon(square) + _polygon(away)
    assert _centre(both) == pytest.approx((7.0, 2.0))
    assert _centre(struct.pack(">BI2d", 0, 1, 3.0, 4.0)) == (3.0, 4.0)
    assert _centre(struct.pack("<BI3d", 1, 1001, 3.0, 4.0, 5.0)) == (3.0, 4.0)
