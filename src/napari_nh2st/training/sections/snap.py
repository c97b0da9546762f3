"""Snapping spots to the tissue: the turn, mirror, scale and shift with which their outline follows that of the tissue.

Both outlines become fields: how deep a place lies inside, or how far outside, up to a few pitches. A placement is as
good as these two fields correlate over the area of the spots and its rim; so places far from any edge weigh little more
than those at it, and a hole in the tissue counts as well as its border. The search goes from coarse to fine, without
chance: the same spots on the same slide always come to lie at the same place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize
from scipy.spatial import cKDTree

from napari_nh2st.errors import SampleError
from napari_nh2st.expression.transform import Transform
from napari_nh2st.slides import TissueMask

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FEWEST = 20
"""Spots that have an outline."""
POOR = 0.5
"""A correlation below which outlines do not follow one another."""

_DEEP = 2.0  # pitches: how far from an outline a place counts as deep inside, or far outside
_RIM = 2.0  # pitches beyond the outermost spots that are looked at
_CELLS = 3  # samples a pitch
_MOST = 3000  # samples
_HALF_CELL, _JOINED = 0.5, 0.75  # pitches: to the edge of a spot's own square, and where spots of a grid touch
_ANYWHERE, _OF_REST = 0.015, 0.5  # by which another turn must be better than the given one, and of what that one lacks
_TWIN = 0.02  # by which the next turn must be worse than the one that is taken
_KEPT = 0.003  # by which a change of scale must be better than none: an outline of spots is only known to half a pitch
_SETTLED = 0.01  # by which the agreement must fall two pitches beside the best place
_FULL = 0.6  # part of an edge along which spots stand close: there the array ends, not the tissue
_FLAT = 0.05  # spread of depths below which there is no outline
_EDGES = ((0, -1), (0, 1), (1, -1), (1, 1))  # axis, and which of its two ends
_TURNS, _SCALES = np.arange(0, 360, 10), (0.9, 1.0, 1.11)


@dataclass(frozen=True)
class Snap:
    """Spots that were snapped to the tissue.

    Attributes
    ----------
    transform : Transform
        Where they lie now.
    before, after : float
        Agreement of the two outlines, -1 to 1: the correlation of the fields.
    moved : float
        How far the middle of the spots has moved, level-0 pixels.
    """

    transform: Transform
    before: float
    after: float
    moved: float


def snap(spots: FloatArray, start: Transform, tissue: TissueMask, pitch: float) -> Snap:
    """Lay spots so that their outline follows that of the tissue. About a second or two: not on a GUI thread.

    Near the start, turn, scale and shift are searched. All turns, and mirrors, are tried as well; one of them is taken
    if it is clearly better.

    Parameters
    ----------
    spots : (n, 2) float64
        (x, y) in their own pixels.
    start : Transform
        Where they lie now, roughly.
    tissue : TissueMask
    pitch : float
        Between neighbouring spots, their own pixels.

    Raises
    ------
    SampleError
        If there is not enough to go on: few spots, no outline, outlines that do not follow one another anywhere, or
        that do so at several places alike.
    """
    if len(spots) < FEWEST:
        raise SampleError(f"{len(spots)} spots have no outline to go by: mark landmarks instead")
    if not tissue.mask.any() or not pitch > 0:
        raise SampleError("the slide shows no tissue to which spots could be snapped: mark landmarks instead")
    ground = _Ground(tissue, start.scale * pitch)
    outlines = _outlines(spots, pitch)
    if not outlines:
        raise SampleError("the spots fill their whole array, which has no outline to go by: mark landmarks instead")
    found = max((_snapped(ground, outline, start) for outline in outlines), key=lambda snapped: snapped.after)
    if found.after < POOR:
        raise SampleError(
            f"the spots' outline follows that of the tissue nowhere (agreement {found.after:.2f} of 1): mark landmarks"
        )
    return found


def _snapped(ground: _Ground, outline: _Outline, start: Transform) -> Snap:
    before = ground.agreement(outline, start)
    near = _settle(ground, outline, _shifted(ground, outline, start))
    best, score = near, ground.agreement(outline, near)
    perfect = score + _ANYWHERE > 1
    others = [] if perfect else [_settle(ground, outline, other) for other in _elsewhere(ground, outline, start)]
    scores = [ground.agreement(outline, other) for other in others]
    if scores and max(scores) >= score + max(_ANYWHERE, _OF_REST * (1 - score)):
        best, score = others[int(np.argmax(scores))], max(scores)
        twins = [s for s, other in zip(scores, others, strict=True) if _differ(other, best) and s > score - _TWIN]
        if twins:
            raise SampleError("the tissue looks alike from several sides: mark landmarks first, then snap")
    _assert_settled(ground, outline, best, score)
    moved = float(np.linalg.norm(best.place(outline.middle) - start.place(outline.middle)))
    return Snap(best, before, score, moved)


@dataclass(frozen=True, eq=False)
class _Outline:
    """Places (k, 2) in and round the spots, how deep (k,) each lies inside, -1 to 1, and the middle of the spots."""

    places: FloatArray
    depth: FloatArray
    middle: FloatArray
    pitch: float

    @classmethod
    def of(cls, spots: FloatArray, pitch: float, rims: FloatArray) -> _Outline:
        """Look `rims` (axis, end) beyond the outermost spots."""
        low, high = spots.min(axis=0) - rims[:, 0], spots.max(axis=0) + rims[:, 1]
        step = max(pitch / _CELLS, float(np.sqrt(np.prod(high - low) / _MOST)))
        axes = [np.arange(a, b + step / 2, step) for a, b in zip(low, high, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        away = cKDTree(spots).query(grid.reshape(-1, 2))[0].reshape(grid.shape[:2])
        inside = np.pad(away < _JOINED * pitch, 1, mode="edge")
        deep = _signed(inside, (step, step))[1:-1, 1:-1] - (_JOINED - _HALF_CELL) * pitch
        depth = np.clip(deep / (_DEEP * pitch), -1, 1).ravel()
        return cls(grid.reshape(-1, 2), depth, spots.mean(axis=0), pitch)


def _outlines(spots: FloatArray, pitch: float) -> list[_Outline]:
    """Return the outline of spots, if they have one.

    Where spots stand close all along a side, either the tissue is straight there or the array ends within it. Both are
    possible, so there is a second outline, which does not look beyond such sides.
    """
    whole, cut = np.full((2, 2), _RIM * pitch), np.full((2, 2), _RIM * pitch)
    low, high = spots.min(axis=0), spots.max(axis=0)
    for axis, end in _EDGES:
        edge = low[axis] if end < 0 else high[axis]
        along = np.unique(np.round(spots[np.abs(spots[:, axis] - edge) < pitch / 2, 1 - axis] / pitch))
        if len(along) * pitch > _FULL * (high - low)[1 - axis]:
            cut[axis, max(end, 0)] = 0.0
    outlines = [_Outline.of(spots, pitch, whole), *([_Outline.of(spots, pitch, cut)] if (cut == 0).any() else [])]
    if (cut == 0).all():  # nothing but the array's own frame
        outlines = outlines[1:]
    return [outline for outline in outlines if outline.depth.std() >= _FLAT]


class _Ground:
    """The tissue as a field: how deep inside a place lies, -1 to 1, over the slide and beyond it."""

    def __init__(self, tissue: TissueMask, pitch: float) -> None:
        mask, (y, x) = tissue.mask, tissue.steps
        by = max(int(pitch / 8 / max(y, x)), 1)
        mask = _coarser(mask, by)
        self.steps = np.array([x * by, y * by])
        self.margin = int(np.ceil(2 * _DEEP * pitch / self.steps.min())) + 1
        deep = _signed(np.pad(mask, self.margin), (y * by, x * by))
        self.pitch = pitch
        self.field = np.clip(deep / (_DEEP * pitch), -1, 1).astype(np.float32)
        rows, columns = np.nonzero(mask)
        self.middle = (np.array([columns.mean(), rows.mean()]) + 0.5) * self.steps
        self.area = float(mask.sum() * np.prod(self.steps))

    def depth(self, places: FloatArray) -> FloatArray:
        """Return how deep places (k, 2), level-0 pixels, lie in the tissue; far outside beyond the slide."""
        at = places / self.steps - 0.5 + self.margin
        found: FloatArray = ndimage.map_coordinates(self.field, at[:, ::-1].T, order=1, cval=-1.0)
        return found

    def agreement(self, outline: _Outline, transform: Transform) -> float:
        """Correlate both fields over the places of the outline."""
        there = self.depth(transform.place(outline.places))
        one, other = outline.depth - outline.depth.mean(), there - there.mean()
        norm = float(np.linalg.norm(one) * np.linalg.norm(other))
        return float(one @ other) / norm if norm > 1e-9 else 0.0


def _shifted(ground: _Ground, outline: _Outline, start: Transform) -> Transform:
    """Return the best of small turns and of shifts by up to four pitches."""
    shifts = ground.pitch * np.arange(-4, 5)
    moves = [_about(outline, start, x, y, d, 0.0) for d in (-6, 0, 6) for x, y in product(shifts, shifts)]
    return _best(ground, outline, [start, *moves])


def _elsewhere(ground: _Ground, outline: _Outline, start: Transform) -> Iterator[Transform]:
    """Yield the three best of all turns and mirrors, at scales round the given one, over the middle of the tissue."""
    found: list[tuple[float, Transform]] = []
    for mirror in (False, True):
        for scale in _SCALES:
            for degrees in _TURNS:
                turned = _over(outline, ground.middle, start.scale * scale, float(degrees), mirror)
                found.append((ground.agreement(outline, turned), turned))
    found.sort(key=lambda item: -item[0])
    chosen: list[Transform] = []
    for _, transform in found:
        if all(_differ(transform, other) for other in chosen):
            chosen.append(transform)
        if len(chosen) == 3:
            break
    shifts = ground.pitch * np.arange(-2, 3)
    for transform in chosen:
        yield _best(ground, outline, [_about(outline, transform, x, y, 0, 0) for x, y in product(shifts, shifts)])


def _over(outline: _Outline, middle: FloatArray, scale: float, degrees: float, mirror: bool) -> Transform:
    """Lay the middle of the spots on a place of the slide, turned and perhaps mirrored first."""
    matrix = scale * _turn(degrees) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    return Transform.of(np.column_stack([matrix, middle - matrix @ outline.middle]))


def _about(outline: _Outline, transform: Transform, x: float, y: float, degrees: float, growth: float) -> Transform:
    """Move, turn and enlarge (by a factor's logarithm) a placement, about the middle of the spots as it lays them."""
    middle = transform.place(outline.middle)[0]
    matrix = np.exp(growth) * _turn(degrees)
    return transform.then(Transform.of(np.column_stack([matrix, middle + np.array([x, y]) - matrix @ middle])))


def _turn(degrees: float) -> FloatArray:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin], [sin, cos]])


