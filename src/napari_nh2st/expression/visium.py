"""Visium: the folder that Space Ranger writes, and the image on which its spots were laid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError
from napari_nh2st.expression import columns
from napari_nh2st.expression.counts import SAYS, TISSUE
from napari_nh2st.expression.frame import FRAME, frame_of
from napari_nh2st.expression.positions import joined
from napari_nh2st.expression.tenx_matrix import matrix_in, read_matrix
from napari_nh2st.reading import read_frame, read_json, reason

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

MATRIX, RAW = "filtered_feature_bc_matrix", "raw_feature_bc_matrix"  # of barcodes under tissue; of all
PIXELS = 0.01, 100.0  # micrometres: no image has smaller or larger ones
MATRIX_FILES = (f"{MATRIX}.h5", f"{RAW}.h5")
_MOST_FACTORS = 1 << 20  # bytes
_POSITIONS = ("tissue_positions.csv", "tissue_positions_list.csv")  # Space Ranger 2 and later; before, without a header
_COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]


def visium_folder(path: Path) -> Path | None:
    """Return the folder with matrix and `spatial` that a path means: itself, its `outs`, or that of its matrix file.

    Returns
    -------
    Path or None
        None where there is not a Visium folder.
    """
    places = (path, path / "outs") if path.is_dir() else (path.parent,) if path.name in MATRIX_FILES else ()
    return next((p for p in places if (p / "spatial").is_dir() and counts_in(p) is not None), None)


def counts_in(folder: Path) -> Path | None:
    """Return the matrix of a folder: that of barcodes under tissue, else that of all; None where there is neither."""
    return matrix_in(folder, MATRIX) or matrix_in(folder, RAW)


def read_visium(expression: Path, spots: Path | None) -> ad.AnnData:
    """Read Space Ranger's folder `outs`, or the folder above it.

    Returns
    -------
    AnnData
        Raw counts by barcode; ``var_names`` symbols, made unique; ``var["gene_ids"]`` Ensembl ids;
        ``obs["under_tissue"]``; ``obsm["spatial"]`` (x, y) in full-resolution pixels of the image that Space Ranger was
        given; ``uns["frame"]`` as `frame.frame_of` has it.

    Raises
    ------
    SampleError
        Naming the file that is missing or does not fit.
    """
    folder = visium_folder(expression)
    if folder is None:
        raise SampleError(
            f"{expression} is not a Visium folder: it needs {MATRIX}.h5 (or the folder {MATRIX}, or {RAW}) and the "
            "folder spatial"
        )
    matrix = counts_in(folder)
    assert matrix is not None
    table, path = _positions(folder / "spatial")
    return read_laid(folder, matrix, {str(c): table[c].to_numpy() for c in table.columns}, path)


def read_laid(folder: Path, matrix: Path, table: Mapping[str, npt.NDArray[Any]], path: Path) -> ad.AnnData:
    """Lay counts where a table of positions puts their barcodes.

    Parameters
    ----------
    folder : Path
        With the folder `spatial`.
    matrix : Path
        Of counts by barcode.
    table : dict
        Columns (n,) as Space Ranger names them; one row a barcode.
    path : Path
        Where the table was read.

    Returns
    -------
    AnnData
        As of `read_visium`.

    Raises
    ------
    SampleError
        If they do not fit each other.
    """
    positions = _checked(table, path)
    data, place = joined(read_matrix(matrix), positions["barcode"], (matrix.name, path.name), "barcodes")
    data.var_names_make_unique()  # Space Ranger's own symbols repeat
    if matrix.name.startswith(RAW):
        data.uns[SAYS] = [
            *data.uns[SAYS],
            f"there is no {MATRIX}: {matrix.name} is read, of which spots under tissue are taken",
        ]
    pixels = [positions[column][place] for column in ("pxl_col_in_fullres", "pxl_row_in_fullres")]
    data.obsm["spatial"] = np.stack(pixels, axis=1).astype(np.float64)
    for column in ("array_row", "array_col"):
        data.obs[column] = positions[column][place]
    data.obs[TISSUE] = positions["in_tissue"][place]
    data.uns[FRAME] = frame_in(folder / "spatial")
    return data


def _positions(spatial: Path) -> tuple[pd.DataFrame, Path]:
    names = [name + end for end in ("", ".gz") for name in _POSITIONS]
    path = next((spatial / name for name in names if (spatial / name).exists()), None)
    if path is None:
        hd = " (Visium HD: its format is visium-hd)" if (spatial / "tissue_positions.parquet").exists() else ""
        raise SampleError(f"{spatial} holds neither {' nor '.join(_POSITIONS)}{hd}")
    return read_frame(path, error=SampleError, names=_COLUMNS), path


def _checked(table: Mapping[str, npt.NDArray[Any]], path: Path) -> dict[str, Any]:
    """Return the columns of a table of positions under Space Ranger's names, checked."""
    table = {name.strip().casefold(): values for name, values in table.items()}
    pair = columns.centres([*table])
    if pair is not None and pair.rank <= columns.IMAGE:  # imagerow and imagecol, as Seurat names them
        table[_COLUMNS[4]], table[_COLUMNS[5]] = table.pop(pair.y), table.pop(pair.x)
    lacking = [c for c in _COLUMNS if c not in table or _nothing_in(table[c])]
    if lacking:
        raise SampleError(f"{path} lacks the column {', '.join(lacking)}")
    for column in _COLUMNS[2:]:
        if table[column].dtype.kind not in "iuf":
            raise SampleError(f"{path}: the column {column} holds something other than numbers")
    under = columns.under_tissue(table["in_tissue"])
    if under is None:
        raise SampleError(f"{path}: the column in_tissue holds something other than 0 and 1")
    barcodes = table["barcode"]
    names = barcodes if barcodes.dtype.kind == "S" else [str(name).strip() for name in barcodes]
    return {**table, "in_tissue": under, "barcode": names}


def _nothing_in(values: npt.NDArray[Any]) -> bool:
    """Tell whether a column is empty."""
    return bool((np.isnan(values) if values.dtype.kind == "f" else values == b"").all())


def read_factors(spatial: Path) -> dict[str, Any]:
    """Read Space Ranger's scale factors; an empty dict where there are none.

    Raises
    ------
    SampleError
        If the file is damaged.
    """
    path = spatial / "scalefactors_json.json"
    if not path.exists():
        return {}
    factors = read_json(path, error=SampleError, most=_MOST_FACTORS)
    if not isinstance(factors, dict):
        raise SampleError(f"cannot read {path}: it holds no scale factors")
    return factors


def told_size(factors: Mapping[str, Any], key: str, low: float, high: float) -> float | None:
    """Return a size in micrometres of the scale factors; None where there is none between these two."""
    value = factors.get(key)
    return float(value) if isinstance(value, (int, float)) and low < value < high else None


def frame_in(spatial: Path) -> dict[str, Any]:
    """Read the scale factors and the pictures' sizes; nothing is known where they are missing."""
    factors, path = read_factors(spatial), spatial / "scalefactors_json.json"
    try:
        return frame_of(factors, lambda name: _size(spatial, name))
    except (OSError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise SampleError(f"cannot read {path}: {reason(error)}") from error


def _size(spatial: Path, name: str) -> tuple[int, int] | None:
    from PIL import Image

    path = next((p for end in ("png", "jpg") if (p := spatial / f"tissue_{name}_image.{end}").exists()), None)
    if path is None:
        return None
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # a damaged picture tells nothing
        return None
