"""Labels of places between measured spots: of the spot that lies there, or interpolated between the spots around.

On a square array the eight neighbour places fall on spots. On a hexagonal one (Visium) only two do: the others lie
between three spots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import Delaunay, QhullError, cKDTree

from napari_nh2st.geometry import SELF
from napari_nh2st.training.sections.array_pitch import spacing_of

Bool = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# In distances between neighbouring spots. A spot so near is taken for the place: on her2st's five sections, of the
# places that have a spot at all, 99% have it within 0.32.
AT_SPOT = 0.35
# The spots that a place lies between are no further from it than on a whole array: in a square, where no corner is as
# near as AT_SPOT, up to 1.2; in a triangle of a hexagonal array, up to 1.
BETWEEN = 1.2


@dataclass(frozen=True, eq=False)
class PlaceLabels:
    """The measured spots from which the labels of n spots' nine places are taken.

    Attributes
    ----------
    spots : (n, 9, 3) int64
        Indices of up to three spots; 0 where the weight is 0.
    weights : (n, 9, 3) float32
        Their parts of the label: of one spot 1, of three their barycentric coordinates. All 0 where no spot lies at the
        place and none lie around it.
    """

    spots: Indices
    weights: Floats

    @classmethod
    def of(cls, centres: FloatArray) -> PlaceLabels:
        """Find the spots at or around the places of neighbourhoods.

        Linear interpolation in the triangles of Delaunay (Lawson, in Mathematical Software III, 1977). Nothing is
        extrapolated: a place outside the triangles, or in one that spans a gap of the array, has no label.

        Parameters
        ----------
        centres : (n, 9, 2)
            (x, y) in any unit; index ``SELF`` is the spot.
        """
        own = centres[:, SELF]
        places, spacing = centres.reshape(-1, 2), spacing_of(own)
        distance, nearest = cKDTree(own).query(places, distance_upper_bound=AT_SPOT * spacing)
        at = np.isfinite(distance)
        found = cls.at(np.where(at, nearest, -1).reshape(centres.shape[:2]))
        between = np.flatnonzero(~at)
        corners, shares = _triangles(own, places[between], BETWEEN * spacing)
        found.spots.reshape(-1, 3)[between], found.weights.reshape(-1, 3)[between] = corners, shares
        found.spots[:, SELF] = np.arange(len(own))[:, None] * [1, 0, 0]
        found.weights[:, SELF] = [1, 0, 0]
        return found

    @classmethod
    def at(cls, spots: Indices) -> PlaceLabels:
        """Take one spot for each place, (n, 9) indices, -1 where there is none."""
        there = spots >= 0
        three, weights = np.zeros((*spots.shape, 3), np.int64), np.zeros((*spots.shape, 3), np.float32)
        three[..., 0], weights[..., 0] = np.where(there, spots, 0), there
        return cls(three, weights)

    def known(self, spots: Indices, hidden: Bool) -> Bool:
        """Tell which places of these spots (m,) have a label that owes nothing to hidden spots (n,): (m, 9)."""
        used = self.weights[spots] > 0
        secret = used & hidden[self.spots[spots]]
        known: Bool = np.logical_and(used.any(axis=-1), ~secret.any(axis=-1))
        return known

    def labels(self, spots: Indices, values: Floats) -> Floats:
        """Give the labels at the places of these spots (m,), from those of all spots (n, G): (m, 9, G).

        A place that lies on a spot has that spot's label to the last bit; one that has none has zeros.
        """
        corners, weights = self.spots[spots], self.weights[spots]
        out: Floats = values[corners[..., 0]] * weights[..., :1]
        mixed = weights[..., 1:].any(axis=-1)
        for k in (1, 2):
            out[mixed] += values[corners[mixed, k]] * weights[mixed, k, None]
        return out

    def part(self, spots: Indices) -> PlaceLabels:
        """Take some spots (k,); the others are as if they had never been measured."""
        number = np.full(len(self.spots), -1)
        number[spots] = np.arange(len(spots))
        weights = self.weights[spots] * self.known(spots, number < 0)[..., None]
        return PlaceLabels(np.where(weights > 0, number[self.spots[spots]], 0), weights)


def _triangles(own: FloatArray, places: FloatArray, reach: float) -> tuple[Indices, Floats]:
    """Find the three spots between which places (k, 2) lie, none further away than `reach`, and their weights."""
    corners, weights = np.zeros((len(places), 3), np.int64), np.zeros((len(places), 3), np.float32)
    try:
        net = Delaunay(own)
    except (QhullError, ValueError):  # too few spots, or all on a line
        return corners, weights
    triangle = net.find_simplex(places)
    inside = np.flatnonzero(triangle >= 0)
    three = net.simplices[triangle[inside]].astype(np.int64)  # (j, 3)
    affine = net.transform[triangle[inside]]  # (j, 3, 2): see scipy.spatial.Delaunay.transform
    first = np.einsum("jab,jb->ja", affine[:, :2], places[inside] - affine[:, 2])
    shares = np.column_stack([first, 1 - first.sum(axis=1)])
    near = np.linalg.norm(own[three] - places[inside, None], axis=-1).max(axis=1) <= reach
    good = near & np.isfinite(shares).all(axis=1)
    corners[inside[good]], weights[inside[good]] = three[good], shares[good].clip(0, 1)
    return corners, weights