def _settle(ground: _Ground, outline: _Outline, start: Transform) -> Transform:
    """Climb from a placement to the top; the scale changes only if that helps clearly."""

    def climb(free: int, frm: Transform) -> Transform:
        unit = np.array([ground.pitch, ground.pitch, 4.0, 0.04])[:free]  # a pitch, four degrees, 4%

        def at(steps: FloatArray) -> Transform:
            return _about(outline, frm, *(*(steps * unit), 0.0)[:4])

        simplex = np.vstack([np.zeros(free), np.eye(free)])
        found = optimize.minimize(
            lambda steps: -ground.agreement(outline, at(steps)),
            np.zeros(free),
            method="Nelder-Mead",
            options={"initial_simplex": simplex, "xatol": 0.005, "fatol": 1e-6, "maxfev": 400},
        )
        return at(found.x)

    rigid = climb(3, start)
    scaled = climb(4, rigid)
    better = ground.agreement(outline, scaled) - ground.agreement(outline, rigid)
    return scaled if better > _KEPT else rigid


def _best(ground: _Ground, outline: _Outline, ways: Iterable[Transform]) -> Transform:
    return max(ways, key=lambda way: ground.agreement(outline, way))


def _differ(one: Transform, other: Transform) -> bool:
    """Tell whether two placements are turned otherwise, by 15 degrees or more, or one is mirrored."""
    apart = (one.degrees - other.degrees + 180) % 360 - 180
    return one.mirrors != other.mirrors or abs(apart) > 15


