"""Readers of measured expression: raw counts at spots whose centres are known in the slide's pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.errors import SampleError, one_line
from napari_nh2st.expression import columns
from napari_nh2st.expression.apart import read_apart
from napari_nh2st.expression.bead_table import bead_table_folder, read_bead_table
from napari_nh2st.expression.cell_table import cell_table_folder, read_cell_table
from napari_nh2st.expression.counts import SAYS, SLIDES, TISSUE, Counts, doubtful_counts, odd_value
from napari_nh2st.expression.frame import FRAME
from napari_nh2st.expression.hest import read_hest
from napari_nh2st.expression.pool import BIN_UM, GUESS, MPP, PLACE_UM, UNIT, pooled
from napari_nh2st.expression.segmented_cells import read_segmented, segmented_folder
from napari_nh2st.expression.spatialdata_store import read_spatialdata, spatialdata_store
from napari_nh2st.expression.spot_csv import numbers, read_spot_csv
from napari_nh2st.expression.transform import NOWHERE_ELSE, Transform
from napari_nh2st.expression.transform_files import OWN, UNPLACED, transform_of
from napari_nh2st.expression.visium import read_visium, visium_folder
from napari_nh2st.expression.visium_hd import read_visium_hd, visium_hd_folder
from napari_nh2st.expression.xenium import lacks_matrix, read_xenium, xenium_folder
from napari_nh2st.reading import read_frame, reason

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

    from napari_nh2st.expression.sample import Sample

_POSITIONS = ("x", "y", "pixel_x", "pixel_y")
_FARTHEST = 1e9  # pixels: no slide is wider
_MOST_SPOTS = 15_000  # the largest array, that of Visium of 11 mm, has 14,336


@dataclass(frozen=True)
class ExpressionFormat:
    """A row of the table: how a format is read.

    Attributes
    ----------
    read : callable
        (expression path, spots path or None) -> AnnData with counts in X and centres in obsm["spatial"].
    needs_spots : bool
        Whether spot positions come in a file of their own.
    folder_of : callable, optional
        Recognises a folder of this format by a path in or above it: the folder, or None. For formats that are folders.
    elsewhere : callable, optional
        Tells whether a folder's positions are on another image, and nothing in it says where that lies on the slide:
        the sample needs a transform.
    pools : str
        What is pooled to places, in the plural: bins, cells, beads. Empty where spots are taken as they are. A reader
        of files that may be either says it of each (``uns["unit"]``).
    """

    read: Callable[[Path, Path | None], ad.AnnData]
    needs_spots: bool
    description: str
    folder_of: Callable[[Path], Path | None] | None = None
    pools: str = ""
    elsewhere: Callable[[Path], bool] | None = None


def read_expression(sample: Sample) -> ad.AnnData:
    """Read one section's counts.

    Returns
    -------
    AnnData
        ``X`` raw counts, CSR float32 (spots, genes); ``obs_names`` spot ids; ``obsm["spatial"]`` spot centres (x, y) in
        level-0 pixels of the slide, placed there by the sample's transform, scale, x and y; ``obs["total_counts"]``
        over all genes. Bins, cells and beads come pooled to places (`pool.pooled`), on a lattice along their own
        image. Spots that the file calls off tissue, and spots without any count, are left out:
        ``uns["nh2st"]["off_tissue"]`` and ``["dropped"]`` say how many, ``["repeated"]`` how many genes repeated a
        name, and ``["says"]`` has sentences on what else was chosen or ignored, ``["slides"]`` the file's names for
        the slide, ``["pooled"]`` what was pooled, ``["own_transform"]`` the matrix (2, 3) to the slide that the assay
        has of its own, or None. ``var["gene_ids"]``: Ensembl ids, where the file has them.
        ``uns["frame"]``: the image on which the spots were laid (`frame.frame_of`), perhaps empty.

    Raises
    ------
    SampleError
        If the file cannot be read, spots have no position, or X holds no counts.
    """
    try:
        transform = transform_of(sample)
        data = FORMATS[sample.format].read(sample.expression, sample.spots)
    except SampleError as error:
        raise SampleError(f"sample {sample.sample}: {error}") from error
    except (OSError, EOFError, ValueError, KeyError, OverflowError, RecursionError, MemoryError) as error:
        raise SampleError(f"sample {sample.sample}: cannot read {sample.expression}: {reason(error)}") from error
    repeated = int(data.var_names.duplicated().sum())
    data.var_names_make_unique()
    data, off_tissue = _on_tissue(sample.sample, data)
    _check_spots(sample.sample, data)
    values = data.X.data
    if odd := odd_value(values) or ("" if values.any() else "all values are 0"):
        raise SampleError(
            f"sample {sample.sample}: {sample.expression} holds no raw counts (whole numbers, 0 and up): {odd}"
        )
    unit = str(data.uns.pop(UNIT, FORMATS[sample.format].pools))
    if unit or sample.pool is not None:
        known = sample.mpp is not None and not (GUESS in data.uns and transform == NOWHERE_ELSE)  # not laid yet
        own_mpp = sample.mpp * transform.scale if known and sample.mpp is not None else None
        try:
            data = pooled(data, unit or "spots", sample.pool or PLACE_UM, own_mpp)
        except SampleError as error:
            raise SampleError(f"sample {sample.sample}: {error}") from error
    elif data.n_obs > _MOST_SPOTS:
        many = f"{data.n_obs:,} spots are more than an array has: if they are cells or bins, give their places a pool"
        data.uns[SAYS] = [*data.uns.get(SAYS, []), f"{many} (µm)"]
    own = _place(sample, data, transform)
    totals = np.asarray(data.X.sum(axis=1)).ravel()
    data.obs["total_counts"] = totals
    kept = data[totals > 0].copy()
    kept.uns.setdefault(FRAME, {})
    kept.uns["nh2st"] = {
        "sample": sample.sample,
        "patient": sample.patient,
        "dropped": int((totals <= 0).sum()),
        "repeated": repeated,
        "off_tissue": off_tissue,
        "says": [*kept.uns.pop(SAYS, []), *doubtful_counts(data.X.data, totals)],
        "slides": kept.uns.pop(SLIDES, []),
        "pooled": kept.uns.pop("pooled", {}),
        "own_transform": None if own is None else own.matrix,
    }
    for told in (MPP, BIN_UM, GUESS):
        kept.uns.pop(told, None)
    return kept


def remarks(data: ad.AnnData) -> tuple[str, ...]:
    """Say what a file says of itself that changes what is read from it, a line each."""
    kept = data.uns.get("nh2st", {})
    off = int(kept.get("off_tissue", 0))
    left = [f"{off:,} spots are left out: the file says that they do not lie under tissue"] if off else []
    return (*left, *kept.get("says", ()))


def _place(sample: Sample, data: ad.AnnData, transform: Transform) -> Transform | None:
    """Place spots on the slide: by the sample's transform, else by that which the assay has of its own; return that."""
    own: Transform | None
    own, wanted = data.uns.pop(OWN, None), data.uns.pop(UNPLACED, None)
    if own is not None and sample.transform is None:
        data.obsm["spatial"] = own.place(data.obsm["spatial"])
        if "spot_diameter" in (frame := data.uns.get(FRAME, {})):
            frame["spot_diameter"] *= own.scale
    if wanted is not None and not sample.placed:
        raise SampleError(f"sample {sample.sample}: {wanted}")
    if wanted is not None and transform == NOWHERE_ELSE:  # a person will move them
        data.uns[SAYS] = [*data.uns.get(SAYS, []), wanted]
    data.obsm["spatial"] = transform.place(data.obsm["spatial"])
    return own


