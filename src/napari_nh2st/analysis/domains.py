"""Domains: parts of the tissue that look alike and are predicted alike, found without supervision."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.analysis.regions import Mask, Tell, compare, gene_moments
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import FloatArray, IntArray, TileSet
from napari_nh2st.model.decoder import ValuesDecoder

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.floating[Any]]
Embed = Callable[[TileSet], npt.NDArray[np.float32]]

LEAST = 50  # tiles that can be divided
SMALLEST = 10  # tiles of a domain
SAMPLE = 10_000  # tiles that are clustered; leiden holds Python's lock, and with it the window, 0.1 s for so many
NEIGHBOURS = 15
COMPONENTS = 20
_GENES = 2_000  # by which tiles are compared, where there is a value of each
_AT_ONCE = 4096  # places that are encoded, and assigned, at once
_JITTER = 1e-4  # tiles that are exactly alike have no distance, by which the weights of neighbours are divided

# igraph has one random number generator in a process: two runs at once would disturb each other
_ALONE = threading.Lock()


@dataclass(frozen=True, eq=False)
class Domains:
    """The domain of each place.

    Attributes
    ----------
    labels : (n,) uint16
        1 is the largest domain; 0 where nothing is predicted.
    clustered : int
        Number of places that were clustered; each other place joins the domain of most of its `NEIGHBOURS` most
        similar ones.
    """

    labels: npt.NDArray[np.uint16]
    clustered: int

    @property
    def count(self) -> int:
        """Number of domains."""
        return int(self.labels.max(initial=0))

    @property
    def shares(self) -> FloatArray:
        """Share of the predicted places that each domain has, the largest first; sums to 1."""
        sizes = np.bincount(self.labels, minlength=2)[1:]
        shares: FloatArray = sizes / sizes.sum()
        return shares


def find_domains(
    prediction: Prediction,
    embed: Embed | None = None,
    *,
    resolution: float = 0.5,
    seed: int = 0,
    tell: Tell = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Domains:
    """Cluster places by their embeddings and their predicted genes, with the same weight.

    Both are standardised and reduced to `COMPONENTS` principal components; scanpy's neighbours and leiden follow. The
    same input and seed give the same domains.

    Parameters
    ----------
    prediction : Prediction
    embed : callable, optional
        Gives the embeddings (k, d) of places, like ``Session.embed``. Without it the predictions alone decide.
    resolution : float
        Of leiden: higher gives more, smaller domains.
    tell, cancelled : callable

    Raises
    ------
    Nh2stError
        If fewer than `LEAST` places are predicted.
    Cancelled
    """
    done = np.flatnonzero(prediction.done)
    if len(done) < LEAST:
        raise Nh2stError(f"{len(done)} tiles are predicted; domains need {LEAST}: predict more of the tissue first")
    sample = done
    if len(done) > SAMPLE:
        sample = np.sort(np.random.default_rng(seed).choice(done, SAMPLE, replace=False))
    rest = np.setdiff1d(done, sample)
    steps = _Steps(len(_parts(sample)) + len(_parts(rest)) + 3, tell, cancelled)
    space = _Space(_views(prediction, embed, done), sample, steps)
    clusters = _cluster(space.sample, resolution, seed, steps)
    labels = np.zeros(len(prediction), dtype=np.int64)
    labels[sample] = clusters
    nearest = _nearest(space.sample, clusters)
    for part in _parts(sample[clusters == 0]) + _parts(rest):
        labels[part] = nearest(space.of(part))
        steps.next()
    return Domains(_by_size(labels), len(sample))


def markers(
    prediction: Prediction,
    domains: Domains,
    *,
    tell: Tell = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> pd.DataFrame:
    """Compare every domain with all others; see `regions.compare`.

    Returns
    -------
    DataFrame
        One row a domain and gene: ``domain``, ``gene``, ``n_tiles``, ``difference``, ``score``, ``p``, ``adjusted p``;
        highest score first in each domain. Empty if there is only one domain.
    """
    import pandas as pd

    columns = ["domain", "gene", "n_tiles", "difference", "score", "p", "adjusted p"]
    if domains.count < 2:
        return pd.DataFrame(columns=columns)
    tables = []
    for domain in range(1, domains.count + 1):
        mask: Mask = domains.labels == domain
        compared = compare(
            prediction,
            mask,
            (domains.labels > 0) & ~mask,
            names=(f"domain {domain}", "the rest"),
            tell=partial(_tell_part, tell, domain - 1, domains.count),
            cancelled=cancelled,
        )
        table = compared.table.sort_values("score", ascending=False, kind="stable").reset_index()
        tables.append(table.assign(domain=domain, n_tiles=int(mask.sum()))[columns])
    return pd.concat(tables, ignore_index=True)


def _tell_part(tell: Tell, before: int, parts: int, done: int, total: int) -> None:
    tell(before * total + done, parts * total)


class _Steps:
    """Report progress and check for a cancel between steps of about the same length."""

    def __init__(self, total: int, tell: Tell, cancelled: Callable[[], bool]) -> None:
        self._done, self._total, self._tell, self._cancelled = 0, total, tell, cancelled

    def next(self) -> None:
        if self._cancelled():
            raise Cancelled("stopped")
        self._done = min(self._done + 1, self._total)
        self._tell(self._done, self._total)


@dataclass(frozen=True, eq=False)
class _View:
    """One way to describe places: a function that gives (k, d) for k of them, and whether its columns have one unit."""

    describe: Callable[[IntArray], Floats]
    same_unit: bool


def _views(prediction: Prediction, embed: Embed | None, done: IntArray) -> list[_View]:
    """Return the views by which places are compared.

    Distances between standardised genes Z = (H - mean) A, with A = (weight / sd).T, follow from A A.T alone, which is
    (h, h): H times its root has the same distances, and the same principal components, without decoding a gene.
    """
    _, sd = gene_moments(prediction.hidden[done], prediction.decoder)
    if isinstance(prediction.decoder, ValuesDecoder):
        return [_view_of_values(prediction, sd), *_view_of_tissue(prediction, embed)]
    varying = sd > 1e-6
    standard = prediction.decoder.weight[varying] / sd[varying, None]
    values, vectors = np.linalg.eigh(standard.T @ standard)
    root = (vectors * np.sqrt(np.maximum(values, 0))).astype(np.float32)
    genes = _View(lambda rows: prediction.hidden[rows].astype(np.float32) @ root, True)
    return [genes, *_view_of_tissue(prediction, embed)]


def _view_of_values(prediction: Prediction, sd: npt.NDArray[np.float64]) -> _View:
    """Return the view by standardised genes where they are kept as values; of very many, those that vary most."""
    varying = np.sort(np.argsort(-sd, kind="stable")[:_GENES])
    varying = varying[sd[varying] > 1e-6]
    step = sd[varying].astype(np.float32)
    return _View(lambda rows: prediction.hidden[np.ix_(rows, varying)].astype(np.float32) / step, True)


def _view_of_tissue(prediction: Prediction, embed: Embed | None) -> list[_View]:
    return [] if embed is None else [_View(lambda rows: embed(prediction.places.select(rows)), False)]


class _Space:
    """Principal components of each view, scaled so that every view has a total variance of 1.

    Attributes
    ----------
    sample : (m, c) float32
        Positions of the places that it was made from.
    """

    def __init__(self, views: list[_View], sample: IntArray, steps: _Steps) -> None:
        described: list[list[Floats]] = [[] for _ in views]
        for part in _parts(sample):
            for parts, view in zip(described, views, strict=True):
                parts.append(view.describe(part))
            steps.next()
        self._axes: list[tuple[_View, Callable[[Floats], Floats]]] = []
        placed = []
        for view, parts in zip(views, described, strict=True):
            rows = np.concatenate(parts)
            axes = _axes(rows, view.same_unit)
            if axes is not None:
                self._axes.append((view, axes))
                placed.append(axes(rows))
        if not placed:
            raise Nh2stError("the prediction is the same everywhere: there is nothing to divide")
        self.sample = np.hstack(placed)
        steps.next()

    def of(self, places: IntArray) -> Floats:
        """Return the positions of places, (k, c)."""
        return np.hstack([axes(view.describe(places)) for view, axes in self._axes])


def _axes(rows: Floats, same_unit: bool) -> Callable[[Floats], Floats] | None:
    """Fit the map from rows (m, d) to scaled principal components; None if all rows are the same."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if not (rows.std(axis=0) > 1e-6).any():
        return None
    pca = PCA(min(COMPONENTS, *rows.shape), svd_solver="covariance_eigh")
    fitted = make_pipeline(StandardScaler(with_std=not same_unit), pca).fit(rows)
    size = np.sqrt(pca.explained_variance_.sum())
    return lambda more: np.asarray(fitted.transform(more) / size, dtype=np.float32)


