"""The same tile has the same value and place in every format, as the programs read it that people open it with."""

import json
import warnings

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from napari_nh2st import Prediction, open_slide
from napari_nh2st.formats import EXPORTERS, export
from support.predictions import prediction
from support.slides import tiff

pytestmark = [
    pytest.mark.readers,
    *(  # of the programs themselves
        pytest.mark.filterwarnings(f"ignore::{kind}")
        for kind in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning", "UserWarning")
    ),
]

GENES = ["ERBB2", "CD74"]
PART = 4000, 4000, 5400, 5000  # of C5: left, top, right, bottom
MPP = 0.69
HALF_A_PIXEL = 0.5


@pytest.fixture(scope="module")
def slide_path(data_dir, tmp_path_factory):
    """A part of C5, in a format that OpenSlide opens too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(data_dir / "her2st" / "C5.jpg") as image:
            pixels = np.asarray(image.crop(PART))
    path = tmp_path_factory.mktemp("slide") / "C5 é.tif"
    return tiff(path, pixels, compression="jpeg", resolution=(1e4 / MPP, 1e4 / MPP), resolutionunit="CENTIMETER")


@pytest.fixture(scope="module")
def made(slide_path):
    left, top, right, bottom = PART
    return Prediction.of(prediction(slide_path=slide_path, size=(bottom - top, right - left), scale=0.5 / MPP))


@pytest.fixture(scope="module")
def files(made, tmp_path_factory):
    """A file of each format."""
    folder = tmp_path_factory.mktemp("exports")
    names = [name for name in EXPORTERS if name != "nh2st"]  # our own, which no other program reads
    return {name: export(made, name, folder, GENES) for name in names}


def axes():
    """Return axes that are drawn on no screen."""
    return FigureCanvasAgg(Figure()).figure.add_subplot()


def scanpy_over_its_image(path):
    """Places are those of the dots over the image that scanpy draws, values their colours."""
    import scanpy

    data = scanpy.read_h5ad(path)
    (library,) = data.uns["spatial"].values()
    scale = library["scalefactors"]["tissue_hires_scalef"]
    columns = []
    for gene in GENES:
        ax = axes()
        scanpy.pl.spatial(data, color=gene, ax=ax, show=False, sort_order=False)
        (image,) = ax.images
        assert image.get_array().shape[:2] == library["images"]["hires"].shape[:2]
        (dots,) = ax.collections
        columns.append(dots.get_array())
    places = np.array([path.get_extents().get_points().mean(axis=0) for path in dots.get_paths()])
    return data.obs_names.tolist(), places / scale, np.stack(columns, axis=1)


def squidpy_over_its_image(path):
    import anndata
    import squidpy

    data = anndata.read_h5ad(path)
    columns = []
    for gene in GENES:
        ax = axes()
        squidpy.pl.spatial_scatter(data, color=gene, shape="square", ax=ax)
        (library,) = data.uns["spatial"].values()
        (tiles,) = ax.collections
        columns.append(tiles.get_array())
    boxes = [path.get_extents().get_points() for path in tiles.get_paths()]
    places = np.mean(boxes, axis=1) / library["scalefactors"]["tissue_hires_scalef"]
    return data.obs_names.tolist(), places, np.stack(columns, axis=1)


def pandas_csv(path):
    import pandas as pd

    table = pd.read_csv(path, index_col="tile")
    return table.index.tolist(), table[["x_px", "y_px"]].to_numpy(), table[GENES].to_numpy()


def pandas_parquet(path):
    import pandas as pd

    table = pd.read_parquet(path)
    return table["tile"].tolist(), table[["x_px", "y_px"]].to_numpy(), table[GENES].to_numpy()


def geopandas_geojson(path):
    import geopandas

    table = geopandas.read_file(path)
    measured = [m if isinstance(m, dict) else json.loads(m) for m in table["measurements"]]
    places = np.stack([table.centroid.x, table.centroid.y], axis=1)
    return table["name"].tolist(), places, np.array([[m[gene] for gene in GENES] for m in measured])


def tifffile_ome_tiff(path):
    import tifffile

    with tifffile.TiffFile(path) as file:
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        image = file.series[0].asarray()
    assert [channel["Name"] for channel in pixels["Channel"]] == GENES
    corner = np.array([pixels["Plane"][0][f"Position{axis}"] for axis in "XY"])
    return pixels_of(image, corner / MPP, pixels["PhysicalSizeX"] / MPP)


def ome_zarr_py(path):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    (node,) = Reader(parse_url(path, mode="r"))()
    assert node.metadata["channel_names"] == GENES
    scale, translation = (t[t["type"]] for t in node.metadata["coordinateTransformations"][0])
    corner = np.array(translation[:0:-1]) / MPP + 0.5 - scale[1] / MPP / 2  # it places centres, the slide's first at 0
    return pixels_of(np.asarray(node.data[0]), corner, scale[1] / MPP)


def pixels_of(image, corner, side):
    """Return tiles of an image (genes, rows, columns): a pixel a tile, corner and side in level-0 pixels."""
    row, column = np.nonzero(np.isfinite(image).all(axis=0))
    names = [f"r{r:04d}_c{c:04d}" for r, c in zip(row, column, strict=True)]
    return names, corner + (np.stack([column, row], axis=1) + 0.5) * side, image[:, row, column].T


def spatialdata_tables(path):
    import spatialdata

    data = spatialdata.read_zarr(path)
    assert spatialdata.get_extent(data)["x"] == pytest.approx((0, PART[2] - PART[0]), abs=1)
    values = spatialdata.get_values(GENES, sdata=data, element_name="tiles", table_name="predicted")
    assert values.columns.tolist() == GENES
    tiles = data["tiles"].loc[values.index]
    return tiles["tile"].tolist(), np.stack([tiles.centroid.x, tiles.centroid.y], axis=1), values.to_numpy()


READERS = {
    scanpy_over_its_image: "h5ad",
    squidpy_over_its_image: "h5ad",
    pandas_csv: "csv",
    pandas_parquet: "parquet",
    geopandas_geojson: "geojson",
    tifffile_ome_tiff: "ome-tiff",
    ome_zarr_py: "ome-zarr",
    spatialdata_tables: "spatialdata",
}


def test_every_format_is_read(files):
    assert set(READERS.values()) == set(files)


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_the_same_tile_has_the_same_value_and_place(read, files, made):
    names, places, values = read(files[READERS[read]])
    assert len(made.only_done()) == len(names) > 10
    wanted = made.to_dataframe(GENES).loc[names]
    np.testing.assert_array_equal(np.asarray(values, dtype=np.float32), wanted[GENES].to_numpy())
    np.testing.assert_allclose(places, wanted[["x_px", "y_px"]], rtol=0, atol=HALF_A_PIXEL)


def test_spatialdata_plot_draws_the_tiles_over_their_tissue(files, made):
    import spatialdata
    import spatialdata_plot  # noqa: F401

    data, ax = spatialdata.read_zarr(files["spatialdata"]), axes()
    shown = data.pl.render_images("slide").pl.render_shapes("tiles", color="ERBB2", method="matplotlib")
    shown.pl.show(ax=ax)
    (tiles,), (image,) = ax.collections, ax.images
    places = np.mean([path.get_extents().get_points() for path in tiles.get_paths()], axis=1)
    np.testing.assert_allclose(places, made.only_done().places.centres, rtol=0, atol=HALF_A_PIXEL)
    value = made.only_done()["ERBB2"]
    share = (value - value.min()) / (value.max() - value.min())
    np.testing.assert_array_equal(tiles.get_facecolor(), colormaps["viridis"](share))
    corners = (image.get_transform() - ax.transData).transform(np.reshape(image.get_extent(), (2, 2)).T)
    size = np.array([PART[2] - PART[0], PART[3] - PART[1]])
    assert np.ptp(corners, axis=0) == pytest.approx(size)
    assert np.abs(corners.min(axis=0)).max() <= 1  # it draws a coarse level half of its own pixel too far to the left


def test_openslide_has_the_tissue_where_the_tiles_are(files, slide_path):
    """The slide as QuPath reads it, and the squares of the GeoJSON that is dragged onto it."""
    import geopandas
    from openslide import OpenSlide

    table = geopandas.read_file(files["geojson"]).set_index("name")
    with OpenSlide(slide_path) as slide:
        assert slide.dimensions == (PART[2] - PART[0], PART[3] - PART[1])
        for square in table.geometry.iloc[[0, 40, -1]]:
            left, top, right, bottom = (round(v) for v in square.bounds)
            seen = slide.read_region((left, top), 0, (right - left, bottom - top)).convert("RGB")
            with open_slide(slide_path, mpp=MPP) as ours:
                wanted = ours.read(left, top, right - left, bottom - top, 1.0)
            np.testing.assert_array_equal(np.asarray(seen), wanted)


def test_validators_accept_the_ome_zarr(files):
    import yaozarrs
    from ome_zarr.utils import info

    yaozarrs.validate_zarr_store(files["ome-zarr"])
    (node,) = info(str(files["ome-zarr"]))
    assert node.zarr.version == "0.5"
