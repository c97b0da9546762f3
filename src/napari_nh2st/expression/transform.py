"""Where spots lie that were placed on another image than the slide: an affine map, given or fitted to landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError
from napari_nh2st.geometry import FloatArray

Fit = Literal["similarity", "affine"]
FITS: tuple[Fit, ...] = ("similarity", "affine")

FEWEST = 3
"""Landmarks that settle where spots lie."""

_LINE = 0.02  # how wide landmarks lie, of how long: less is a line, from which nobody sees on which side the rest lies
_FLAT = 1e-3  # of the larger stretch of a matrix: a smaller one across makes a line of the tissue
_LARGEST = 1e12  # pixels: no slide is wider, and squares of it are still numbers


@dataclass(frozen=True)
class Transform:
    """An affine map from the spots' own pixels to the slide's.

    Attributes
    ----------
    matrix : ((a, b, c), (d, e, f))
        A spot at (x, y) on its own image lies at (a x + b y + c, d x + e y + f), level-0 pixels of the slide.

    Raises
    ------
    SampleError
        If it holds something other than numbers, or makes a line of the tissue.
    """

    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, dtype=np.float64)
        if matrix.shape != (2, 3) or not (np.abs(matrix) <= _LARGEST).all():
            raise SampleError("a transform is six numbers: a b c d e f, for x = a x + b y + c and y = d x + e y + f")
        large, small = np.linalg.svd(matrix[:, :2], compute_uv=False)
        if not small > _FLAT * large:
            raise SampleError("the transform makes a line of the tissue: its rows lie along one another")

    @classmethod
    def of(cls, matrix: npt.ArrayLike) -> Transform:
        """Take a matrix (2, 3), or (3, 3) with the last row 0 0 1 or a multiple of it.

        Raises
        ------
        SampleError
            If it is none, or one that lets parallel lines meet (perspective).
        """
        numbers = np.asarray(matrix, dtype=np.float64)
        if numbers.shape not in ((2, 3), (3, 3)):
            raise SampleError(f"a transform is a matrix of 2 x 3 or 3 x 3 numbers, not of {numbers.shape}")
        if len(numbers) == 3:
            numbers = _flat(numbers)
        a, b, c, d, e, f = (float(v) for v in numbers[:2].ravel())
        return cls(((a, b, c), (d, e, f)))

    @classmethod
    def scaled(cls, scale: float, x: float, y: float) -> Transform:
        """Return the map to ``scale * spot + (x, y)``, as a sample sheet's columns of these names say it."""
        return cls(((float(scale), 0.0, float(x)), (0.0, float(scale), float(y))))

    @property
    def square(self) -> FloatArray:
        """The matrix (3, 3), with the row 0 0 1."""
        return np.vstack([np.asarray(self.matrix), [0.0, 0.0, 1.0]])

    @property
    def scale(self) -> float:
        """Level-0 pixels of the slide for each of the spots' own; the mean of both directions, where they differ."""
        return float(abs(np.linalg.det(self.square[:2, :2])) ** 0.5)

    @property
    def mirrors(self) -> bool:
        """True if left and right change places."""
        return bool(np.linalg.det(self.square[:2, :2]) < 0)

    @property
    def degrees(self) -> float:
        """The turn of the spots' x axis, clockwise as one sees it on the slide, -180 to 180."""
        (a, _, _), (d, _, _) = self.matrix
        return float(np.degrees(np.arctan2(d, a)))

    @property
    def words(self) -> str:
        """Turn, mirror and scale as a person says them."""
        mirrored = ", mirrored" * self.mirrors
        return f"scale {self.scale:.4g}, turned by {self.degrees:z.1f}°{mirrored}"

    def place(self, spots: npt.ArrayLike) -> FloatArray:
        """Return the places (n, 2) on the slide of spots (n, 2), (x, y)."""
        matrix = self.square
        placed: FloatArray = np.asarray(spots, dtype=np.float64).reshape(-1, 2) @ matrix[:2, :2].T + matrix[:2, 2]
        return placed

    def then(self, other: Transform) -> Transform:
        """Return the map that does this one first and the other one after it."""
        return Transform.of(other.square @ self.square)

    @property
    def inverse(self) -> Transform:
        """The map back."""
        return Transform.of(np.linalg.inv(self.square))


NOWHERE_ELSE = Transform.scaled(1, 0, 0)
"""Of spots that were placed on the slide itself."""


