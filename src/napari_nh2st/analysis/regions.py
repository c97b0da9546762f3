"""Genes in drawn regions: mean and standard deviation in each, and the difference of two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import FloatArray
from napari_nh2st.model.decoder import Decoder, ValuesDecoder

if TYPE_CHECKING:
    import pandas as pd

Mask = npt.NDArray[np.bool_]
Regions = Mapping[str, Sequence[FloatArray]]
Tell = Callable[[int, int], None]

LEAST = 10  # tiles: with fewer, their variance is hardly known
MOST = 20_000  # tiles of one side that are compared
_PLACES = 65_536  # hidden vectors that are turned into float64 at once
_VALUES = 2**23  # decoded at once: 32 MB


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of the hidden vectors of n tiles.

    Genes are linear in the hidden vector, so these give every gene's mean and standard deviation without decoding any
    gene tile by tile.

    Attributes
    ----------
    n : int
    mean : (h,) float64
        NaN if there is no tile.
    covariance : (h, h) float64
        Divided by n - 1; NaN if there are fewer than two tiles.
    """

    n: int
    mean: FloatArray
    covariance: FloatArray

    @classmethod
    def of(cls, hidden: npt.NDArray[np.float16], keep: Mask | None = None) -> Moments:
        """Compute the moments of finite hidden vectors (n, h), or of those in a mask."""
        rows = np.arange(len(hidden)) if keep is None else np.flatnonzero(keep)
        n, width = len(rows), hidden.shape[1]
        parts = [rows[i : i + _PLACES] for i in range(0, n, _PLACES)]
        sums = [hidden[part].sum(axis=0, dtype=np.float64) for part in parts]
        mean = np.sum(sums, axis=0) / n if n else np.full(width, np.nan)
        scatter = np.zeros((width, width))
        for part in parts:
            away = hidden[part] - mean
            scatter += away.T @ away
        return cls(n, mean, scatter / (n - 1) if n > 1 else np.full((width, width), np.nan))

    def genes(self, decoder: Decoder) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of every gene, (G,) each."""
        weight = decoder.weight.astype(np.float64)
        variance = ((weight @ self.covariance) * weight).sum(axis=1)
        return weight @ self.mean + decoder.bias, np.sqrt(np.maximum(variance, 0))


def gene_moments(
    hidden: npt.NDArray[np.floating[Any]], decoder: Decoder, keep: Mask | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of every gene, (G,) each, over places (n, h) or those in a mask.

    The deviation is divided by n - 1; NaN where there are too few places. Where the vectors are values of genes, each
    gene is taken by itself: a covariance of all of them would not fit into memory.
    """
    if not isinstance(decoder, ValuesDecoder):
        return Moments.of(hidden, keep).genes(decoder)
    rows, step = np.arange(len(hidden)) if keep is None else np.flatnonzero(keep), max(1, _VALUES // decoder.genes)
    parts = [rows[i : i + step] for i in range(0, len(rows), step)]
    n, nothing = len(rows), np.full(decoder.genes, np.nan)
    if not n:
        return nothing, nothing
    mean = np.sum([hidden[part].sum(axis=0, dtype=np.float64) for part in parts], axis=0) / n
    squares = np.sum([((hidden[part] - mean) ** 2).sum(axis=0) for part in parts], axis=0)
    return mean, np.sqrt(squares / (n - 1)) if n > 1 else nothing


@dataclass(frozen=True, eq=False)
class Comparison:
    """Differences of genes between two sets of tiles.

    Attributes
    ----------
    table : DataFrame
        Indexed by gene, in the order of the panel: ``difference`` of the means (first minus second), ``score`` (Welch's
        t), ``p`` and ``adjusted p`` (Benjamini and Hochberg, over all genes).
    used : (2,) tuple of int
        Number of tiles used of each side, at most `MOST`.
    """

    table: pd.DataFrame
    used: tuple[int, int]


def inside(centres: FloatArray, outlines: Sequence[FloatArray]) -> Mask:
    """Return a mask of the places (n, 2) inside any of these outlines (k, 2); all x, y in level-0 pixels."""
    from skimage.measure import points_in_poly

    within = np.zeros(len(centres), dtype=bool)
    for outline in outlines:
        near = ((centres >= outline.min(axis=0)) & (centres <= outline.max(axis=0))).all(axis=1)
        within[near] |= points_in_poly(centres[near], outline)  # type: ignore[no-untyped-call]
    return within


def region_table(prediction: Prediction, regions: Regions) -> pd.DataFrame:
    """Describe every gene in every region.

    Parameters
    ----------
    prediction : Prediction
        Places without a prediction are left out.
    regions : dict of str to sequence of (k, 2) float64
        Outlines (x, y) in level-0 pixels; several under one name are one region. A tile belongs to a region if its
        centre is inside.

    Returns
    -------
    DataFrame
        One row a region and gene: ``region``, ``gene``, ``n_tiles``, ``mean``, ``sd`` (divided by n - 1; NaN for one
        tile), ``mean_elsewhere`` (all predicted tiles outside the region) and ``unit``. A region without a predicted
        tile has no rows.
    """
    done = prediction.only_done()
    return mask_table(done, {name: inside(done.places.centres, outlines) for name, outlines in regions.items()})


def mask_table(done: Prediction, masks: Mapping[str, Mask]) -> pd.DataFrame:
    """Describe every gene in every region as `region_table` does; masks (n,) of places that are all predicted."""
    import pandas as pd

    frames = []
    for name, mask in masks.items():
        if not mask.any():
            continue
        mean, sd = gene_moments(done.hidden, done.decoder, mask)
        elsewhere, _ = gene_moments(done.hidden, done.decoder, ~mask)
        columns = {
            "region": name,
            "gene": done.genes,
            "n_tiles": int(mask.sum()),
            "mean": mean,
            "sd": sd,
            "mean_elsewhere": elsewhere,
            "unit": done.card.unit,
        }
        frames.append(pd.DataFrame(columns))
    if not frames:
        return pd.DataFrame(columns=["region", "gene", "n_tiles", "mean", "sd", "mean_elsewhere", "unit"])
    return pd.concat(frames, ignore_index=True)


def compare(
    prediction: Prediction,
    first: Mask,
    second: Mask,
    *,
    names: tuple[str, str] = ("the first region", "the second region"),
    seed: int = 0,
    tell: Tell = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Comparison:
    """Rank genes by their difference between two sets of tiles, with scanpy's ``rank_genes_groups``.

    The method is "t-test", Welch's, scanpy's default. "t-test_overestim_var" uses the first side's number of tiles for
    both, which overrates a small second side. "wilcoxon" runs in numba's parallel loops, which on some systems end the
    process if two threads meet in them, and a dock has several threads. Neighbouring tiles are alike but every p value
    assumes that they are independent: use p for ranking only.

    Parameters
    ----------
    prediction : Prediction
    first, second : (n,) bool
        Masks of the places. Places in both, and places without a prediction, are left out.
    names : (2,) tuple of str
        Names of the sides, for errors.
    seed : int
        Picks `MOST` tiles of a side that has more.
    tell, cancelled : callable
        `tell` counts genes.

    Raises
    ------
    Nh2stError
        If a side has fewer than `LEAST` tiles.
    Cancelled
    """
    import pandas as pd
    from scipy.stats import false_discovery_control

    sides = [np.flatnonzero(side & ~other & prediction.done) for side, other in ((first, second), (second, first))]
    for side, name in zip(sides, names, strict=True):
        if len(side) < LEAST:
            few = f"{len(side)} predicted tile{'' if len(side) == 1 else 's'} of its own"
            raise Nh2stError(f"{name} has {few}; a comparison needs {LEAST}: draw it larger, or predict more of it")
    rng = np.random.default_rng(seed)
    picked = [np.sort(rng.choice(side, MOST, replace=False)) if len(side) > MOST else side for side in sides]
    hidden = prediction.hidden[np.concatenate(picked)]
    genes, width = len(prediction.genes), max(1, _VALUES // len(hidden))
    tables = []
    for start in range(0, genes, width):
        if cancelled():
            raise Cancelled("stopped")
        rows = range(start, min(start + width, genes))
        tables.append(_ranked(prediction.decoder(hidden, rows), [prediction.genes[i] for i in rows], len(picked[0])))
        tell(rows[-1] + 1, genes)
    table = pd.concat(tables)
    table["adjusted p"] = false_discovery_control(table["p"])
    return Comparison(table, (len(picked[0]), len(picked[1])))


def _ranked(values: npt.NDArray[np.float32], genes: list[str], first: int) -> pd.DataFrame:
    """Compare the first rows of values (n, g) with the others."""
    import anndata
    import pandas as pd
    import scanpy

    group = pd.Categorical(np.repeat(["first", "second"], (first, len(values) - first)))
    names = pd.RangeIndex(len(values)).astype(str)
    data = anndata.AnnData(values, obs=pd.DataFrame({"group": group}, index=names), var=pd.DataFrame(index=genes))
    with np.errstate(invalid="ignore", divide="ignore"):  # of fold changes, which are not used
        scanpy.tl.rank_genes_groups(data, "group", groups=["first"], reference="second", method="t-test")
    ranked = scanpy.get.rank_genes_groups_df(data, "first").set_index("names").loc[genes]
    difference = values[:first].mean(axis=0, dtype=np.float64) - values[first:].mean(axis=0, dtype=np.float64)
    columns = {
        "difference": difference,
        "score": ranked["scores"].to_numpy(np.float64),
        "p": ranked["pvals"].to_numpy(np.float64),
    }
    return pd.DataFrame(columns, index=pd.Index(genes, name="gene"))
