"""Cells of Visium HD: the folder `segmented_outputs` that Space Ranger writes beside the bins since version 4.

Counts are those of the bins within a cell's outline. Outlines are polygons in pixels of the full-resolution image; a
cell's place is its centre of area.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.apart import read_apart
from napari_nh2st.expression.frame import FRAME
from napari_nh2st.expression.pool import MPP
from napari_nh2st.expression.positions import at_positions
from napari_nh2st.expression.tenx_matrix import matrix_in, read_matrix
from napari_nh2st.expression.visium import PIXELS, frame_in, read_factors, told_size

if TYPE_CHECKING:
    import anndata as ad

SEGMENTED, MATRIX = "segmented_outputs", "filtered_feature_cell_matrix"
_OUTLINES = ("cell_segmentations.geojson", "graphclust_annotated_cell_segmentations.geojson")
_NAME = "cellid_{:09d}-1"


def segmented_folder(path: Path) -> Path | None:
    """Return the folder that a path means: `segmented_outputs`, one that has it, or that of one of its files.

    Returns
    -------
    Path or None
        None where there are no segmented cells.
    """
    files = (f"{MATRIX}.h5", *_OUTLINES)
    places = (path, path / "outs") if path.is_dir() else (path.parent,) if path.name in files else ()
    return next((p for p in places if matrix_in(_inside(p), MATRIX) is not None), None)


def _inside(folder: Path) -> Path:
    return inner if (inner := folder / SEGMENTED).is_dir() else folder


def read_segmented(expression: Path, spots: Path | None) -> ad.AnnData:
    """Read the cells of a folder `segmented_outputs`.

    Returns
    -------
    AnnData
        Raw counts by cell; ``obsm["spatial"]`` centres (x, y) in full-resolution pixels of the image that Space Ranger
        was given; ``uns["mpp"]`` its micrometres per pixel; ``uns["frame"]`` as `frame.frame_of` has it.

    Raises
    ------
    SampleError
        Naming the file that is missing or does not fit.
    """
    folder = segmented_folder(expression)
    if folder is None:
        raise SampleError(
            f"{expression} holds no cells of Visium HD: it needs the folder {SEGMENTED} with {MATRIX}.h5 and "
            f"{_OUTLINES[0]}"
        )
    place = _inside(folder)
    matrix = matrix_in(place, MATRIX)
    assert matrix is not None
    path = next((p for name in _OUTLINES if (p := place / name).is_file()), None)
    if path is None:
        raise SampleError(f"{place} lacks {_OUTLINES[0]}")
    _, cells = read_apart("cell-outlines", path)
    names = [_NAME.format(number) for number in cells["cell"].tolist()]
    data = at_positions(
        read_matrix(matrix), names, np.stack([cells["x"], cells["y"]], axis=1), (matrix.name, path.name), "cells"
    )
    data.var_names_make_unique()  # Space Ranger's own symbols repeat
    data.uns[FRAME] = frame_in(place / "spatial")
    if (size := told_size(read_factors(place / "spatial"), "microns_per_pixel", *PIXELS)) is not None:
        data.uns[MPP] = size
    return data
