"""A prediction as SpatialData and as a GeoDataFrame, and regions in both directions."""

import json

import numpy as np
import pytest

from napari_nh2st import Nh2stError, Nh2stWarning, Prediction, open_slide
from napari_nh2st.errors import Cancelled
from napari_nh2st.formats import export
from support.predictions import GENES, prediction
from support.slides import picture, tiff

SIDE = 112  # of a tile, level-0 pixels
readers = pytest.mark.readers
pytestmark = pytest.mark.filterwarnings("ignore:exported without a tissue image", "ignore::DeprecationWarning")


@pytest.fixture
def made():
    """8 x 12 tiles, of which the last three are not predicted."""
    return Prediction.of(prediction())


def test_what_is_missing_is_named_with_the_extra_that_brings_it(made, monkeypatch):
    monkeypatch.setattr("napari_nh2st.formats.find_spec", lambda package: None)
    for call, package in ((made.to_spatialdata, "spatialdata"), (made.to_geodataframe, "geopandas")):
        with pytest.raises(Nh2stError, match=rf"{package}, which is not installed.*napari-nh2st\[spatialdata\]"):
            call()
    with pytest.raises(Nh2stError, match=r"^spatialdata is not installed: pip install 'napari-nh2st\[spatialdata\]'$"):
        made.save("a.sdata.zarr")


def square(x, y, side=3 * SIDE):
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)]


def annotation(corners, **properties):
    geometry = {"type": "Polygon", "coordinates": [corners]}
    return {"type": "Feature", "id": "b7c2", "geometry": geometry, "properties": properties}


@pytest.fixture
def annotations(tmp_path):
    """Regions as QuPath writes them, and as geopandas reads them."""
    import geopandas

    tumour = annotation(square(0, 0), classification={"name": "Tumour", "color": [200, 0, 0]})
    stroma = annotation(square(4 * SIDE, 0), name="near the vessel", classification={"name": "Stroma"})
    file = tmp_path / "annotations.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [tumour, stroma]}))
    return geopandas.read_file(file)


@readers
def test_a_geodataframe_names_its_regions_and_gets_their_genes(made, annotations, tmp_path):
    import geopandas

    assert made.regions(annotations).region.unique().tolist() == ["Tumour", "near the vessel"]
    table = made.to_geodataframe(["HER2", "CD74"], annotations)
    assert table.index.tolist() == ["Tumour", "near the vessel"]
    assert table.columns.tolist() == ["geometry", "n_tiles", "ERBB2", "CD74"]
    assert table.area.tolist() == [(3 * SIDE) ** 2] * 2
    inside = made.at([(c * SIDE, r * SIDE) for r in (0.5, 1.5, 2.5) for c in (0.5, 1.5, 2.5)], "ERBB2")
    assert table.loc["Tumour", "ERBB2"] == pytest.approx(inside.mean(), abs=1e-3)
    table.to_file(tmp_path / "out.geojson")
    back = geopandas.read_file(tmp_path / "out.geojson", engine="pyogrio").set_index("index")
    np.testing.assert_allclose(back["CD74"], table["CD74"])
    again = made.to_geodataframe("CD74", table[["geometry"]])  # whose index has the names
    assert again.index.tolist() == table.index.tolist()


@readers
def test_a_region_without_tiles_has_no_values(made):
    with pytest.warns(Nh2stWarning, match="no predicted tile in off"):
        table = made.to_geodataframe("ERBB2", {"off": square(5000, 5000), "in": square(0, 0)})
    assert table.n_tiles.tolist() == [0, 9]
    assert np.isnan(table.ERBB2["off"])
    with pytest.warns(Nh2stWarning, match="no predicted tile"):
        assert made.to_geodataframe("ERBB2", {"off": square(5000, 5000)}).ERBB2.isna().all()


@readers
def test_tiles_are_squares_with_their_values(made):
    table = made.to_geodataframe(["CD74", "IGKC"])
    done = made.only_done()
    assert table.columns.tolist() == ["geometry", "CD74", "IGKC"]
    assert table.loc["r0002_c0003"].geometry.bounds == (3 * SIDE, 2 * SIDE, 4 * SIDE, 3 * SIDE)
    np.testing.assert_array_equal(table[["CD74", "IGKC"]], done.matrix(["CD74", "IGKC"]))


