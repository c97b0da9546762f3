"""SpatialData, for spatialdata-plot, napari-spatialdata, squidpy, Sopa and LazySlide.

Tiles are squares in the shapes ``tiles``, the table ``predicted`` annotates them, and the image ``slide`` is an
overview of the tissue. All of them lie in ``global``: continuous level-0 pixels. A SpatialData store cannot link to a
slide's file, and a copy of all its pixels would often be larger than the slide: the overview is copied, and
``attrs["nh2st"]`` names the slide. In Python, `to_spatialdata` gives the whole slide too, lazily.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.exporter import Exporter, Progress, in_blocks
from napari_nh2st.formats.h5ad import without_values
from napari_nh2st.formats.importer import Contents, Importer
from napari_nh2st.formats.picture import find_slide, small
from napari_nh2st.formats.shapes import Outlines, polygons, squares
from napari_nh2st.formats.table import gene_facts, value_blocks, written_record
from napari_nh2st.reading import read_json

if TYPE_CHECKING:
    import spatialdata
    import zarr
    from anndata import AnnData

    from napari_nh2st.slides import Slide

SLIDE, TILES, REGIONS, TABLE = "slide", "tiles", "regions", "predicted"  # names of the elements
REGION_KEY, INSTANCE_KEY, DOMAIN = "region", "tile_id", "domain"  # columns of the table
OVERVIEW = 4096  # pixels along the longer side
_CHUNK = 1024
_ROWS = 8192  # tiles decoded at a time; with 250 genes, 8 MB
_OVERVIEW_BYTES, _TILE_BYTES = 200_000_000, 1_500


def to_spatialdata(
    prediction: Prediction,
    genes: Sequence[str],
    *,
    image: Literal["overview", "whole"] | None = "overview",
    regions: Outlines | None = None,
    domains: npt.ArrayLike | None = None,
) -> spatialdata.SpatialData:
    """Return a prediction as SpatialData in memory.

    Parameters
    ----------
    prediction : Prediction
        All n places are predicted.
    genes : sequence of str
        Symbols of the panel.
    image : {"overview", "whole"} or None
        The tissue: a small copy; the levels of the slide's file, which are read when they are looked at; or nothing.
    regions : mapping, optional
    domains : (n,) array, optional
        A label for each place; 0 for none.

    Warns
    -----
    UserWarning
        If the slide has moved; there is no image then.
    """
    table = without_values(prediction, genes)
    table.X = prediction.matrix(genes)
    return _spatialdata(prediction, genes, table, image=image, regions=regions, domains=domains)


def _spatialdata(
    prediction: Prediction,
    genes: Sequence[str],
    table: AnnData,
    *,
    image: Literal["overview", "whole"] | None = "overview",
    regions: Outlines | None = None,
    domains: npt.ArrayLike | None = None,
) -> spatialdata.SpatialData:
    from spatialdata import SpatialData
    from spatialdata.models import ShapesModel, TableModel

    shapes = {TILES: squares(prediction).reset_index(names="tile")}
    if regions:
        shapes[REGIONS] = polygons(regions).reset_index(names="name")
    _annotate(table, domains)
    keys = {"region": TILES, "region_key": REGION_KEY, "instance_key": INSTANCE_KEY}
    return SpatialData(
        images={} if image is None else _tissue(prediction, image),
        shapes={name: ShapesModel.parse(frame) for name, frame in shapes.items()},
        tables={TABLE: TableModel.parse(table, **keys)},
        attrs={"nh2st": written_record(prediction) | {"gene_facts": gene_facts(prediction, genes)}},
    )


def _annotate(table: AnnData, domains: npt.ArrayLike | None) -> None:
    """Say which shape each row of the table is about, and its domain.

    Shapes go by number: napari-spatialdata reads no polygons that go by name.
    """
    import pandas as pd

    table.obs[REGION_KEY] = pd.Categorical([TILES] * table.n_obs)
    table.obs[INSTANCE_KEY] = np.arange(table.n_obs)
    if domains is not None:
        labels = np.asarray(domains)
        if labels.shape != (table.n_obs,):
            raise Nh2stError(f"domains are one label a predicted tile ({table.n_obs:,}), not {labels.shape}")
        named = [None if label in (0, "") else str(label) for label in labels.tolist()]
        table.obs[DOMAIN] = pd.Categorical(named)


def _tissue(prediction: Prediction, image: Literal["overview", "whole"]) -> dict[str, Any]:
    """Return the image by its name; nothing, with a warning, if the slide cannot be opened."""
    slide, reason = find_slide(prediction)
    if slide is None:
        warnings.warn(f"exported without a tissue image, {reason}", stacklevel=4)
        return {}
    if image == "whole":
        return {SLIDE: _levels(slide)}
    with slide:
        return {SLIDE: _overview(slide)}


def _overview(slide: Slide) -> Any:
    """Return the whole slide at no more than `OVERVIEW` pixels along its longer side, with coarser levels."""
    from spatialdata.models import Image2DModel
    from spatialdata.transformations import Identity, Scale

    pixels, factor = small(slide, OVERVIEW)
    halvings = max(0, int(np.log2(max(1, min(pixels.shape[:2]) // 256))))
    step = Identity() if factor == 1 else Scale([1 / factor, 1 / factor], axes=("x", "y"))
    return Image2DModel.parse(
        np.ascontiguousarray(np.moveaxis(pixels, 2, 0)),
        dims=("c", "y", "x"),
        c_coords=["r", "g", "b"],
        scale_factors=[2] * halvings or None,
        chunks=(3, _CHUNK, _CHUNK),
        transformations={"global": step},
    )


def _levels(slide: Slide) -> Any:
    """Return the slide's own levels, lazily: nothing is read yet, and the file stays open."""
    import dask.array
    from spatialdata.models import Image2DModel
    from spatialdata.transformations import Identity, set_transformation
    from xarray import DataTree

    arrays = [dask.array.from_array(level, level.chunks, name=False).transpose(2, 0, 1) for level in slide.levels]
    images = [Image2DModel.parse(array, dims=("c", "y", "x"), c_coords=["r", "g", "b"]) for array in arrays]
    if len(images) == 1:
        return images[0]
    tree = DataTree.from_dict({f"scale{i}": image.to_dataset(name="image") for i, image in enumerate(images)})
    set_transformation(tree, Identity(), "global")
    return tree


