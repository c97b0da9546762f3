"""AnnData, by the conventions of Space Ranger, scanpy and squidpy.

The file opens with ``anndata.read_h5ad`` and draws over its tissue image with ``scanpy.pl.spatial`` and
``squidpy.pl.spatial_scatter``: X holds the predictions, ``obsm["spatial"]`` the tile centres (x, y) in
continuous level-0 pixels, ``uns["spatial"][library]`` the image with its scale factors, ``uns["nh2st"]`` the
provenance.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.exporter import Exporter, Progress
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
    import pandas as pd

Values = Iterator[tuple[slice, npt.NDArray[np.float32]]]

_ROWS, _CHUNK = 2048, 256  # decoded at a time, and the side of a piece of X in the file
# In uns: JSON with the model's card and the view; names of genes are no names of groups.
_OPEN_AGAIN = "nh2st_open_again"


def _obs(prediction: Prediction) -> pd.DataFrame:
    """Return one row a tile: lattice place and centre in level-0 pixels."""
    import pandas as pd

    centres, index = prediction.places.centres, rows_and_columns(prediction.places)
    return pd.DataFrame(
        {
            "in_tissue": np.ones(len(prediction), dtype=np.int64),
            "array_row": index[:, 0],
            "array_col": index[:, 1],
            "pxl_row_in_fullres": centres[:, 1],
            "pxl_col_in_fullres": centres[:, 0],
        },
        index=pd.Index(tile_ids(prediction.places), dtype=object, name="tile"),
    )


def _var(prediction: Prediction, genes: Sequence[str]) -> pd.DataFrame:
    """Return one row a gene: Ensembl id, mean over the training spots, and held-out PCC with its interval."""
    import pandas as pd

    card, rows = prediction.card, prediction.gene_indices(genes)
    table = pd.DataFrame(index=pd.Index(list(genes), dtype=object, name="gene"))
    known = card.ensembl or ensembl_ids(card.genes)  # older cards have none
    if known is not None:
        table["gene_ids"] = [known[i] or "" for i in rows]
    means = [np.nan] * len(card.genes) if card.gene_means is None else card.gene_means
    table["training_mean"] = np.asarray(means, dtype=np.float64)[rows]
    trust = gene_trust(prediction, genes)
    if trust is not None:
        for column, values in zip(("heldout_pcc", "heldout_pcc_low", "heldout_pcc_high"), trust.T, strict=True):
            table[column] = values
    return table


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


def to_anndata(prediction: Prediction, genes: str | Sequence[str] | None = None) -> anndata.AnnData:
    """Return the predicted places of a prediction as AnnData, like the h5ad file.

    Parameters
    ----------
    prediction : Prediction
    genes : str or sequence of str, optional
        The whole panel by default.

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
    data = without_values(prediction, genes)
    data.X = prediction.matrix(genes)
    return _over_its_tissue(data, prediction)


def without_values(prediction: Prediction, genes: Sequence[str]) -> anndata.AnnData:
    """Return tiles, genes and provenance of a prediction whose places are all predicted, without X."""
    import anndata

    record = written_record(prediction)
    to_open_again = {key: record.pop(key) for key in (CARD, DISPLAY) if key in record}
    return anndata.AnnData(
        obs=_obs(prediction),
        var=_var(prediction, genes),
        obsm={"spatial": prediction.places.centres.copy()},
        uns={"nh2st": plain_values(record), _OPEN_AGAIN: json.dumps(to_open_again)},
    )


def _over_its_tissue(data: anndata.AnnData, prediction: Prediction) -> anndata.AnnData:
    library = _spatial(prediction)
    if library:
        data.uns["spatial"] = library
    return data


def write_file(data: anndata.AnnData, path: Path, values: Values | None = None) -> None:
    """Write an h5ad file that is complete in memory first: HDF5 crashes the process where a disk is full.

    Parameters
    ----------
    data : AnnData
    path : Path
    values : iterator of (slice, (rows, G) float32), optional
        X a few rows at a time, where `data` has none.

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
        if values is not None:
            _write_rows(file, data.shape, values)
    path.write_bytes(memory.getbuffer())


def _write_rows(file: h5py.File, shape: tuple[int, int], values: Values) -> None:
    """Write X as AnnData's dense array, so that it is never in memory as a whole, and can be stopped."""
    if "X" in file:  # some versions of AnnData write that it is empty
        del file["X"]
    chunks = min(_CHUNK, shape[0]), min(_CHUNK, shape[1])
    table = file.create_dataset("X", shape, np.float32, chunks=chunks, compression="gzip")
    table.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    for rows, block in values:
        table[rows] = block


def write(prediction: Prediction, path: Path, genes: Sequence[str], progress: Progress) -> None:
    """Write an h5ad file, a few hundred tiles at a time."""
    progress(0)
    data = _over_its_tissue(without_values(prediction, genes), prediction)
    write_file(data, path, value_blocks(prediction, genes, _ROWS, progress))


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
    memory=_memory,
)