@pytest.fixture
def slide_path(tmp_path):
    pixels = picture(900, 1400)
    return tiff(tmp_path / "slide.tif", pixels, levels=[np.ascontiguousarray(pixels[::2, ::2])])


@readers
def test_the_whole_slide_is_there_without_being_read(slide_path, tmp_path):
    import spatialdata

    data = Prediction.of(prediction(slide_path=slide_path)).to_spatialdata("ERBB2", image="whole")
    image = data["slide"]["scale0"]["image"]
    assert image.shape == (3, 900, 1400)
    assert type(image.data).__module__.startswith("dask")
    with open_slide(slide_path, mpp=0.5) as slide:
        for name, level in zip(data["slide"], slide.levels, strict=True):
            part = data["slide"][name]["image"][:, 40:60, 30:70].compute()
            np.testing.assert_array_equal(np.moveaxis(part.to_numpy(), 0, 2), level[40:60, 30:70])
    assert spatialdata.get_extent(data["slide"]) == {"x": (0, 1400), "y": (0, 900)}
    data.write(tmp_path / "whole.zarr")
    copied = spatialdata.read_zarr(tmp_path / "whole.zarr")["slide"]["scale0"]["image"]
    np.testing.assert_array_equal(copied.to_numpy(), image.to_numpy())


@readers
def test_the_overview_lies_under_its_tiles(slide_path, monkeypatch):
    import spatialdata
    from spatialdata.transformations import get_transformation

    monkeypatch.setattr("napari_nh2st.formats.spatialdata.OVERVIEW", 500)
    data = Prediction.of(prediction(slide_path=slide_path)).to_spatialdata("ERBB2")
    assert data["slide"].shape == (3, 321, 500)
    (step, *_), (_, other, _), _ = get_transformation(data["slide"]).to_affine_matrix(("x", "y"), ("x", "y"))
    assert (step, other) == (2.8, 2.8)
    assert spatialdata.get_extent(data["slide"])["x"] == (0, 1400)
    assert Prediction.of(prediction()).to_spatialdata("ERBB2", image=None).images == {}


@readers
def test_regions_and_domains_come_along(made, annotations, tmp_path):
    import spatialdata

    labels = np.arange(len(made)) % 3
    made.to_spatialdata(regions=annotations, domains=labels).write(tmp_path / "a.zarr")
    data = spatialdata.read_zarr(tmp_path / "a.zarr")
    assert data["regions"]["name"].tolist() == ["Tumour", "near the vessel"]
    assert made.regions(data["regions"]).equals(made.regions(annotations))
    assert data["predicted"].var_names.tolist() == GENES
    named = data["predicted"].obs["domain"].astype(object).where(lambda column: column.notna(), "0")
    assert named.tolist() == [str(label) for label in labels[made.done]]
    with pytest.raises(Nh2stError, match=r"one label a predicted tile \(93\)"):
        made.to_spatialdata(domains=[1, 2, 3])


@readers
def test_regions_that_are_drawn_are_exported(made, tmp_path):
    import spatialdata

    corners = [(0, 0), (300, 0), (300, 300)]
    path = export(made, "spatialdata", tmp_path, regions={"tumour": [[corners], [square(600, 600)]]})
    shapes = spatialdata.read_zarr(path)["regions"]
    assert shapes["name"].tolist() == ["tumour"]
    assert shapes.geometry.area.tolist() == [300 * 300 / 2 + (3 * SIDE) ** 2]


@readers
def test_an_export_that_is_stopped_in_its_table_leaves_nothing(made, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_nh2st.formats.spatialdata._ROWS", 10)
    shares = []

    def stop(share):
        shares.append(share)
        if share > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        export(made, "spatialdata", tmp_path / "a", progress=stop)
    assert len(shares) > 5
    assert not list(tmp_path.iterdir())
    assert export(made, "spatialdata", tmp_path / "a").name == "a.sdata.zarr"