def _on_tissue(name: str, data: ad.AnnData) -> tuple[ad.AnnData, int]:
    """Leave out the spots of which the file says that no tissue lies under them; count them."""
    if TISSUE not in data.obs:
        return data, 0
    kept = data.obs.pop(TISSUE).to_numpy(dtype=bool)
    if not kept.any():
        raise SampleError(f"sample {name}: the file says that no spot lies under tissue")
    off = int((~kept).sum())
    return (data[kept].copy() if off else data), off


def _check_spots(name: str, data: ad.AnnData) -> None:
    if not data.obs_names.is_unique:
        twice = data.obs_names[data.obs_names.duplicated()][0]
        raise SampleError(f"sample {name}: spot ids repeat ({twice}): give each spot an id of its own")
    lost = data.obs_names[~np.isfinite(data.obsm["spatial"]).all(axis=1)]
    if len(lost):
        raise SampleError(
            f"sample {name}: positions that are not numbers: {len(lost)}, first of {lost[0]}; leave these out"
        )


def _read_st_tsv(expression: Path, spots: Path | None) -> ad.AnnData:
    """Spatial Transcriptomics: a TSV of counts with rows `XxY`, positions in a `*_selection.tsv`.

    Rows are joined by spot id, never by position in the file; a spot that only one file knows is left out.
    """
    import scipy.sparse as sp

    if spots is None:
        raise SampleError("st-tsv needs the file with the spots' positions")
    table, positions = read_frame(expression, error=SampleError, index=True), _positions(spots)
    if len(positions.index.intersection(table.columns)) > len(positions.index.intersection(table.index)):
        table = table.T  # genes by spots
    for name, index in ((expression.name, table.index), (spots.name, positions.index)):
        if not index.is_unique:
            raise SampleError(f"{name} names the spot {index[index.duplicated()][0]} twice")
    shared = table.index[table.index.isin(positions.index)]
    turned = table.index.intersection(
        [name.partition("x")[2] + "x" + name.partition("x")[0] for name in positions.index]
    )
    if len(turned) > len(shared):
        raise SampleError(f"{expression.name} names its spots by row and column (YxX), {spots.name} has x first")
    if not len(shared):
        examples = [one_line(index[0], 40) if len(index) else "nothing" for index in (table.index, positions.index)]
        raise SampleError(
            f"{expression.name} and {spots.name} share no spot ({' and '.join(examples)}): write them alike"
        )
    lost = len(table) - len(shared)
    counts, position = sp.csr_matrix(numbers(table.loc[shared], expression)), positions.loc[shared]
    genes = columns.genes([str(name) for name in table.columns], {})
    names = [str(name) for name in shared]
    data = Counts(counts.data, counts.indices, counts.indptr, names, genes.symbols, ids=genes.ids).to_anndata()
    data.obsm["spatial"] = position[["pixel_x", "pixel_y"]].to_numpy(dtype=np.float64)
    data.obs["array_col"] = position["x"].round().to_numpy(dtype=np.int64)
    data.obs["array_row"] = position["y"].round().to_numpy(dtype=np.int64)
    if TISSUE in position:
        data.obs[TISSUE] = position[TISSUE].to_numpy(dtype=bool)
    if lost:
        data.uns[SAYS] = [*data.uns[SAYS], f"{lost:,} spots of {expression.name} have no position, and are left out"]
    _assert_joined(data, table, positions)
    return data


