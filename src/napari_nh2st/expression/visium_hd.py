"""Visium HD: the bins that Space Ranger writes into `binned_outputs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.counts import SAYS
from napari_nh2st.expression.parquet_file import read_columns
from napari_nh2st.expression.pool import BIN_UM, MPP
from napari_nh2st.expression.segmented_cells import SEGMENTED
from napari_nh2st.expression.visium import MATRIX, MATRIX_FILES, PIXELS, counts_in, read_factors, read_laid, told_size

if TYPE_CHECKING:
    import anndata as ad

BINNED, POSITIONS = "binned_outputs", "tissue_positions.parquet"
_BINS = {"square_008um": 8.0, "square_016um": 16.0, "square_002um": 2.0}  # the first that is there is read


def visium_hd_folder(path: Path) -> Path | None:
    """Return the folder that a path means: one with `binned_outputs`, or one of its bins.

    Returns
    -------
    Path or None
        None where there is not a folder of Visium HD.
    """
    places = (path, path / "outs") if path.is_dir() else (path.parent,) if path.name in MATRIX_FILES else ()
    for place in places:
        if place.name == BINNED and _bins(place.parent):
            return place.parent
        if _bins(place) or (place / "spatial" / POSITIONS).is_file():
            return place
    return None


def read_visium_hd(expression: Path, spots: Path | None) -> ad.AnnData:
    """Read the bins of 8 um, else of 16, else of 2; or those of the folder `square_...um` that is given.

    Returns
    -------
    AnnData
        As of `visium.read_visium`, with ``uns["mpp"]`` and ``uns["bin_um"]``.

    Raises
    ------
    SampleError
        Naming the file that is missing or does not fit.
    """
    folder = visium_hd_folder(expression)
    if folder is None:
        raise SampleError(f"{expression} is no folder of Visium HD: it needs {BINNED}/square_008um (or _016um, _002um)")
    bins = _bins(folder) or [folder]
    place, spatial = bins[0], bins[0] / "spatial"
    matrix = counts_in(place)
    if matrix is None:
        raise SampleError(f"{place} lacks {MATRIX}.h5 (or the folder {MATRIX})")
    path = spatial / POSITIONS
    if not path.is_file():
        raise SampleError(f"{place} lacks spatial/{POSITIONS}")
    data = read_laid(place, matrix, read_columns(path), path)
    if data.n_obs and not np.isfinite(data.obsm["spatial"]).any():
        raise SampleError(f"{path} has no position in pixels: was Space Ranger given an image?")
    factors = read_factors(spatial)
    for name, key, wanted in ((MPP, "microns_per_pixel", PIXELS), (BIN_UM, "bin_size_um", (0.1, 1000.0))):
        if (value := told_size(factors, key, *wanted)) is not None:
            data.uns[name] = value
    data.uns.setdefault(BIN_UM, _BINS.get(place.name))
    if (folder / SEGMENTED).is_dir():
        cells = f"bins are read, not the cells of {SEGMENTED}: name that folder to have those"
        data.uns[SAYS] = [*data.uns[SAYS], cells]
    if len(bins) > 1:
        others = ", ".join(f"{_BINS[p.name]:g}" for p in bins[1:])
        data.uns[SAYS] = [*data.uns[SAYS], f"bins of {_BINS[place.name]:g} µm are read, not those of {others} µm"]
    return data


def _bins(folder: Path) -> list[Path]:
    """Return the folders of bins, the one to be read first."""
    places = (folder / BINNED / name for name in _BINS)
    return [p for p in places if (p / "spatial").is_dir()]
