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
