"""Readers of measured expression: raw counts at spots whose centres are known in the slide's pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.errors import SampleError, one_line
from napari_nh2st.expression.visium import FRAME, frame_of, read_visium
from napari_nh2st.reading import read_frame

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

    from napari_nh2st.expression.sample import Sample


_POSITIONS = ("x", "y", "pixel_x", "pixel_y")
_FARTHEST = 1e9  # pixels: no slide is wider


@dataclass(frozen=True)
class ExpressionFormat:
    """A row of the table: how a format is read.

    Attributes
    ----------
    read : callable
        (expression path, spots path or None) -> AnnData with counts in X and centres in obsm["spatial"].
    needs_spots : bool
        Whether spot positions come in a file of their own.
    """

    read: Callable[[Path, Path | None], ad.AnnData]
    needs_spots: bool
    description: str


def read_expression(sample: Sample) -> ad.AnnData:
    """Read one section's counts.

    Returns
    -------
    AnnData
        ``X`` raw counts, CSR float32 (spots, genes); ``obs_names`` spot ids; ``obsm["spatial"]`` spot centres (x, y) in
        level-0 pixels of the slide, placed there by the sample's scale, x and y; ``obs["total_counts"]`` over all
        genes. Spots without any count are dropped: ``uns["nh2st"]["dropped"]`` says how many,
        ``uns["nh2st"]["repeated"]`` how many genes repeated a name. ``var["gene_ids"]``: Ensembl ids, where the file
        has them. ``uns["frame"]``: the image on which the spots were laid (`visium.frame_of`), perhaps empty.

    Raises
    ------
    SampleError
        If the file cannot be read, spots have no position, or X holds no counts.
    """
    import scipy.sparse as sp

    try:
        data = FORMATS[sample.format].read(sample.expression, sample.spots)
    except SampleError as error:
        raise SampleError(f"sample {sample.sample}: {error}") from error
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise SampleError(f"sample {sample.sample}: cannot read {sample.expression}: {error}") from error
    _check_spots(sample.sample, data)
    data.obsm["spatial"] = sample.scale * data.obsm["spatial"] + (sample.x, sample.y)
    data.X = sp.csr_matrix(data.X, dtype=np.float32)
    values = data.X.data
    odd = values[~((values >= 0) & (values == np.round(values)))]
    if not len(values) or len(odd):
        there = f"{odd[0]:.4g} stands there" if len(odd) else "there is none in it"
        raise SampleError(
            f"sample {sample.sample}: {sample.expression} holds no raw counts (whole numbers, 0 and up): {there}"
        )
    repeated = int(data.var_names.duplicated().sum())
    data.var_names_make_unique()
    totals = np.asarray(data.X.sum(axis=1)).ravel()
    data.obs["total_counts"] = totals
    kept = data[totals > 0].copy()
    kept.uns.setdefault(FRAME, {})
    kept.uns["nh2st"] = {
        "sample": sample.sample,
        "patient": sample.patient,
        "dropped": int((totals <= 0).sum()),
        "repeated": repeated,
    }
    return kept


def _check_spots(name: str, data: ad.AnnData) -> None:
    twice = data.obs_names[data.obs_names.duplicated()]
    if len(twice):
        raise SampleError(f"sample {name}: spot ids repeat ({twice[0]}): give each spot an id of its own")
    lost = data.obs_names[~np.isfinite(data.obsm["spatial"]).all(axis=1)]
    if len(lost):
        raise SampleError(
            f"sample {name}: positions that are no numbers: {len(lost)}, first of {lost[0]}; leave these out"
        )


def _read_st_tsv(expression: Path, spots: Path | None) -> ad.AnnData:
    """Spatial Transcriptomics: a TSV of counts with rows `XxY`, positions in a `*_selection.tsv`.

    Rows are joined by spot id, never by position in the file; a spot that only one file knows is left out.
    """
    import anndata as ad
    import scipy.sparse as sp

    if spots is None:
        raise SampleError("st-tsv needs the file with the spots' positions")
    counts = read_frame(expression, error=SampleError, index=True)
    positions = _numbers(read_frame(spots, error=SampleError), spots)
    positions.index = [f"{round(x)}x{round(y)}" for x, y in zip(positions["x"], positions["y"], strict=True)]
    for name, table in ((expression.name, counts), (spots.name, positions)):
        if not table.index.is_unique:
            raise SampleError(f"{name} names the spot {table.index[table.index.duplicated()][0]} twice")
    shared = counts.index[counts.index.isin(positions.index)]
    if not len(shared):
        raise SampleError(f"{expression.name} and {spots.name} share no spot")
    table, position = counts.loc[shared], positions.loc[shared]
    data = ad.AnnData(sp.csr_matrix(table.to_numpy(dtype=np.float32)))
    data.obs_names, data.var_names = shared.astype(str), table.columns.astype(str)
    data.obsm["spatial"] = position[["pixel_x", "pixel_y"]].to_numpy(dtype=np.float64)
    array = np.array([name.split("x") for name in shared], dtype=np.int64)
    data.obs["array_col"], data.obs["array_row"] = array[:, 0], array[:, 1]
    _assert_joined(data, counts, positions)
    return data


def _numbers(positions: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Return the positions with their columns in lower case; refuse what are no numbers."""
    import pandas as pd

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
            raise SampleError(f"{file.name}: {column} {odd!r} is no place that a spot can have")
        positions[column] = values
    return positions