def _flat(matrix: FloatArray) -> FloatArray:
    """Divide a matrix (3, 3) by its last number; refuse perspective that would move a spot by a pixel or more."""
    g, h, last = matrix[2]
    if not np.isfinite(matrix).all() or last == 0 or max(abs(g), abs(h)) > 1e-9 * abs(last):
        raise SampleError("the last row of a transform is 0 0 1; with perspective, spots cannot be laid on a slide")
    flat: FloatArray = matrix / last
    return flat


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Places that somebody has marked on the spots' own image and on the slide.

    Attributes
    ----------
    names : tuple of str
    spots : (n, 2) float64
        (x, y) in the spots' own pixels.
    slide : (n, 2) float64
        (x, y) in level-0 pixels of the slide.
    """

    names: tuple[str, ...]
    spots: FloatArray
    slide: FloatArray

    @classmethod
    def of(cls, spots: npt.ArrayLike, slide: npt.ArrayLike, names: Sequence[str] = ()) -> Landmarks:
        """Take pairs of places, each (n, 2); they are numbered where they have no names."""
        own, there = (np.asarray(places, dtype=np.float64).reshape(-1, 2) for places in (spots, slide))
        return cls(tuple(names) or tuple(str(i + 1) for i in range(len(own))), own, there)

    def __len__(self) -> int:
        return len(self.names)

    def fit(self, kind: Fit = "similarity", mirror: bool | None = None) -> Transform:
        """Return the map that brings the spots' landmarks nearest to the slide's, by least squares.

        Parameters
        ----------
        kind : "similarity" or "affine"
            A turn, one scale and a shift; or any affine map, which may stretch the tissue.
        mirror : bool, optional
            Whether a similarity mirrors; by default, as the landmarks say.

        Raises
        ------
        SampleError
            If there are fewer than three landmarks, or they lie on a line.
        """
        self._check()
        return _affine(self.spots, self.slide) if kind == "affine" else _similarity(self.spots, self.slide, mirror)

    def nearest(self, current: Transform) -> Transform:
        """Return the map for as many landmarks as there are: with fewer than three, what they leave open stays.

        One landmark shifts the spots; two turn and scale them as well; three or more are fitted.

        Raises
        ------
        SampleError
            If three or more lie on a line, or two at one place.
        """
        if len(self) >= FEWEST:
            return self.fit()
        if len(self) == 2:
            return _similarity(self.spots, self.slide, current.mirrors)
        (x, y), *_ = self.slide - current.place(self.spots) if len(self) else [(0.0, 0.0)]
        return current.then(Transform.scaled(1, x, y))

    def residuals(self, transform: Transform) -> FloatArray:
        """Return how far each landmark lies from its place on the slide, (n,) level-0 pixels."""
        away: FloatArray = np.linalg.norm(transform.place(self.spots) - self.slide, axis=1)
        return away

    def _check(self) -> None:
        if len(self) < FEWEST:
            raise SampleError(f"{len(self)} of {FEWEST} landmarks: mark {FEWEST} or more on both images")
        for where, places in (("the spots' image", self.spots), ("the slide", self.slide)):
            if not (np.abs(places) <= _LARGEST).all():
                raise SampleError(f"a landmark on {where} has no place: give x and y as numbers")
            large, small = np.linalg.svd(places - places.mean(axis=0), compute_uv=False)
            if not small > _LINE * large:
                raise SampleError(f"the landmarks lie on a line on {where}: mark one more beside it")


def _similarity(spots: FloatArray, slide: FloatArray, mirror: bool | None) -> Transform:
    """Fit turn, scale and shift by least squares.

    The solution is Umeyama's (IEEE Trans. Pattern Anal. Mach. Intell. 13, 1991, equations 40 to 42), who forbids
    mirrors; where they are allowed, the orthogonal matrix may have determinant -1 as well.
    """
    own, there = spots.mean(axis=0), slide.mean(axis=0)
    from_, to = spots - own, slide - there
    u, d, vt = np.linalg.svd(to.T @ from_ / len(spots))
    sign = np.linalg.det(u) * np.linalg.det(vt)
    keep = np.array([1.0, 1.0 if mirror is None else np.sign(sign) * (-1.0 if mirror else 1.0)])
    turn = u @ np.diag(keep) @ vt
    spread = float(from_.var(axis=0).sum())
    if not spread > 0:
        raise SampleError("the landmarks lie at one place: mark one more")
    scale = float(d @ keep) / spread
    matrix = scale * turn
    return Transform.of(np.column_stack([matrix, there - matrix @ own]))


def _affine(spots: FloatArray, slide: FloatArray) -> Transform:
    own, there = spots.mean(axis=0), slide.mean(axis=0)  # round the means, so that far places lose no digits
    matrix = np.linalg.lstsq(spots - own, slide - there, rcond=None)[0].T
    return Transform.of(np.column_stack([matrix, there - matrix @ own]))
