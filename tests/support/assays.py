"""One small tissue, written as the folders and files of several assays: the smallest honest one of each kind."""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from PIL import Image

from support.slides import tiff
from support.visium import write_h5

GENES = ["ERBB2", "CD74", "KRT8", "VIM"]
IDS = [f"ENSG{i:011d}" for i in range(len(GENES))]
MPP = 0.5  # of the slide
BIN, PLACE = 8.0, 112.0  # um
ROWS, COLUMNS = 4, 6  # places
SIZE = round((ROWS + 2) * PLACE / MPP), round((COLUMNS + 2) * PLACE / MPP)  # of the slide, pixels


@dataclass(frozen=True)
class Tissue:
    """Counts (units, genes) of units at positions (x, y) in micrometres, and their rows and columns."""

    counts: np.ndarray
    um: np.ndarray
    array: np.ndarray

    @property
    def pixels(self) -> np.ndarray:
        """Positions in pixels of the slide."""
        return self.um / MPP

    def at_places(self) -> dict[tuple[int, int], list[int]]:
        """Counts by row and column of the place, added up one unit after the other."""
        out: dict[tuple[int, int], np.ndarray] = {}
        for counts, (x, y) in zip(self.counts, self.um, strict=True):
            place = int(y // PLACE), int(x // PLACE)
            out[place] = out.get(place, 0) + counts
        return {place: counts.tolist() for place, counts in out.items()}


def tissue(seed: int = 0, rows: int = ROWS, columns: int = COLUMNS, first: int = 1) -> Tissue:
    """Make a tissue of full places, which begins `first` places from the slide's corner, in no order."""
    rng = np.random.default_rng(seed)
    side = round(PLACE / BIN)
    row, column = np.mgrid[first * side : (first + rows) * side, first * side : (first + columns) * side].reshape(2, -1)
    order = rng.permutation(len(row))
    array = np.stack([row, column], axis=1)[order]
    um = (array[:, ::-1] + 0.5) * BIN
    level = np.exp(np.sin(um[:, :1] / 150) + np.array([0, 1, 2, 3]))
    return Tissue(rng.poisson(level * 0.3), um, array)


def slide(path: Path) -> Path:
    """Write the slide: stained where there is tissue."""
    rng = np.random.default_rng(1)
    pixels = np.full((*SIZE, 3), 245, np.uint8)
    margin = round(PLACE / MPP)
    part = pixels[margin:-margin, margin:-margin]
    part[:] = np.clip(np.array([170, 90, 150]) + rng.normal(0, 20, part.shape), 0, 255)
    return tiff(path, pixels, resolution=(1e4 / MPP, 1e4 / MPP), resolutionunit=3)


def visium_hd(folder: Path, made: Tissue, bins: tuple[str, ...] = ("008",), *, mpp: float | None = MPP) -> Path:
    """Write `folder`/outs with bins of 8 um, whatever they are called, and one bin more that is not under tissue."""
    for name in bins:
        place = folder / "outs" / "binned_outputs" / f"square_{name}um"
        (place / "spatial").mkdir(parents=True)
        n = len(made.counts)
        codes = [f"s_{name}um_{row:05d}_{column:05d}-1" for row, column in [*made.array.tolist(), (0, 0)]]
        matrix = sp.csc_matrix(np.vstack([made.counts, np.ones(len(GENES), int)]).T)
        write_h5(place, matrix, codes, GENES, IDS)
        x, y = np.vstack([made.pixels, [[3.0, 3.0]]]).T
        row, column = np.vstack([made.array, [[0, 0]]]).T
        positions = pd.DataFrame(
            {
                "barcode": codes,
                "in_tissue": np.r_[np.ones(n, int), 0],
                "array_row": row,
                "array_col": column,
                "pxl_row_in_fullres": y,
                "pxl_col_in_fullres": x,
            }
        )
        positions[::-1].to_parquet(place / "spatial" / "tissue_positions.parquet", index=False)
        factors = {"spot_diameter_fullres": BIN / MPP, "bin_size_um": BIN, "tissue_hires_scalef": 0.1}
        factors |= {} if mpp is None else {"microns_per_pixel": mpp}
        (place / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
        Image.new("RGB", (SIZE[1] // 10, SIZE[0] // 10)).save(place / "spatial" / "tissue_hires_image.png")
    return folder


def visium_hd_cells(folder: Path, made: Tissue) -> Path:
    """Write `folder`/outs with segmented cells, whose outlines are squares in another order than the counts."""
    place = folder / "outs" / "segmented_outputs"
    (place / "spatial").mkdir(parents=True)
    numbers = range(1, len(made.counts) + 1)
    codes = [f"cellid_{number:09d}-1" for number in numbers]
    write_h5(place, sp.csc_matrix(made.counts.T), codes, GENES, IDS, "filtered_feature_cell_matrix")
    corners = np.array([[-3, -3], [3, -3], [3, 3], [-3, 3], [-3, -3]])
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [(corners + centre).tolist()]},
            "properties": {"cell_id": number},
        }
        for number, centre in zip(numbers, made.pixels, strict=True)
    ]
    collection = {"type": "FeatureCollection", "features": features[::-1]}
    (place / "cell_segmentations.geojson").write_text(json.dumps(collection))
    factors = {"microns_per_pixel": MPP, "tissue_hires_scalef": 0.1, "fiducial_diameter_fullres": 400.0}
    (place / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
    Image.new("RGB", (SIZE[1] // 10, SIZE[0] // 10)).save(place / "spatial" / "tissue_hires_image.png")
    return folder


def h5ad(path: Path, made: Tissue) -> Path:
    """Write an AnnData file whose positions are in pixels of the slide."""
    data = ad.AnnData(sp.csr_matrix(made.counts.astype(np.float32)))
    data.obs_names, data.var_names = [f"u{i}" for i in range(len(made.counts))], GENES
    data.obsm["spatial"] = made.pixels
    data.write_h5ad(path.with_suffix(".h5ad"))
    return path.with_suffix(".h5ad")


ON_SLIDE = np.array([[0.0, -2.0, 1792.0], [2.0, 0.0, -224.0], [0.0, 0.0, 1.0]])
"""From an assay's own image of `OWN_MPP` to the slide: a quarter turn, twice the size, moved by whole places."""
OWN_MPP = MPP * 2
COSMX_MPP, PUCK_MPP = 0.12028, 0.65


def own_pixels(made: Tissue) -> np.ndarray:
    """Positions in pixels of an assay's own image, which is turned beside the slide."""
    there = np.column_stack([made.pixels, np.ones(len(made.um))]) @ np.linalg.inv(ON_SLIDE).T
    return there[:, :2]


def xenium(folder: Path, made: Tissue, *, parquet: bool = True, matrix: np.ndarray | None = ON_SLIDE) -> Path:
    """Write a folder of Xenium with a negative control, and the matrix of its H&E unless there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"aaab{i:04d}-1" for i in range(len(made.counts))]
    counts = sp.csc_matrix(np.column_stack([made.counts, np.full(len(names), 7)]).T)
    kinds = ["Gene Expression"] * len(GENES) + ["Negative Control Probe"]
    write_h5(
        folder, counts, names, [*GENES, "NegControlProbe_1"], [*IDS, "NegControlProbe_1"], "cell_feature_matrix", kinds
    )
    um = own_pixels(made) * OWN_MPP
    cells = pd.DataFrame({"cell_id": names, "x_centroid": um[:, 0], "y_centroid": um[:, 1], "cell_area": 50.0})
    if parquet:
        cells[::-1].to_parquet(folder / "cells.parquet", index=False)
    cells[::-1].to_csv(folder / "cells.csv.gz", index=False)
    (folder / "experiment.xenium").write_text(json.dumps({"pixel_size": OWN_MPP}))
    Image.new("L", (30, 30)).save(folder / "morphology.ome.tif")
    if matrix is not None:
        lines = [",".join(map(repr, row)) for row in np.linalg.inv(matrix).tolist()]
        (folder / "S_he_imagealignment.csv").write_text("\n".join(lines) + "\n")
    return folder


def merscope(folder: Path, made: Tissue) -> Path:
    """Write a folder of MERSCOPE: cells by gene with a blank, centres in micrometres of its own mosaic."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [10**15 + i for i in range(len(made.counts))]
    table = pd.DataFrame(made.counts, columns=GENES, index=pd.Index(names, name="cell"))
    table.assign(**{"Blank-1": 3}).to_csv(folder / "cell_by_gene.csv")
    x, y = (own_pixels(made) * OWN_MPP).T
    cells = pd.DataFrame({"fov": 1, "volume": 2.0, "center_x": x, "center_y": y}, index=names)
    cells[::-1].to_csv(folder / "cell_metadata.csv")
    return folder


def cosmx(folder: Path, made: Tissue, *, mpp: float = COSMX_MPP, field: float = 0, positions: str = "") -> Path:
    """Write a folder of CosMx: cells named by field of view and number, and what lay in no cell as number 0.

    field : pixels that a field is wide, if the places in the fields are written.
    positions : units in which the places of the fields are written, "px" or "px mm"; no file if empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n = len(made.counts)
    fov, number = np.arange(n) % 3 + 1, np.arange(n) // 3 + 1
    table = pd.DataFrame(made.counts, columns=GENES).assign(Negative1=2, SystemControl7=1)
    table.insert(0, "cell_ID", number)
    table.insert(0, "fov", fov)
    nowhere = dict.fromkeys(table.columns, 99) | {"fov": 1, "cell_ID": 0}
    pd.concat([table, pd.DataFrame([nowhere])]).to_csv(folder / "S_exprMat_file.csv", index=False)
    x, y = (own_pixels(made) * OWN_MPP / mpp).T
    cells = pd.DataFrame({"fov": fov, "cell_ID": number, "CenterX_global_px": x, "CenterY_global_px": y})
    if field:
        cells.insert(2, "CenterX_local_px", np.linspace(5, field, n))
        cells.insert(3, "CenterY_local_px", np.linspace(7, 900, n))
    cells[::-1].to_csv(folder / "S_metadata_file.csv", index=False)
    if positions:
        px = np.array([[494.44, -160233.33], [5966.67, -160233.33], [494.44, -164000.0]])
        mm = px * mpp / 1000 * (1, -1) + (3.5, 21.0)  # each has its own corner, and one of them counts upwards
        places = pd.DataFrame({"FOV": [1, 2, 3], "x_global_px": px[:, 0], "y_global_px": px[:, 1]})
        if "mm" in positions:
            places["x_global_mm"], places["y_global_mm"] = mm.T
        places.to_csv(folder / "S_fov_positions_file.csv", index=False)
    return folder


def slide_seq(folder: Path, made: Tissue) -> Path:
    """Write a folder of Slide-seq: genes by bead, packed, and the places of the beads in pixels of the puck."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"ACGT{i:010d}" for i in range(len(made.counts))]
    table = pd.DataFrame(made.counts.T, index=pd.Index(GENES, name="GENE"), columns=names)
    table.to_csv(folder / "Puck_1.digital_expression.txt.gz", sep="\t")
    x, y = (own_pixels(made) * OWN_MPP / PUCK_MPP).T
    places = pd.DataFrame({"barcode": names, "xcoord": x, "ycoord": y})
    places[::-1].to_csv(folder / "Puck_1_BeadLocationsForR.csv", index=False)
    return folder


def hest(folder: Path, made: Tissue, patient: str = "P7") -> Path:
    """Write the folders of HEST-1k with one section, S1; return its counts."""
    for name in ("st", "metadata", "wsis"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    facts = {"id": "S1", "patient": patient, "pixel_size_um_estimated": MPP, "pixel_size_um_embedded": float("nan")}
    (folder / "metadata" / "S1.json").write_text(json.dumps(facts))
    return h5ad(folder / "st" / "S1", made)


def spatialdata(
    folder: Path,
    made: Tissue,
    *,
    version: int = 3,
    circles: float | None = None,
    labels: bool = False,
    matrix: np.ndarray = ON_SLIDE,
) -> Path:
    """Write a SpatialData store: cells as squares (or circles) in their own pixels, and an image that lies on them.

    version : zarr's. Of 2, the shapes are those of the first versions: circles in arrays.
    labels : the cells are squares of a label image.
    """
    path = folder.with_name(f"{folder.name}.zarr")
    numbers = range(1, len(made.counts) + 1)
    names = list(numbers) if labels else [f"cell{i}" for i in numbers]
    data = ad.AnnData(sp.csr_matrix(made.counts.astype(np.float32)))
    data.obs_names, data.var_names = [str(i) for i in range(len(names))], GENES
    data.obs["region"], data.obs["cell_id"] = pd.Categorical(["cells"] * len(names)), names
    data.obsm["spatial"] = np.zeros((len(names), 2))  # the shapes count
    root = zarr.open_group(str(path), mode="w", zarr_format=version)
    root.attrs["spatialdata_attrs"] = {"version": "0.2"}
    for name in ("tables", "labels" if labels else "shapes", "images"):
        root.create_group(name)
    with ad.settings.override(zarr_write_format=version):
        data.write_zarr(path / "tables" / "table")
    keys = {"region": "cells", "region_key": "region", "instance_key": "cell_id", "version": "0.2"}
    zarr.open_group(str(path / "tables" / "table"), mode="r+").attrs.update(keys)
    _image(path / "images" / "he", np.linalg.inv(np.diag([OWN_MPP, OWN_MPP, 1]) @ np.linalg.inv(matrix)), version)
    own = own_pixels(made)[::-1]  # in another order than the table
    if labels:
        label_image(path / "labels" / "cells", squares(own, names[::-1]), version, [OWN_MPP, OWN_MPP])
        return path
    shapes = zarr.open_group(str(path / "shapes" / "cells"), mode="w", zarr_format=version)
    shapes.attrs["spatialdata_attrs"] = {"version": "0.1" if version == 2 else "0.3"}
    shapes.attrs["coordinateTransformations"] = [_step("scale", [OWN_MPP, OWN_MPP], "xy")]
    radius = np.full(len(own), circles or 4.0) if circles else np.linspace(2, 4, len(own))
    if version == 2:
        for name, values in (("coords", own), ("radius", radius)):
            shapes.create_array(name, data=values)
        index = np.array(numbers[::-1])
        shapes.create_array("Index", data=index)
        table = zarr.open_group(str(path / "tables" / "table" / "obs"), mode="r+")
        del table["cell_id"]
        table.create_array("cell_id", data=np.array(numbers)).attrs.update(
            {"encoding-type": "array", "encoding-version": "0.2.0"}
        )
    else:
        geometry = [_point(x, y) if circles else _square(x, y, 3.0) for x, y in own]
        frame = pd.DataFrame({"geometry": geometry}, index=names[::-1])
        (frame.assign(radius=radius) if circles else frame).to_parquet(path / "shapes" / "cells" / "shapes.parquet")
    return path


def spatialdata_cohort(folder: Path, one: Tissue, two: Tissue) -> Path:
    """Write a SpatialData store of three sections, `cells`, `two` and `three`, of which the third is gone.

    One table is about them all. The other two have label images, each with an image in a coordinate system of its own:
    ``images/he`` and ``images/second_he``.
    """
    path = spatialdata(folder, one, labels=True)
    numbers = list(range(1, len(two.counts) + 1))
    steps = [_step("scale", [OWN_MPP, OWN_MPP], "yx", "second")]
    label_image(path / "labels" / "two", squares(own_pixels(two), numbers), steps=steps)
    _image(
        path / "images" / "second_he",
        np.linalg.inv(np.diag([OWN_MPP, OWN_MPP, 1]) @ np.linalg.inv(ON_SLIDE)),
        3,
        "second",
    )
    first = ad.read_zarr(path / "tables" / "table")
    more = ad.AnnData(two.counts.astype(np.float32), var=first.var)
    more.obs["cell_id"], more.obs["region"] = numbers, "two"
    gone = more[:3].copy()
    gone.obs["region"] = "three"
    joined = ad.concat([first, more, gone], index_unique="-")
    joined.obs["library"] = joined.obs["region"].astype("category")
    with ad.settings.override(zarr_write_format=3):
        joined.write_zarr(path / "tables" / "table")
    keys = {"region": ["cells", "two", "three"], "region_key": "region", "instance_key": "cell_id", "version": "0.2"}
    zarr.open_group(str(path / "tables" / "table"), mode="r+").attrs.update(keys)
    return path


def spatialdata_fields(folder: Path, made: Tissue, width: int = 40) -> Path:
    """Write a SpatialData store as of CosMx: a label image and an image of three channels for each field of view.

    Cells are numbered anew in each field. One table is about all fields; a picture of the slide shows them all.
    """
    path = spatialdata(folder, made, labels=True)
    whole = zarr.open_group(str(path / "labels" / "cells"), mode="r")["0"][:]
    shutil.rmtree(path / "labels" / "cells")
    table = ad.read_zarr(path / "tables" / "table")
    region, number = np.full(table.n_obs, "", object), np.zeros(table.n_obs, int)
    for left in range(0, whole.shape[1], width):
        field = whole[:, left : left + width]
        there = np.unique(field[field > 0])
        if not len(there):
            continue
        name = f"{left // width + 1}"
        region[there - 1], number[there - 1] = f"{name}_labels", np.arange(1, len(there) + 1)
        mine = np.searchsorted(there, field) + 1
        affine = [[OWN_MPP, 0, 0], [0, OWN_MPP, left * OWN_MPP]]
        steps = [
            _step("identity", [], "yx", name),
            _step("affine", affine, "yx"),
            _step("affine", affine, "yx", "only"),
        ]
        label_image(path / "labels" / f"{name}_labels", np.where(field > 0, mine, 0).astype("u2"), steps=steps)
        to_global = np.array([[OWN_MPP, 0, left * OWN_MPP], [0, OWN_MPP, 0], [0, 0, 1]])
        _image(path / "images" / f"{name}_image", np.linalg.inv(to_global), 3, size=field.shape)
    table.obs["region"], table.obs["cell_id"] = pd.Categorical(region), number
    with ad.settings.override(zarr_write_format=3):
        table.write_zarr(path / "tables" / "table")
    keys = {"region": sorted(set(region)), "region_key": "region", "instance_key": "cell_id", "version": "0.2"}
    zarr.open_group(str(path / "tables" / "table"), mode="r+").attrs.update(keys)
    return path


def _image(
    path: Path, global_to_image: np.ndarray, version: int, system: str = "global", size: tuple[int, int] = SIZE
) -> None:
    """Write an image, as wide as the slide if nothing is said, of which no pixel is stored."""
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    group.create_array("0", shape=(3, *size), chunks=(3, *size), dtype="u1")
    m = np.linalg.inv(global_to_image)
    affine = [[1.0, 0, 0, 0], [0, m[1, 1], m[1, 0], m[1, 2]], [0, m[0, 1], m[0, 0], m[0, 2]]]  # of (c, y, x)
    scales = {
        "axes": [{"name": a, "type": "space" if a != "c" else "channel"} for a in "cyx"],
        "datasets": [{"path": "0"}],
        "coordinateTransformations": [_step("affine", affine, "cyx", system)],
    }
    group.attrs.update(
        {"multiscales": [scales]} if version == 2 else {"ome": {"version": "0.5", "multiscales": [scales]}}
    )


def squares(centres: np.ndarray, labels: list[int], half: int = 3) -> np.ndarray:
    """Draw a square around each centre (x, y), which lies between pixels, with its label."""
    out = np.zeros(np.ceil(centres.max(axis=0) + 2 * half).astype(int)[::-1], np.int32)
    for (x, y), label in zip(np.round(centres).astype(int).tolist(), labels, strict=True):
        out[y - half : y + half, x - half : x + half] = label
    return out


def label_image(
    path: Path,
    labels: np.ndarray,
    version: int = 3,
    scale: list[float] | None = None,
    *,
    levels: int = 1,
    chunks: tuple[int, int] = (64, 64),
    steps: list[dict] | None = None,
) -> Path:
    """Write labels as an element of a SpatialData store: of each coarser level, every second pixel."""
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    datasets = []
    for level in range(levels):
        part = labels[:: 2**level, :: 2**level]
        group.create_array(str(level), shape=part.shape, chunks=chunks, dtype=part.dtype)[:] = part
        relative = {"type": "scale", "scale": [float(labels.shape[i] / part.shape[i]) for i in (0, 1)]}
        datasets.append({"path": str(level), "coordinateTransformations": [relative]})
    scales = {
        "axes": [{"name": axis, "type": "space"} for axis in "yx"],
        "datasets": datasets,
        "coordinateTransformations": steps or [_step("scale", scale or [1.0, 1.0], "yx")],
    }
    about = {"multiscales": [scales]} if version == 2 else {"ome": {"version": "0.5", "multiscales": [scales]}}
    group.attrs.update(about | {"image-label": {"version": "0.4"}})
    return path


def _step(kind: str, values: list, axes: str, system: str = "global") -> dict:
    of = [{"name": a, "type": "space"} for a in axes]
    return {"type": kind, kind: values, "input": {"axes": of, "name": axes}, "output": {"axes": of, "name": system}}


def _point(x: float, y: float) -> bytes:
    return struct.pack("<BI2d", 1, 1, x, y)


def _square(x: float, y: float, half: float) -> bytes:
    ring = [
        (x - half, y - half),
        (x + half, y - half),
        (x + half, y + half),
        (x - half, y + half),
        (x - half, y - half),
    ]
    return struct.pack("<BIII", 1, 3, 1, len(ring)) + struct.pack("<10d", *np.ravel(ring))
