"""Small measured sections for the tests of the fine-tune dock."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import tifffile

from support.sections import section
from support.slides import tiff

HEADING = "sample,patient,slide,expression,format\n"


def write_sections(folder: Path) -> Path:
    """Write two small stained slides with their counts; only A2 says whose it is."""
    for name, seed in (("A1", 1), ("A2", 2)):
        section(folder, name, "A", seed, side=800)
        pixels = (tifffile.imread(folder / f"{name}.tif") * np.array([1.0, 0.6, 0.9])).astype(np.uint8)
        tiff(folder / f"{name}.tif", pixels, resolution=(1e4, 1e4), resolutionunit=3)
    data = anndata.read_h5ad(folder / "A2.h5ad")
    data.obs["patient"] = "Q"
    data.write_h5ad(folder / "A2.h5ad")
    return folder


def write_sheet_of(folder: Path, path: Path) -> Path:
    """Write a sheet that names both sections, of one patient, relative to its own folder."""
    where = folder.relative_to(path.parent)
    lines = [f"{name},P,{where / name}.tif,{where / name}.h5ad,h5ad\n" for name in ("A1", "A2")]
    path.write_text(HEADING + "".join(lines))
    return path
