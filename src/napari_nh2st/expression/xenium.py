"""Xenium: the folder that Xenium's own analysis writes, cells with their centroids.

Centroids are in micrometres from the corner of Xenium's own image. Where the H&E lies on it, a matrix says that Xenium
Explorer writes: `..._imagealignment.csv`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.counts import SAYS
from napari_nh2st.expression.parquet_file import can_read_parquet, read_parquet
from napari_nh2st.expression.pool import MPP
from napari_nh2st.expression.positions import at_positions, named_columns, names_of, numbers_of
from napari_nh2st.expression.tenx_matrix import matrix_in, read_matrix
from napari_nh2st.expression.transform_files import OWN, UNPLACED, read_transform
from napari_nh2st.reading import read_frame, read_json

if TYPE_CHECKING:
    import anndata as ad

MATRIX, EXPERIMENT = "cell_feature_matrix", "experiment.xenium"
_CELLS = ("cells.parquet", "cells.csv.gz", "cells.csv")
_ALIGNMENT = "*imagealignment*.csv"
_PIXEL = 0.2125  # um: of every Xenium so far
_MOST = 1 << 22  # bytes of the experiment's file
_WANTED = (
    "its cells are in pixels of Xenium's own image: put the matrix that Xenium Explorer writes for the H&E "
    "(..._imagealignment.csv) into its folder, or name it in the column transform"
)


def xenium_folder(path: Path) -> Path | None:
    """Return the folder of Xenium that a path means: itself, its `outs`, or that of one of its files.

    Returns
    -------
    Path or None
        None where there is none.
    """
    files = (f"{MATRIX}.h5", EXPERIMENT)
    places = (path, path / "outs") if path.is_dir() else (path.parent,) if path.name in files else ()
    return next(
        (p for p in places if matrix_in(p, MATRIX) is not None and (_cells(p) or (p / EXPERIMENT).exists())), None
    )


def read_xenium(expression: Path, spots: Path | None) -> ad.AnnData:
    """Read the cells of a folder of Xenium.

    Returns
    -------
    AnnData
        Raw counts by cell, without control features; ``obsm["spatial"]`` centroids (x, y) in pixels of Xenium's own
        image; ``uns["mpp"]`` its micrometres per pixel; ``uns["own_transform"]`` from there to the H&E, or
        ``uns["unplaced"]``, what is needed.

    Raises
    ------
    SampleError
        Naming the file that is missing or does not fit.
    """
    folder = xenium_folder(expression)
    if folder is None:
        raise SampleError(
            f"{expression} is no folder of Xenium: it needs {MATRIX}.h5 (or the folder {MATRIX}) and {_CELLS[0]} or "
            f"{_CELLS[1]}"
        )
    path = _cells(folder)
    if path is None:
        raise SampleError(f"{folder} lacks {_CELLS[0]} or {_CELLS[1]}")
    table = read_parquet(path) if path.suffix == ".parquet" else read_frame(path, error=SampleError)
    columns = named_columns(table, (("cell_id",), ("x_centroid",), ("y_centroid",)), path.name)
    size, says = _pixel_size(folder)
    matrix = matrix_in(folder, MATRIX)
    assert matrix is not None
    positions = numbers_of(table, columns[1:], path.name) / size
    names = names_of(table[columns[0]])
    data = at_positions(read_matrix(matrix), names, positions, (matrix.name, path.name), "cells")
    data.var_names_make_unique()
    data.uns[SAYS] = [*data.uns[SAYS], *says]
    data.uns[MPP] = size
    alignment = _alignment(folder)
    if alignment is None:
        data.uns[UNPLACED] = _WANTED
    else:
        data.uns[OWN] = read_transform(alignment)
    return data


def lacks_matrix(path: Path) -> bool:
    """Tell whether a folder of Xenium holds no matrix of the H&E."""
    folder = xenium_folder(path)
    return folder is not None and not any(folder.glob(_ALIGNMENT))


def _cells(folder: Path) -> Path | None:
    """Return the table of cells; one that can be read without pyarrow where that is not installed."""
    there = [p for name in _CELLS if (p := folder / name).is_file()]
    return next((p for p in there if p.suffix != ".parquet" or can_read_parquet()), next(iter(there), None))


def _pixel_size(folder: Path) -> tuple[float, list[str]]:
    """Return micrometres per pixel, and what is to be said of it."""
    path = folder / EXPERIMENT
    if not path.exists():
        return _PIXEL, [f"{EXPERIMENT} is missing: {_PIXEL} µm per pixel of Xenium's image are taken"]
    facts = read_json(path, error=SampleError, most=_MOST)
    size = facts.get("pixel_size") if isinstance(facts, dict) else None
    if not isinstance(size, (int, float)) or not 0.01 < size < 10:
        raise SampleError(f"{path} does not say how large a pixel is (pixel_size)")
    return float(size), []


def _alignment(folder: Path) -> Path | None:
    """Return the matrix of the H&E; where there are several, that one which is named so.

    Raises
    ------
    SampleError
        If it is not clear which one it is.
    """
    there = sorted(folder.glob(_ALIGNMENT))
    named = [p for p in there if "he_image" in p.name.casefold()]
    chosen = named if len(named) == 1 else there
    if len(chosen) > 1:
        names = ", ".join(p.name for p in chosen[:4])
        raise SampleError(f"{folder} holds several matrices ({names}): name that of the H&E in the column transform")
    return chosen[0] if chosen else None