def _assert_joined(data: ad.AnnData, counts: Any, positions: Any) -> None:
    """Check the first, a middle and the last spot against both files by id."""
    for i in {0, data.n_obs // 2, data.n_obs - 1}:
        name = data.obs_names[i]
        total = float(counts.loc[name].sum())
        x = float(positions.loc[name, "pixel_x"])
        if not (np.isclose(float(data.X[i].sum()), total) and np.isclose(data.obsm["spatial"][i, 0], x)):
            raise SampleError(f"the join by spot id failed at spot {name}")


def _read_h5ad(expression: Path, spots: Path | None) -> ad.AnnData:
    """AnnData with counts in layers["counts"], X or raw, and spot centres (x, y) in obsm["spatial"]."""
    import anndata as ad

    data = ad.read_h5ad(expression)
    if "spatial" not in data.obsm:
        raise SampleError(f'{expression.name} has no obsm["spatial"]: spot centres (x, y) in pixels of the slide')
    matrices = [(data.layers.get("counts"), data.var), (data.X, data.var)]
    if data.raw is not None:
        matrices.append((data.raw.X, data.raw.var))
    matrices = [(counts, var) for counts, var in matrices if counts is not None]
    if not matrices:
        raise SampleError(f"{expression.name} holds no counts")
    counts, var = next((m for m in matrices if _whole(m[0])), matrices[0])
    centres = np.asarray(data.obsm["spatial"], dtype=np.float64)
    if centres.ndim != 2 or centres.shape[1] < 2:
        raise SampleError(
            f'{expression.name}: obsm["spatial"] has shape {centres.shape}, not two numbers (x, y) a spot'
        )
    out = ad.AnnData(counts)
    out.obs_names, out.var_names = data.obs_names, var.index
    if "gene_ids" in var:
        out.var["gene_ids"] = var["gene_ids"].astype(str)
    out.obsm["spatial"] = centres[:, :2]
    out.uns[FRAME] = _h5ad_frame(data.uns)
    return out


def _whole(counts: Any) -> bool:
    """Tell whether a matrix holds whole numbers, as counts are."""
    values = counts.data if hasattr(counts, "tocsr") else np.asarray(counts)
    return bool(np.array_equal(values, np.round(values)))


def _h5ad_frame(uns: Mapping[str, Any]) -> dict[str, Any]:
    """Return what scanpy and HEST keep about the image, under the name of the library."""
    try:
        library = next(iter(uns["spatial"].values()))
        pictures = library.get("images", {})
        return frame_of(
            library.get("scalefactors", {}), lambda name: pictures[name].shape[:2] if name in pictures else None
        )
    except (KeyError, StopIteration, AttributeError, TypeError, ValueError):  # others keep other things there
        return {}


FORMATS: dict[str, ExpressionFormat] = {
    "st-tsv": ExpressionFormat(_read_st_tsv, True, "Spatial Transcriptomics TSV of counts and a selection file"),
    "h5ad": ExpressionFormat(_read_h5ad, False, 'AnnData with obsm["spatial"], as scanpy and HEST write it'),
    "visium": ExpressionFormat(read_visium, False, "the folder outs that Space Ranger writes"),
}