def write(
    prediction: Prediction,
    path: Path,
    genes: Sequence[str],
    progress: Progress,
    *,
    regions: Outlines | None = None,
) -> None:
    """Write a store: the values of the table block after block, all else in one step before them."""
    progress(0)
    data = _spatialdata(prediction, genes, without_values(prediction, genes), regions=regions)
    path.rmdir()  # SpatialData makes its folder itself
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "zarr v3 autosharding")
        data.write(path, consolidate_metadata=False, update_sdata_path=False)
    _write_values(prediction, path, genes, progress)


def _write_values(prediction: Prediction, path: Path, genes: Sequence[str], progress: Progress) -> None:
    """Write the matrix of the table as AnnData keeps it, and list the store's contents in its root."""
    import zarr

    table = zarr.open_group(path / "tables" / TABLE, mode="r+")
    shape = len(prediction), len(genes)
    array = table.create_array("X", shape=shape, chunks=(min(_ROWS, shape[0]), shape[1]), dtype="float32")
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    for rows, values in value_blocks(prediction, genes, _ROWS, progress):
        array[rows] = values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)  # the shapes' Parquet file is not of Zarr's kind
        zarr.consolidate_metadata(path)


def read_record(path: Path) -> dict[str, Any]:
    """Return the provenance."""
    return dict(read_json(path / "zarr.json")["attributes"]["nh2st"])


def read(path: Path) -> Contents:
    """Read the table; tiles and genes may have been left out meanwhile."""
    import zarr

    table = zarr.open_group(path / "tables" / TABLE, mode="r")
    genes = _array(table, f"var/{table['var'].attrs['_index']}").tolist()
    grid = np.stack([_array(table, f"obs/{name}") for name in ("array_row", "array_col")], axis=1)
    values = _array(table, "X").astype(np.float32, copy=False)
    return Contents(read_record(path), [str(gene) for gene in genes], values, grid, _array(table, "obsm/spatial"))


def _array(table: zarr.Group, name: str) -> npt.NDArray[Any]:
    import zarr

    array = table[name]
    if not isinstance(array, zarr.Array):
        raise Nh2stError(f"its {name} is no longer the array that was written")
    return np.asarray(array[:])


def memory(tiles: int, genes: int) -> int:
    """Return the bytes for the overview, the squares and a block of the table."""
    return _OVERVIEW_BYTES + _TILE_BYTES * tiles + in_blocks(_ROWS)(tiles, genes)


IMPORTER = Importer("spatialdata", read)
EXPORTER = Exporter(
    "spatialdata",
    ".sdata.zarr",
    "Table, tiles as shapes and the tissue image, for spatialdata-plot, napari-spatialdata and squidpy"
    " (SpatialData; a folder)",
    write,
    read_record=read_record,
    other_suffixes=(".zarr",),
    folder=True,
    package="spatialdata",
    keeps_regions=True,
    memory=memory,
)
