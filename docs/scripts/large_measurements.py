"""How long large measurements take to be read and pooled, and how much memory: files of real size, with made-up counts.

    python docs/scripts/large_measurements.py FOLDER [--only visium-hd-2um ...] [--scale 1.0]

FOLDER takes some gigabytes; what is there from an earlier run is used again. Prints the table of docs/sections.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

GB = 1e9
RNG = np.random.default_rng(0)
BLOCK = 200_000  # units that are written at once


def names_of(genes: int) -> list[str]:
    return [f"GENE{i:05d}" for i in range(genes)]


def counts_of(units: int, genes: int, values: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Make counts in blocks of units: numbers of values a unit (`values` on average), genes, and counts."""
    share = RNG.gamma(0.5, size=genes)
    order = np.cumsum(share / share.sum())
    for begin in range(0, units, BLOCK):
        n = RNG.poisson(values, min(BLOCK, units - begin))
        at = np.searchsorted(order, RNG.random(int(n.sum()))).clip(0, genes - 1)
        rows = np.repeat(np.arange(len(n)), n)
        key, counts = np.unique(rows * genes + at, return_counts=True)
        yield np.bincount(key // genes, minlength=len(n)), (key % genes).astype(np.int32), counts.astype(np.int32)


def write_tenx(path: Path, units: list[str], genes: int, values: float) -> None:
    """Write a matrix as Cell Ranger does, packed with gzip."""
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        made = {
            name: group.create_dataset(
                name, (0,), np.int32, maxshape=(None,), chunks=(80_000,), compression="gzip", compression_opts=1
            )
            for name in ("data", "indices")
        }
        lengths = []
        for n, at, counts in counts_of(len(units), genes, values):
            lengths.append(n)
            for name, part in (("data", counts), ("indices", at)):
                size = len(made[name])
                made[name].resize((size + len(part),))
                made[name][size:] = part
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
        group.create_dataset("indptr", data=indptr.astype(np.int64), compression="gzip", compression_opts=1)
        group.create_dataset("barcodes", data=np.array(units, dtype="S"), compression="gzip", compression_opts=1)
        group.create_dataset("shape", data=np.array([genes, len(units)], np.int32))
        features = group.create_group("features")
        features.create_dataset("name", data=np.array(names_of(genes), dtype="S"))
        features.create_dataset("id", data=np.array([f"ENSG{i:011d}" for i in range(genes)], dtype="S"))
        features.create_dataset("feature_type", data=np.array(["Gene Expression"] * genes, dtype="S"))


def visium_hd(folder: Path, scale: float) -> int:
    """Make 6.5 mm of bins of 2 um: 3,350 x 3,350, of which half lie under tissue."""
    place = folder / "binned_outputs" / "square_002um"
    (place / "spatial").mkdir(parents=True)
    side = int(3350 * scale**0.5)
    row, column = (each.reshape(-1) for each in np.mgrid[:side, :side])
    under = (row - side / 2) ** 2 + (column - side / 2) ** 2 < side**2 / (2 * np.pi)
    barcodes = [f"s_002um_{r:05d}_{c:05d}-1" for r, c in zip(row.tolist(), column.tolist(), strict=True)]
    table = {
        "barcode": barcodes,
        "in_tissue": under.astype(np.int64),
        "array_row": row,
        "array_col": column,
        "pxl_row_in_fullres": 500 + row * 7.3,
        "pxl_col_in_fullres": 500 + column * 7.3,
    }
    pq.write_table(pa.table(table), place / "spatial" / "tissue_positions.parquet")
    factors = {"microns_per_pixel": 2 / 7.3, "bin_size_um": 2.0, "spot_diameter_fullres": 7.3}
    (place / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
    there = [barcodes[i] for i in np.flatnonzero(under)]
    write_tenx(place / "filtered_feature_bc_matrix.h5", there, 18_085, 25)
    return len(there)


def centres(units: int) -> np.ndarray:
    """Make places of cells on 8 x 8 mm, in micrometres."""
    return RNG.uniform(0, 8000, (units, 2))


def xenium(folder: Path, scale: float) -> int:
    """Make 500,000 cells of a panel of 5,000 genes."""
    folder.mkdir(parents=True)
    units = int(500_000 * scale)
    names = [f"cell{i:07d}-1" for i in range(units)]
    x, y = centres(units).T
    pq.write_table(pa.table({"cell_id": names, "x_centroid": x, "y_centroid": y}), folder / "cells.parquet")
    (folder / "experiment.xenium").write_text(json.dumps({"pixel_size": 0.2125}))
    (folder / "S_he_imagealignment.csv").write_text("1,0,0\n0,1,0\n0,0,1\n")
    write_tenx(folder / "cell_feature_matrix.h5", names, 5_000, 300)
    return units


def tables(folder: Path, names: tuple[str, str], units: int, genes: int, values: float, placed: pd.DataFrame) -> int:
    """Write a table of cells by gene, and one of their centres."""
    folder.mkdir(parents=True)
    placed.to_csv(folder / names[1], index=False)
    keys = placed.iloc[:, : 2 if "fov" in placed else 1]
    with (folder / names[0]).open("w") as file:
        file.write(",".join([*keys.columns, *names_of(genes)]) + "\n")
        begin = 0
        for n, at, counts in counts_of(units, genes, values):
            for first in range(0, len(n), 5000):
                part = n[first : first + 5000]
                low, high = int(n[:first].sum()), int(n[: first + 5000].sum())
                dense = np.zeros((len(part), genes), np.int32)
                dense[np.repeat(np.arange(len(part)), part), at[low:high]] = counts[low:high]
                rows = keys.iloc[begin + first : begin + first + len(part)].reset_index(drop=True)
                pd.concat([rows, pd.DataFrame(dense)], axis=1).to_csv(file, index=False, header=False)
            begin += len(n)
    return units


def merscope(folder: Path, scale: float) -> int:
    """Make 500,000 cells of a panel of 500 genes."""
    units = int(500_000 * scale)
    x, y = centres(units).T
    placed = pd.DataFrame({"cell": np.arange(units) + 10**15, "center_x": x, "center_y": y})
    return tables(folder, ("cell_by_gene.csv", "cell_metadata.csv"), units, 500, 60, placed)


def cosmx(folder: Path, scale: float) -> int:
    """Make 200,000 cells of a panel of 6,000 genes."""
    units = int(200_000 * scale)
    x, y = centres(units).T / 0.12028
    ids = {"fov": np.arange(units) // 2000 + 1, "cell_ID": np.arange(units) % 2000 + 1}
    placed = pd.DataFrame({**ids, "CenterX_global_px": x, "CenterY_global_px": y})
    return tables(folder, ("S_exprMat_file.csv", "S_metadata_file.csv"), units, 6_000, 400, placed)


KINDS: dict[str, tuple[str, str, Callable[[Path, float], int]]] = {
    "visium-hd-2um": ("visium-hd", "Visium HD, bins of 2 µm, 18,085 genes", visium_hd),
    "xenium": ("xenium", "Xenium, 5,000 genes", xenium),
    "merscope": ("cell-table", "MERSCOPE, 500 genes", merscope),
    "cosmx": ("cell-table", "CosMx, 6,000 genes", cosmx),
}


def read_one(kind: str, folder: Path) -> None:
    """Read and pool one folder; print seconds, and what memory this process took at most (another reads HDF5)."""
    from napari_nh2st.expression import Sample, read_expression
    from napari_nh2st.expression.transform import Transform

    form = KINDS[kind][0]
    how = {"transform": Transform.of(np.eye(3)), "placed": True} if form == "cell-table" else {}
    began = time.perf_counter()
    data = read_expression(Sample("S", "P", folder / "S.tif", folder, form, **how))
    seconds = time.perf_counter() - began
    own = next(line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"s": seconds, "gb": int(own.split()[1]) / 1e6, "places": data.n_obs}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of units")
    parser.add_argument("--read", choices=KINDS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        read_one(asked.read, asked.folder)
        return
    print("| what | units | GB on disk | read and pooled in, s | memory at most, GB |")
    print("|---|---|---|---|---|")
    for kind in asked.only:
        _, words, make = KINDS[kind]
        folder = asked.folder / f"{kind}-{asked.scale:g}"
        if not (folder / "units").exists():
            (folder / "units").write_text(str(make(folder, asked.scale)))
        units = int((folder / "units").read_text())
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / GB
        told = subprocess.run(
            [sys.executable, __file__, str(folder), "--read", kind], check=False, stdout=subprocess.PIPE, text=True
        )
        if told.returncode:
            print(f"| {words} | {units:,} | {size:.1f} | ended with {told.returncode} | |")
            continue
        found = json.loads(told.stdout)
        print(f"| {words} | {units:,} | {size:.1f} | {found['s']:.0f} | {found['gb']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
