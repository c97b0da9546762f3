"""A folder as Space Ranger writes it, small."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import h5py
import numpy as np
import scipy.io
import scipy.sparse as sp
from PIL import Image

HEADER = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]


def outs(
    folder: Path,
    counts: np.ndarray,
    symbols: list[str],
    spots: np.ndarray | None = None,
    *,
    ids: list[str] | None = None,
    version: int = 2,
    mtx: bool = False,
    image: tuple[int, int] | None = None,
    hires: float = 0.1,
    diameter: float = 55.0,
) -> Path:
    """Write `folder`/outs: counts (spots, genes) at spots (x, y), and a barcode more that is not under tissue.

    image : (height, width) of the full-resolution image, of which a picture at the scale `hires` is written.
    """
    place = folder / "outs"
    (place / "spatial").mkdir(parents=True)
    n = len(counts)
    if spots is None:
        spots = np.stack([np.arange(n) * 100.0, np.arange(n) * 10.0], axis=1)
    barcodes = [f"AAAC{i:04d}-1" for i in range(n + 1)]
    ids = ids or [f"ENSG{i:011d}" for i in range(len(symbols))]
    matrix = sp.csc_matrix(np.vstack([counts, np.ones(len(symbols), int)]).T)  # genes x barcodes
    (_mtx if mtx else write_h5)(place, matrix, barcodes, symbols, ids)
    rows = [(b, 1, i, 2 * i, y, x) for i, (b, (x, y)) in enumerate(zip(barcodes, spots, strict=False))]
    rows = [(barcodes[n], 0, n, n, 7, 7), *rows[::-1]]  # in another order than the counts
    name = "tissue_positions.csv" if version >= 2 else "tissue_positions_list.csv"
    with (place / "spatial" / name).open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows] if version >= 2 else rows)
    factors = {"spot_diameter_fullres": diameter, "tissue_hires_scalef": hires, "tissue_lowres_scalef": hires / 4}
    (place / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
    if image is not None:
        height, width = (round(v * hires) for v in image)
        Image.new("RGB", (width, height)).save(place / "spatial" / "tissue_hires_image.png")
    return folder


def write_h5(
    place: Path,
    matrix: sp.csc_matrix,
    barcodes: list[str],
    symbols: list[str],
    ids: list[str],
    name: str = "filtered_feature_bc_matrix",
    kinds: list[str] | None = None,
) -> None:
    """Write counts (features, barcodes) as 10x's programs do."""
    with h5py.File(place / f"{name}.h5", "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(barcodes, dtype="S")
        group["data"], group["indices"], group["indptr"] = matrix.data.astype(np.int32), matrix.indices, matrix.indptr
        group["shape"] = np.array(matrix.shape, dtype=np.int32)
        features = group.create_group("features")
        features["id"], features["name"] = np.array(ids, dtype="S"), np.array(symbols, dtype="S")
        features["feature_type"] = np.array(kinds or ["Gene Expression"] * len(ids), dtype="S")
        features["genome"] = np.array(["GRCh38"] * len(ids), dtype="S")


def _mtx(place, matrix, barcodes, symbols, ids) -> None:
    folder = place / "filtered_feature_bc_matrix"
    folder.mkdir()
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        scipy.io.mmwrite(file, matrix.astype(np.int32))
    with gzip.open(folder / "barcodes.tsv.gz", "wt") as file:
        file.write("".join(f"{b}\n" for b in barcodes))
    with gzip.open(folder / "features.tsv.gz", "wt") as file:
        file.write("".join(f"{i}\t{s}\tGene Expression\n" for i, s in zip(ids, symbols, strict=True)))