def _cluster(points: Floats, resolution: float, seed: int, steps: _Steps) -> IntArray:
    """Return clusters (m,) of points (m, c), from 1; 0 if a cluster has fewer than `SMALLEST` points."""
    import anndata
    import igraph  # noqa: F401, scanpy's leiden runs on it and does not bring it
    import pandas as pd
    import scanpy

    noise = np.random.default_rng(seed).standard_normal(points.shape).astype(np.float32)
    names = pd.DataFrame(index=pd.RangeIndex(len(points)).astype(str))
    data = anndata.AnnData(np.zeros((len(points), 0), np.float32), obs=names)
    data.obsm["places"] = points + _JITTER * noise
    # Gaussian weights, and scikit-learn's search: umap's weights run in numba's parallel loops, which end the process
    # where another thread (napari's window) is in one too and no thread-safe layer is installed; they also compile for
    # half a minute the first time
    scanpy.pp.neighbors(data, NEIGHBOURS, use_rep="places", method="gauss", transformer="sklearn", random_state=seed)
    steps.next()
    with _ALONE:
        scanpy.tl.leiden(
            data, resolution=resolution, flavor="igraph", n_iterations=2, directed=False, random_state=seed
        )
    steps.next()
    clusters: IntArray = data.obs["leiden"].cat.codes.to_numpy(np.int64)
    sizes = np.bincount(clusters)
    return np.where(sizes[clusters] >= min(SMALLEST, sizes.max()), clusters + 1, 0)


def _nearest(points: Floats, clusters: IntArray) -> Callable[[Floats], IntArray]:
    """Return a classifier that gives other points the domain of the most similar clustered points."""
    from sklearn.neighbors import KNeighborsClassifier

    kept = clusters > 0
    fitted = KNeighborsClassifier(min(NEIGHBOURS, int(kept.sum())), algorithm="brute").fit(points[kept], clusters[kept])
    return lambda more: np.asarray(fitted.predict(more), dtype=np.int64)


def _parts(places: IntArray) -> list[IntArray]:
    return [places[i : i + _AT_ONCE] for i in range(0, len(places), _AT_ONCE)]


def _by_size(labels: IntArray) -> npt.NDArray[np.uint16]:
    """Renumber labels by size, 1 being the largest; 0 stays."""
    sizes = np.bincount(labels)
    sizes[0] = 0
    order = np.argsort(-sizes, kind="stable")
    number = np.zeros(len(sizes), dtype=np.uint16)
    number[order] = np.arange(1, len(sizes) + 1)
    number[sizes == 0] = 0
    return number[labels]
