"""AnnData, by the conventions of Space Ranger, scanpy and squidpy.

The file opens with ``anndata.read_h5ad`` and draws over its tissue image with ``scanpy.pl.spatial`` and
``squidpy.pl.spatial_scatter``: X holds the predictions, ``obsm["spatial"]`` the tile centres (x, y) in
continuous level-0 pixels, ``uns["spatial"][library]`` the image with its scale factors, ``uns["nh2st"]`` the
provenance.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.exporter import Exporter, Progress
from napari_nh2st.formats.h5ad_layout import Frame, Parts, write_parts, write_rows
from napari_nh2st.formats.importer import Contents, Importer
from napari_nh2st.formats.picture import tissue_pictures
from napari_nh2st.formats.table import (
    CARD,
    DISPLAY,
    gene_trust,
    plain_values,
    rows_and_columns,
    slide_mpp,
    slide_name,
    tile_ids,
    tile_side,
    value_blocks,
    written_record,
)
from napari_nh2st.model.find_genes import find_genes
from napari_nh2st.model.gene_names import ensembl_ids
from napari_nh2st.reading import parse_json

if TYPE_CHECKING:
    import anndata
    import h5py

HALF_WIDTH = "half_width"  # the layer of half-widths
_ROWS, _CHUNK = 2048, 256  # decoded at a time, and the side of a piece of X in the file
# In uns: JSON with the model's card and the view; names of genes are no names of groups.
_OPEN_AGAIN = "nh2st_open_again"


def _obs(prediction: Prediction) -> Frame:
    """Return one row a tile: lattice place and centre in level-0 pixels."""
    centres, index = prediction.places.centres, rows_and_columns(prediction.places)
    columns = {
        "in_tissue": np.ones(len(prediction), dtype=np.int64),
        "array_row": index[:, 0],
        "array_col": index[:, 1],
        "pxl_row_in_fullres": centres[:, 1],
        "pxl_col_in_fullres": centres[:, 0],
    }
    return Frame("tile", tile_ids(prediction.places), columns)


def _var(prediction: Prediction, genes: Sequence[str]) -> Frame:
    """Return one row a gene: Ensembl id, mean over the training spots, and held-out PCC with its interval."""
    card, rows = prediction.card, prediction.gene_indices(genes)
    columns: dict[str, npt.NDArray[Any]] = {}
    known = card.ensembl or ensembl_ids(card.genes)  # older cards have none
    if known is not None:
        columns["gene_ids"] = np.array([known[i] or "" for i in rows], dtype=object)
    means = [np.nan] * len(card.genes) if card.gene_means is None else card.gene_means
    columns["training_mean"] = np.asarray(means, dtype=np.float64)[rows]
    trust = gene_trust(prediction, genes)
    if trust is not None:
        for column, values in zip(("heldout_pcc", "heldout_pcc_low", "heldout_pcc_high"), trust.T, strict=True):
            columns[column] = values
    return Frame("gene", list(genes), columns)


def _spatial(prediction: Prediction) -> dict[str, Any]:
    """Return ``uns["spatial"]``: one library, or none if there is no tissue image.

    A library without an image would make scanpy's plots fail; without a library they ask for ``spot_size``.
    ``spot_diameter_fullres`` is the side of a tile's cell, so that drawn circles touch.
    """
    pictures, scalefactors = tissue_pictures(prediction)
    if not pictures:
        return {}
    cell = tile_side(prediction.places)
    scalefactors |= {"spot_diameter_fullres": cell, "fiducial_diameter_fullres": cell}
    metadata = {"mpp": slide_mpp(prediction), "software": "napari-nh2st"}
    return {slide_name(prediction): {"images": pictures, "scalefactors": scalefactors, "metadata": metadata}}


def to_anndata(
    prediction: Prediction, genes: str | Sequence[str] | None = None, *, intervals: bool = False
) -> anndata.AnnData:
    """Return the predicted places of a prediction as AnnData, like the h5ad file.

    Parameters
    ----------
    prediction : Prediction
    genes : str or sequence of str, optional
        The whole panel by default.
    intervals : bool
        With the layer ``half_width``.

    Raises
    ------
    UnknownGene
        It names the genes that the model does not predict.

    Warns
    -----
    UserWarning
        If the slide has moved; the tissue image is then left out.
    """
    prediction = prediction.only_done()
    genes = list(prediction.genes) if genes is None else find_genes(prediction.card, genes)
    parts = _parts(prediction, genes)
    data = _in_memory(_over_its_tissue(parts, prediction), prediction.matrix(genes))
    if intervals:
        data.layers[HALF_WIDTH] = prediction.half_width(genes)
    return data


def without_values(prediction: Prediction, genes: Sequence[str]) -> anndata.AnnData:
    """Return tiles, genes and provenance of a prediction whose places are all predicted, without X."""
    return _in_memory(_parts(prediction, genes))


def _parts(prediction: Prediction, genes: Sequence[str]) -> Parts:
    """Collect tiles, genes and provenance."""
    record = written_record(prediction)
    to_open_again = {key: record.pop(key) for key in (CARD, DISPLAY) if key in record}
    return Parts(
        _obs(prediction),
        _var(prediction, genes),
        {"spatial": prediction.places.centres.copy()},
        {"nh2st": plain_values(record), _OPEN_AGAIN: json.dumps(to_open_again)},
    )


def _over_its_tissue(parts: Parts, prediction: Prediction) -> Parts:
    library = _spatial(prediction)
    return replace(parts, uns={**parts.uns, "spatial": library}) if library else parts


def _in_memory(parts: Parts, values: npt.NDArray[np.float32] | None = None) -> anndata.AnnData:
    import anndata
    import pandas as pd

    obs, var = (
        pd.DataFrame(dict(frame.columns), index=pd.Index(list(frame.index), dtype=object, name=frame.name))
        for frame in (parts.obs, parts.var)
    )
    return anndata.AnnData(values, obs=obs, var=var, obsm=dict(parts.obsm), uns=dict(parts.uns))


def write_file(data: anndata.AnnData, path: Path) -> None:
    """Write an h5ad file that is complete in memory first: HDF5 crashes the process where a disk is full.

    Raises
    ------
    OSError
        If the disk is full, or the file cannot be written; what there is of it is the caller's to remove.
    """
    import h5py
    from anndata.io import write_elem

    memory = io.BytesIO()
    data.strings_to_categoricals()
    with h5py.File(memory, "w") as file:
        write_elem(file, "/", data, dataset_kwargs={"compression": "gzip"})
    path.write_bytes(memory.getbuffer())


def write(
    prediction: Prediction, path: Path, genes: Sequence[str], progress: Progress, *, intervals: bool = False
) -> None:
    """Write an h5ad file, a few hundred tiles at a time; it is complete in memory first, as in `write_file`."""
    import h5py

    progress(0)
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        write_parts(file, _over_its_tissue(_parts(prediction, genes), prediction))
        names = ["X", f"layers/{HALF_WIDTH}"] if intervals else ["X"]
        tables = [write_rows(file, name, (len(prediction), len(genes)), _CHUNK) for name in names]
        for rows, block in value_blocks(prediction, genes, _ROWS, progress, intervals=intervals):
            for table, part in zip(tables, np.split(block, len(tables), axis=1), strict=True):
                table[rows] = part
    path.write_bytes(memory.getbuffer())


def _memory(tiles: int, genes: int) -> int:
    """Return the bytes of memory for the file, which is complete there first, and for room to grow."""
    return 2 * 4 * tiles * genes


def read_record(path: Path) -> dict[str, Any]:
    """Return the provenance."""
    import h5py

    with h5py.File(path) as stored:
        record = _values(stored["uns/nh2st"])
        if _OPEN_AGAIN in stored["uns"]:
            record |= parse_json(stored["uns"][_OPEN_AGAIN].asstr()[()])
        return record


def _values(group: h5py.Group) -> dict[str, Any]:
    """Return texts, numbers and lists of a group, and those of the groups in it."""
    import h5py

    out: dict[str, Any] = {}
    for key, value in group.items():
        if isinstance(value, h5py.Group):
            out[key] = _values(value)
        else:
            read = value.asstr()[()] if h5py.check_string_dtype(value.dtype) else value[()]
            out[key] = read.tolist() if isinstance(read, np.ndarray | np.generic) else read
    return out


def read(path: Path) -> Contents:
    """Read the table; tiles and genes may have been left out meanwhile."""
    import h5py

    record = read_record(path)
    with h5py.File(path) as stored:
        var, obs = stored["var"], stored["obs"]
        if not isinstance(stored["X"], h5py.Dataset):
            raise Nh2stError("its X is no longer the dense table that was written")
        grid = np.stack([obs[name][:] for name in ("array_row", "array_col")], axis=1)
        genes = var[var.attrs["_index"]].asstr()[:].tolist()
        return Contents(record, genes, stored["X"][:].astype(np.float32), grid, stored["obsm/spatial"][:])


IMPORTER = Importer("h5ad", read)
EXPORTER = Exporter(
    "h5ad",
    ".h5ad",
    "AnnData with the tissue image, for scanpy and squidpy (h5ad)",
    write,
    read_record=read_record,
    keeps_intervals=True,
    memory=_memory,
)