def _positions(file: Path) -> pd.DataFrame:
    """Read places by spot id ``XxY``: columns x, y, pixel_x, pixel_y, and under_tissue where the file says that."""
    import pandas as pd

    positions = read_frame(file, error=SampleError)
    positions.columns = positions.columns.astype(str).str.strip().str.casefold()
    lacking = [c for c in _POSITIONS if c not in positions.columns]
    if lacking:
        raise SampleError(f"{file.name} lacks the column {', '.join(lacking)}")
    positions = positions.loc[:, ~positions.columns.duplicated()].dropna(how="all").copy()
    for column in _POSITIONS:
        values = pd.to_numeric(positions[column], errors="coerce")
        wrong = values.abs() > _FARTHEST if column.startswith("pixel") else ~(values.abs() <= _FARTHEST)
        wrong |= values.isna() & positions[column].notna()
        if wrong.any():
            odd = one_line(positions[column][wrong].iloc[0], 60)
            raise SampleError(f"{file.name}: {column} {odd!r} cannot be the place of a spot")
        positions[column] = values
    positions.index = [f"{round(x)}x{round(y)}" for x, y in zip(positions["x"], positions["y"], strict=True)]
    says = columns.find(positions.columns, columns.UNDER_TISSUE)
    if says is not None:
        under = columns.under_tissue(positions[says].to_numpy())
        if under is None:
            raise SampleError(f"{file.name}: the column {says} holds something other than 0 and 1")
        positions[TISSUE] = under
    return positions


def _assert_joined(data: ad.AnnData, table: pd.DataFrame, positions: pd.DataFrame) -> None:
    """Check the first, a middle and the last spot against both files by id."""
    for i in {0, data.n_obs // 2, data.n_obs - 1}:
        name = data.obs_names[i]
        total, x = float(table.loc[name].sum(skipna=False)), float(positions.loc[name, "pixel_x"])
        counts, at = float(data.X[i].sum()), data.obsm["spatial"][i, 0]
        if not (np.isclose(counts, total, equal_nan=True) and np.isclose(at, x, equal_nan=True)):
            raise SampleError(f"the join by spot id failed at spot {name}")


def _read_h5ad(expression: Path, spots: Path | None) -> ad.AnnData:
    """AnnData with counts in layers["counts"], X or raw, and spot centres (x, y) in obsm["spatial"]."""
    return Counts.received(*read_apart("h5ad", expression)).to_anndata()


# Of two formats that recognise a folder, the first is it.
FORMATS: dict[str, ExpressionFormat] = {
    "st-tsv": ExpressionFormat(_read_st_tsv, True, "Spatial Transcriptomics TSV of counts and a selection file"),
    "h5ad": ExpressionFormat(_read_h5ad, False, 'AnnData with obsm["spatial"], as scanpy and HEST write it'),
    "spots-csv": ExpressionFormat(read_spot_csv, False, "a table of spots: x_px, y_px and a column for each gene"),
    "visium-hd": ExpressionFormat(
        read_visium_hd, False, "the folder outs of Visium HD, with binned_outputs", visium_hd_folder, "bins"
    ),
    "visium-hd-cells": ExpressionFormat(
        read_segmented, False, "the cells of Visium HD: the folder segmented_outputs", segmented_folder, "cells"
    ),
    "visium": ExpressionFormat(read_visium, False, "the folder outs that Space Ranger writes", visium_folder),
    "xenium": ExpressionFormat(
        read_xenium, False, "the folder that Xenium writes", xenium_folder, "cells", lacks_matrix
    ),
    "cell-table": ExpressionFormat(
        read_cell_table,
        False,
        "a folder of MERSCOPE or CosMx: cells by gene, and their centres",
        cell_table_folder,
        "cells",
        lambda folder: True,
    ),
    "bead-table": ExpressionFormat(
        read_bead_table,
        False,
        "a folder of Slide-seq: beads by gene, and their places",
        bead_table_folder,
        "beads",
        lambda folder: True,
    ),
    "spatialdata": ExpressionFormat(
        read_spatialdata, False, "a SpatialData store (.zarr), or one of its tables", spatialdata_store, "cells"
    ),
    "hest": ExpressionFormat(read_hest, False, "st/ID.h5ad of HEST-1k, with metadata/ID.json"),
}
