"""The hierarchical graph of `merge`: places of a slide in clusters, by where they lie and by how they look. No torch.

Ganguly et al. (MERGE), CVPR 2025. k-means clusters of places (µm), k-means clusters of embeddings; each cluster has a
hub, the place nearest to its mean; every place is linked to the hubs of its two clusters, and the hubs of either kind
are linked with one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import FloatArray, IntArray, far_apart

_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of n places; there may be none.

    Attributes
    ----------
    of : (n,) int64
        The cluster of each place, 0 to k - 1.
    means : (k, m) float64
        Of what was clustered.
    hubs : (k,) int64
        The place of each cluster that is nearest to its mean.
    """

    of: IntArray
    means: FloatArray
    hubs: IntArray

    @property
    def star(self) -> IntArray:
        """Links (e, 2) of each place with the hub of its cluster."""
        others: IntArray = np.flatnonzero(np.arange(len(self.of)) != self.hubs[self.of])
        return np.stack([others, self.hubs[self.of[others]]], axis=1)

    @property
    def ring(self) -> IntArray:
        """Links (e, 2) of each hub with each other hub, once."""
        a, b = np.triu_indices(len(self.hubs), 1)
        return np.stack([self.hubs[a], self.hubs[b]], axis=1)


@dataclass(frozen=True, eq=False)
class TissueGraph:
    """Places of a slide, clustered by where they lie and by how they look."""

    near: Clusters
    alike: Clusters

    @classmethod
    def of(cls, centres: npt.NDArray[Any], embeddings: npt.NDArray[Any], near: int, alike: int) -> TissueGraph:
        """Cluster places: (n, 2) µm into `near` clusters at most, (n, C) embeddings into `alike` at most."""
        return cls(clusters(centres, near), clusters(embeddings, alike))

    @property
    def links(self) -> npt.NDArray[np.bool_]:
        """The graph, (n, n), symmetric; each place is linked to itself."""
        out = np.eye(len(self.near.of), dtype=bool)
        for kind in (self.near, self.alike):
            for a, b in (kind.star.T, kind.ring.T):
                out[a, b] = out[b, a] = True
        return out


def clusters(points: npt.NDArray[Any], count: int) -> Clusters:
    """Cluster points (n, m): k-means (Lloyd 1982) from starts far from one another, the same whatever their order."""
    from scipy.spatial.distance import cdist

    x = np.asarray(points, dtype=np.float64)
    if not len(x):
        return Clusters(np.empty(0, np.int64), np.empty((0, x.shape[1])), np.empty(0, np.int64))
    means, of = x[far_apart(x, count)], np.full(len(x), -1)
    for _ in range(_ROUNDS):
        before = of
        taken, of = np.unique(cdist(x, means).argmin(axis=1), return_inverse=True)
        means = np.stack([x[of == c].mean(axis=0) for c in range(len(taken))])
        if np.array_equal(of, before):
            break
    away = cdist(means, x)
    away[of != np.arange(len(means))[:, None]] = np.inf
    return Clusters(of, means, away.argmin(axis=1))
