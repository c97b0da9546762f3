"""The matrix of counts in a folder of 10x Genomics' programs: as HDF5, or a folder of text."""

from __future__ import annotations

from pathlib import Path

from napari_nh2st.expression import tenx_folder
from napari_nh2st.expression.apart import read_apart
from napari_nh2st.expression.counts import Counts


def matrix_in(folder: Path, name: str) -> Path | None:
    """Return the matrix of such a name, HDF5 before text; None where there is none."""
    return next((p for p in (folder / f"{name}.h5", folder / name) if p.exists()), None)


def read_matrix(path: Path) -> Counts:
    """Read the counts of a matrix.

    Raises
    ------
    SampleError
        If it is damaged.
    """
    return tenx_folder.read(path) if path.is_dir() else Counts.received(*read_apart("10x-h5", path))
