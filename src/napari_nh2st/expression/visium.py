"""Visium: the folder that Space Ranger writes, and the image on which its spots were laid."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.errors import SampleError
from napari_nh2st.reading import read_frame, read_json, reason

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

MATRIX = "filtered_feature_bc_matrix"
FRAME = "frame"  # in uns: the image on which the spots were laid, as far as it is known
_POSITIONS = ("tissue_positions.csv", "tissue_positions_list.csv")  # Space Ranger 2 and later; before, without a header
_COLUMNS = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]


def visium_folder(path: Path) -> Path | None:
    """Return the folder with matrix and `spatial` that a path means: itself, its `outs`, or that of its matrix file.

    Returns
    -------
    Path or None
        None where there is no Visium folder.
    """
    places = (path, path / "outs") if path.is_dir() else (path.parent,) if path.name == f"{MATRIX}.h5" else ()
    return next((p for p in places if (p / "spatial").is_dir() and _matrix(p) is not None), None)


def read_visium(expression: Path, spots: Path | None) -> ad.AnnData:
    """Read Space Ranger's folder `outs`, or the folder above it.

    Returns
    -------
    AnnData
        Raw counts of the spots under tissue, by barcode; ``var_names`` symbols, made unique; ``var["gene_ids"]``
        Ensembl ids; ``obsm["spatial"]`` (x, y) in full-resolution pixels of the image that Space Ranger was given;
        ``uns["frame"]`` as `frame_of` has it.

    Raises
    ------
    SampleError
        Naming the file that is missing or does not fit.
    """
    folder = visium_folder(expression)
    if folder is None:
        raise SampleError(
            f"{expression} is no Visium folder: it needs {MATRIX}.h5 (or the folder {MATRIX}) and the folder spatial"
        )
    positions = _positions(folder / "spatial")
    data = _counts(folder)
    positions = positions[positions["in_tissue"] == 1]
    shared = data.obs_names[data.obs_names.isin(positions.index)]
    if not len(shared):
        raise SampleError(f"{folder}: the matrix and the spots' positions share no barcode under tissue")
    data = data[shared].copy()
    position = positions.loc[shared]
    data.obsm["spatial"] = position[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(dtype=np.float64)
    for column in ("array_row", "array_col"):
        data.obs[column] = position[column].to_numpy()
    data.uns[FRAME] = _frame(folder / "spatial")
    return data


def frame_of(factors: Mapping[str, Any], size_of: Callable[[str], tuple[int, int] | None]) -> dict[str, Any]:
    """Describe the image on which spots were laid, as far as it is known.

    Parameters
    ----------
    factors : mapping
        Space Ranger's scale factors: ``tissue_<name>_scalef`` pixels of the picture <name> per full-resolution pixel.
    size_of : callable
        Height and width of a picture by its name, None where it is not there.

    Returns
    -------
    dict
        ``shape``, (height, width) of the full-resolution image, exact to half a pixel of the picture; ``within``, that
        half pixel in full-resolution pixels; ``spot_diameter`` in full-resolution pixels. What is not known is absent.
    """
    out: dict[str, Any] = {}
    diameter = float(factors.get("spot_diameter_fullres") or 0)
    if np.isfinite(diameter) and diameter > 0:
        out["spot_diameter"] = diameter
    sized = []
    for key, value in factors.items():
        name, scale = key.removeprefix("tissue_").removesuffix("_scalef"), float(value or 0)
        if key == f"tissue_{name}_scalef" and scale > 0 and (size := size_of(name)) is not None:
            sized.append((scale, size))
    if sized:
        scale, (height, width) = max(sized)  # the largest picture tells most exactly
        out["shape"] = (height / scale, width / scale)
        out["within"] = 0.5 / scale
    return out


def _matrix(folder: Path) -> Path | None:
    return next((p for p in (folder / f"{MATRIX}.h5", folder / MATRIX) if p.exists()), None)


def _counts(folder: Path) -> ad.AnnData:
    import scanpy as sc

    path = _matrix(folder)
    assert path is not None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Variable names are not unique")  # the next lines make them so
        try:
            data = sc.read_10x_mtx(path) if path.is_dir() else sc.read_10x_h5(path)
        except Exception as error:  # h5py, scipy and gzip each have their own
            raise SampleError(f"cannot read {path}: {error}") from error
        data.var_names_make_unique()
    if not data.obs_names.is_unique:
        raise SampleError(f"{path} names a barcode twice")
    return data


def _positions(spatial: Path) -> pd.DataFrame:
    path = next((spatial / name for name in _POSITIONS if (spatial / name).exists()), None)
    if path is None:
        hd = " (Visium HD is not read)" if (spatial / "tissue_positions.parquet").exists() else ""
        raise SampleError(f"{spatial} holds neither {' nor '.join(_POSITIONS)}{hd}")
    table = read_frame(path, error=SampleError, names=_COLUMNS)
    lacking = [c for c in _COLUMNS if c not in table.columns]
    if lacking:
        raise SampleError(f"{path} lacks the column {', '.join(lacking)}")
    table = table.set_index("barcode")
    if not table.index.is_unique:
        raise SampleError(f"{path} names the barcode {table.index[table.index.duplicated()][0]} twice")
    return table


def _frame(spatial: Path) -> dict[str, Any]:
    """Read the scale factors and the pictures' sizes; nothing is known where they are missing."""
    path = spatial / "scalefactors_json.json"
    if not path.exists():
        return {}
    factors = read_json(path, error=SampleError)
    try:
        return frame_of(factors, lambda name: _size(spatial, name))
    except (OSError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise SampleError(f"cannot read {path}: {reason(error)}") from error


def _size(spatial: Path, name: str) -> tuple[int, int] | None:
    from PIL import Image

    path = next((p for end in ("png", "jpg") if (p := spatial / f"tissue_{name}_image.{end}").exists()), None)
    if path is None:
        return None
    with Image.open(path) as picture:
        return picture.height, picture.width
