"""One small tissue, written as the folders and files of several assays: the smallest honest one of each kind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
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
COSMX_MPP = 0.12028


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


def cosmx(folder: Path, made: Tissue) -> Path:
    """Write a folder of CosMx: cells named by field of view and number, and what lay in no cell as number 0."""
    folder.mkdir(parents=True, exist_ok=True)
    n = len(made.counts)
    fov, number = np.arange(n) % 3 + 1, np.arange(n) // 3 + 1
    table = pd.DataFrame(made.counts, columns=GENES).assign(Negative1=2, SystemControl7=1)
    table.insert(0, "cell_ID", number)
    table.insert(0, "fov", fov)
    nowhere = dict.fromkeys(table.columns, 99) | {"fov": 1, "cell_ID": 0}
    pd.concat([table, pd.DataFrame([nowhere])]).to_csv(folder / "S_exprMat_file.csv", index=False)
    x, y = (own_pixels(made) * OWN_MPP / COSMX_MPP).T
    cells = pd.DataFrame({"fov": fov, "cell_ID": number, "CenterX_global_px": x, "CenterY_global_px": y})
    cells[::-1].to_csv(folder / "S_metadata_file.csv", index=False)
    return folder
