"""Damage measurements at random and read them: each must be read, or refused in one line, in time.

    python docs/scripts/fuzz_measurements.py [--rounds 200] [--seed 0]

Bytes are changed, cut off, repeated and put in; in HDF5 files also the structure: datasets of other kinds, shapes and
sizes, links, groups that are gone. It prints a line a format: how many were read, how many refused, and every other
end with its seed.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import scipy.io
import scipy.sparse as sp

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression

LONGEST = 60.0  # seconds for a file: the limit of the process that reads, and its start on a busy machine
GENES = ["A", "B", "C", "D"]
COUNTS = np.arange(24).reshape(6, 4) + 1


def write_h5ad(folder: Path) -> Path:
    """Write a small h5ad file with everything that is looked at."""
    data = ad.AnnData(sp.csr_matrix(COUNTS.astype(np.float32)))
    data.obs_names, data.var_names = [f"s{i}" for i in range(6)], GENES
    data.obs["in_tissue"], data.obs["total_counts"] = 1, COUNTS.sum(axis=1)
    data.var["gene_ids"] = [f"ENSG{i:011d}" for i in range(4)]
    data.obsm["spatial"] = np.stack([np.arange(6) * 100.0, np.arange(6) * 10.0], axis=1)
    data.layers["counts"], data.raw = data.X.copy(), data.copy()
    data.uns["spatial"] = {
        "L": {"images": {"hires": np.zeros((4, 4, 3))}, "scalefactors": {"tissue_hires_scalef": 0.1}}
    }
    data.write_h5ad(folder / "d.h5ad")
    return folder / "d.h5ad"


def write_visium(folder: Path, *, mtx: bool) -> Path:
    """Write the folder that Space Ranger writes, with its matrix as HDF5 or as text."""
    (folder / "spatial").mkdir()
    barcodes, ids = [f"B{i}-1" for i in range(6)], [f"ENSG{i:011d}" for i in range(4)]
    head = "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres"
    rows = [f"{b},1,{i},{i},{10 * i},{100 * i}" for i, b in enumerate(barcodes)]
    (folder / "spatial" / "tissue_positions.csv").write_text("\n".join([head, *rows, ""]))
    matrix = sp.csc_matrix(COUNTS.T)
    place = folder / "filtered_feature_bc_matrix"
    if not mtx:
        with h5py.File(place.with_suffix(".h5"), "w") as file:
            group = file.create_group("matrix")
            group["barcodes"], group["shape"] = np.array(barcodes, "S"), np.array(matrix.shape)
            group["data"], group["indices"], group["indptr"] = matrix.data, matrix.indices, matrix.indptr
            group["features/id"], group["features/name"] = np.array(ids, "S"), np.array(GENES, "S")
            group["features/feature_type"] = np.array(["Gene Expression"] * 4, "S")
        return place.with_suffix(".h5")
    place.mkdir()
    with gzip.open(place / "matrix.mtx.gz", "wb") as packed:
        scipy.io.mmwrite(packed, matrix)
    lines = [f"{i}\t{s}\tGene Expression\n" for i, s in zip(ids, GENES, strict=True)]
    (place / "features.tsv.gz").write_bytes(gzip.compress("".join(lines).encode()))
    (place / "barcodes.tsv.gz").write_bytes(gzip.compress("".join(f"{b}\n" for b in barcodes).encode()))
    return place / "matrix.mtx.gz"


def write_tsv(folder: Path) -> Path:
    """Write a table of counts and one of places."""
    names = [f"{i}x1" for i in range(6)]
    rows = ["\t".join([name, *map(str, row)]) for name, row in zip(names, COUNTS, strict=True)]
    (folder / "c.tsv").write_text("\n".join(["\t" + "\t".join(GENES), *rows, ""]))
    places = [f"{i}\t1\t{100 * i}\t10\t1" for i in range(6)]
    (folder / "p.tsv").write_text("\n".join(["x\ty\tpixel_x\tpixel_y\tselected", *places, ""]))
    return folder / "c.tsv"


FORMATS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Sample]]] = {
    "h5ad": (write_h5ad, lambda f: Sample("S", "P", f, f / "d.h5ad", "h5ad")),
    "10x h5": (lambda f: write_visium(f, mtx=False), lambda f: Sample("S", "P", f, f, "visium")),
    "10x mtx": (lambda f: write_visium(f, mtx=True), lambda f: Sample("S", "P", f, f, "visium")),
    "st-tsv": (write_tsv, lambda f: Sample("S", "P", f, f / "c.tsv", "st-tsv", f / "p.tsv")),
}


def damage_bytes(path: Path, rng: random.Random) -> None:
    """Change the bytes of a file; of a packed one, before it is packed or after."""
    packed = path.suffix == ".gz" and rng.random() < 0.7
    data = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(data)) if data else 0
        way = rng.choice(("flip", "byte", "zero", "cut", "repeat", "insert", "number"))
        if way == "flip" and data:
            data[at] ^= 1 << rng.randrange(8)
        elif way == "byte" and data:
            data[at] = rng.randrange(256)
        elif way == "zero":
            data[at : at + 8] = bytes(len(data[at : at + 8]))
        elif way == "cut":
            del data[at : at + rng.choice((1, 16, 4096))]
        elif way == "repeat":
            data[at:at] = data[at : at + rng.choice((4, 64))]
        elif way == "insert":
            data[at:at] = rng.choice((b"\0", b"\t", b"\n", b'"', b"-", b"nan", b"1e999", b"\xff", b"9" * 30, b","))
        else:
            data[at : at + 8] = rng.choice((0, 1, 2**31 - 1, 2**32, 2**63 - 1, 2**64 - 1)).to_bytes(8, "little")
    path.write_bytes(gzip.compress(bytes(data)) if packed else bytes(data))


def damage_structure(path: Path, rng: random.Random) -> None:
    """Replace, remove or redirect a part of an HDF5 file."""
    with h5py.File(path, "r+") as file:
        places: list[str] = []
        file.visit(places.append)
        place = rng.choice(places)
        node = file[place]
        shape = getattr(node, "shape", None) or (6,)
        attrs = dict(node.attrs)
        made: list[Callable[[], object]] = [
            lambda: None,
            lambda: file.create_group(place),
            lambda: file.create_dataset(place, data=np.full(shape, rng.choice((np.nan, np.inf, -1, 1e300, 0.5)))),
            lambda: file.create_dataset(place, data=np.full(shape, 1 + 1j)),
            lambda: file.create_dataset(place, data=np.full(shape, rng.choice((-1, 2**40, 2**62)), "i8")),
            lambda: file.create_dataset(place, data=np.full(shape, b"text")),
            lambda: file.create_dataset(place, (10**9, 10**6), "f4", chunks=(1000, 1000)),
            lambda: file.create_dataset(place, (10**12,), "f8", chunks=(1000,)),
            lambda: file.create_dataset(place, (0,), "f4"),
            lambda: file.create_dataset(place, data=7),
            lambda: file.create_dataset(place, (6, 4), "u1", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]),
            lambda: file.__setitem__(place, h5py.SoftLink(rng.choice(("/", f"/{place}", "/obs", "/nowhere")))),
            lambda: file.__setitem__(place, h5py.ExternalLink("/etc/passwd", "/")),
            lambda: file.__setitem__(place, file[rng.choice(["/", *[p for p in places if not p.startswith(place)]])]),
        ]
        if rng.random() < 0.2 and attrs:
            node.attrs[rng.choice(list(attrs))] = rng.choice((b"", "no such", 2**40, [2**40, 2**40], np.nan))
            return
        del file[place]
        rng.choice(made)()
        if place in file and not isinstance(file.get(place, getlink=True), h5py.SoftLink | h5py.ExternalLink):
            file[place].attrs.update(attrs)


def outcome(sample: Sample) -> str:
    """Read a section; return "read", "refused", or the end that must not be."""
    begun = time.monotonic()
    try:
        read_expression(sample)
        end = "read"
    except SampleError as error:
        end = "refused" if "\n" not in str(error) else f"several lines: {error!r}"
    except Exception as error:
        end = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - begun
    return end if seconds < LONGEST else f"{seconds:.0f} s, {end}"


def trials(name: str, rounds: int, seed: int = 0) -> Iterator[tuple[int, str]]:
    """Iterate over the seeds of one format, and the end of each."""
    write, sample_of = FORMATS[name]
    with tempfile.TemporaryDirectory() as whole:
        written = write(Path(whole))
        for number in range(seed, seed + rounds):
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place) / "s"
                shutil.copytree(whole, folder)
                rng = random.Random(number)
                files = [folder / written.relative_to(whole)]
                files += [
                    p for p in sorted(folder.rglob("*")) if p.is_file() and p not in files and ".h5" not in p.suffix
                ]
                path = files[0] if rng.random() < 0.7 else rng.choice(files)
                hdf5 = path.suffix in (".h5", ".h5ad")
                (damage_structure if hdf5 and rng.random() < 0.6 else damage_bytes)(path, rng)
                yield number, outcome(sample_of(folder))


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    total: collections.Counter[str] = collections.Counter()
    for name in FORMATS:
        ends = list(trials(name, given.rounds, given.seed))
        faults = [(number, end) for number, end in ends if end not in ("read", "refused")]
        counts = collections.Counter(end for _, end in ends)
        read, refused = counts["read"], counts["refused"]
        print(f"{name}: {len(ends)} damaged files, {read} read, {refused} refused, {len(faults)} wrong", flush=True)
        for number, end in faults:
            print(f"  seed {number}: {end}")
        total.update(files=len(ends), read=read, refused=refused, wrong=len(faults))
    files, read, refused, wrong = (total[end] for end in ("files", "read", "refused", "wrong"))
    print(f"{files:,} damaged files: {read:,} read, {refused:,} refused in one line, {wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