def _assert_settled(ground: _Ground, outline: _Outline, best: Transform, score: float) -> None:
    """Refuse a place beside which the spots would lie as well: along a straight edge, for instance."""
    for degrees in range(0, 180, 30):
        x, y = _DEEP * ground.pitch * _turn(degrees)[:, 0]
        beside = max(ground.agreement(outline, _about(outline, best, s * x, s * y, 0, 0)) for s in (-1, 1))
        if score - beside < _SETTLED:
            raise SampleError("the outline leaves open where along its edge the spots lie: mark landmarks instead")


def _signed(mask: Mask, steps: tuple[float, float]) -> FloatArray:
    """Return how far inside (positive) or outside each pixel lies; steps are the sides of a pixel."""
    if mask.all() or not mask.any():
        return np.full(mask.shape, np.inf if mask.all() else -np.inf)
    inside, outside = (ndimage.distance_transform_edt(part, sampling=steps) for part in (mask, ~mask))
    half = float(np.mean(steps)) / 2  # from the middle of a pixel to its edge
    signed: FloatArray = np.where(mask, inside - half, half - outside)
    return signed


def _coarser(mask: Mask, by: int) -> Mask:
    """Take the majority of squares of `by` x `by` pixels; what is left over at the edges is padded without tissue."""
    height, width = (-(-side // by) * by for side in mask.shape)
    whole = np.zeros((height, width), dtype=np.float32)
    whole[: mask.shape[0], : mask.shape[1]] = mask
    squares = whole.reshape(height // by, by, width // by, by).mean(axis=(1, 3))
    coarse: Mask = squares >= 0.5
    return coarse
