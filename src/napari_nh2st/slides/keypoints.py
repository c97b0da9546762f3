"""Keypoints of an overview: what an image shows, in a form that no re-saving, cropping, scaling or turning changes.

A keypoint is a place that stands out at some size, with a description of its surroundings relative to that size and to
the direction in which they get lighter (Lowe, Int. J. Comput. Vis. 2004). A few kilobytes say whether another image
shows the same tissue (`same_tissue.py`); no picture can be looked at in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_nh2st.geometry import Box
from napari_nh2st.slides.resample import Rgb

if TYPE_CHECKING:
    from napari_nh2st.slides.slide import Slide

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint8]

OVERVIEW_UM, OVERVIEW_SIDE = 8.0, 1200
"""An overview has pixels of 8 um, coarser ones where it would be wider than this many pixels."""
MOST = 256
"""Keypoints of an overview: those that stand out most."""
WORD, LEVELS = 128, 16
"""Entries of a word (4 x 4 fields of 8 directions) and the values that each can have."""

_FIRST_SIGMA, _STEPS = 1.6, 3  # pixels; sizes an octave
_LARGE = 0.4  # of the keypoints are of the second octave or later, where there are as many
_SMALLEST = 24  # pixels: no octave is smaller
_FAINT = 0.004  # in the logarithm of light: a keypoint must stand out more than this
_EDGE = 12.0  # of curvatures: a keypoint on a line could slide along it
_FIELDS, _DIRECTIONS, _SAMPLES = 4, 8, 16
_AROUND, _REACH = 4.5, 7.5  # sigmas from the centre: what gives the direction, and the surroundings described
_TURNS = 36  # directions among which that of a keypoint is chosen
_ONE_EDGE = 0.2  # of a word's length: one strong edge must not count for everything
_GRAIN = 64  # of a word's length: a step between its values


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Keypoints of an overview.

    Attributes
    ----------
    places : (n, 2) float32
        (x, y) in pixels of the slide's level 0.
    sizes, angles : (n,) float32
        Size in the same pixels; direction in radians, from x towards y.
    words : (n, 128) uint8
        Their surroundings: for 4 x 4 fields, how much lighter it gets in 8 directions, from 0 to 15.
    """

    places: F32
    sizes: F32
    angles: F32
    words: Words

    def __len__(self) -> int:
        return len(self.places)


def keypoints_of(slide: Slide, box: Box | None = None) -> Keypoints:
    """Find the keypoints of a slide, or of a box of it in level-0 pixels. A fraction of a second: not on a GUI thread.

    Raises
    ------
    SlideError
        If the slide can no longer be read.
    """
    height, width = slide.shape
    box = Box(0, 0, width, height) if box is None else box
    left, top = max(box.x0, 0.0), max(box.y0, 0.0)
    right, bottom = min(box.x1, float(width)), min(box.y1, float(height))
    side = max(right - left, bottom - top)
    step = max(OVERVIEW_UM / slide.mpp if slide.mpp else 1.0, side / OVERVIEW_SIDE, 1.0)
    x, y = int(left // step), int(top // step)
    columns, rows = int(np.ceil(right / step)) - x, int(np.ceil(bottom / step)) - y
    if min(columns, rows) < _SMALLEST:
        return find_keypoints(np.full((1, 1, 3), 255, np.uint8))
    return find_keypoints(slide.read(x, y, columns, rows, step), (x * step, y * step), step)


def find_keypoints(pixels: Rgb, corner: tuple[float, float] = (0.0, 0.0), step: float = 1.0) -> Keypoints:
    """Find the keypoints of an overview.

    Parameters
    ----------
    pixels : (h, w, 3) uint8
    corner : (float, float)
        (x, y) of its top-left on the slide.
    step : float
        Side of its pixels on the slide.
    """
    grey = pixels.astype(np.float32).mean(axis=2)
    views, parts = [], []
    for octave, smooth in enumerate(_octaves(np.log((grey + 8) / 263))):
        views.append(smooth)
        yx, size, strength = _standing_out(np.diff(smooth, axis=0))
        parts.append((np.full(len(yx), octave), yx, size, strength))
    if not parts:
        nothing = np.zeros(0, np.float32)
        return Keypoints(np.zeros((0, 2), np.float32), nothing, nothing, np.zeros((0, WORD), np.uint8))
    octaves, yx, size, strength = (np.concatenate([part[k] for part in parts]) for k in range(4))
    best = _best(strength, octaves)
    octaves, yx, size = octaves[best], yx[best], size[best]
    sigma = _FIRST_SIGMA * 2 ** (size / _STEPS)  # pixels of the octave
    angles, words = np.zeros(len(yx), np.float32), np.zeros((len(yx), WORD), np.uint8)
    for octave, smooth in enumerate(views):
        for k in range(len(smooth)):
            own = np.flatnonzero((octaves == octave) & (np.round(size) == k))
            if len(own):
                angles[own], words[own] = _describe(smooth[k], yx[own], sigma[own])
    scale = step * 2.0**octaves
    places = (yx[:, ::-1] + 0.5) * scale[:, None] + corner
    return Keypoints(places.astype(np.float32), (sigma * scale).astype(np.float32), angles, words)


def _best(strength: F32, octaves: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Choose the keypoints that stand out most; a part of them large ones, which a copy at half the size has too."""
    order = np.argsort(-strength, kind="stable")
    large = octaves[order] > 0
    rank = np.where(large, np.cumsum(large) / _LARGE, np.cumsum(~large) / (1 - _LARGE))
    return order[np.argsort(rank, kind="stable")[:MOST]]


def _octaves(image: F32) -> Iterator[F32]:
    """Yield smoothed views (s + 3, h, w) of an image, each octave half as wide as the one before."""
    if min(image.shape) < _SMALLEST:
        return
    base = ndimage.gaussian_filter(image, np.sqrt(_FIRST_SIGMA**2 - 0.5**2))
    while min(base.shape) >= _SMALLEST:
        views = [base]
        for i in range(1, _STEPS + 3):
            before, after = (_FIRST_SIGMA * 2 ** (k / _STEPS) for k in (i - 1, i))
            views.append(ndimage.gaussian_filter(views[-1], np.sqrt(after**2 - before**2), truncate=3.0))
        yield np.stack(views)
        height, width = (side // 2 for side in base.shape)
        halves = views[_STEPS][: 2 * height, : 2 * width].reshape(height, 2, width, 2)
        base = halves.mean(axis=(1, 3))  # pixel i covers pixels 2 i and 2 i + 1


def _standing_out(d: F32) -> tuple[F64, F64, F32]:
    """Find places (n, 2) (y, x), sizes (n,) in steps and strengths (n,) of extremes in space and size.

    Parameters
    ----------
    d : (s + 2, h, w) float32
        Differences of the smoothed views.
    """
    peak = (d == ndimage.maximum_filter(d, 3)) | (d == ndimage.minimum_filter(d, 3))
    peak &= np.abs(d) > _FAINT
    for axis in range(3):
        np.moveaxis(peak, axis, 0)[[0, -1]] = False
    s, y, x = np.nonzero(peak)
    centre = d[s, y, x]
    dxx = d[s, y, x + 1] + d[s, y, x - 1] - 2 * centre
    dyy = d[s, y + 1, x] + d[s, y - 1, x] - 2 * centre
    dss = d[s + 1, y, x] + d[s - 1, y, x] - 2 * centre
    dxy = (d[s, y + 1, x + 1] - d[s, y + 1, x - 1] - d[s, y - 1, x + 1] + d[s, y - 1, x - 1]) / 4
    determinant = dxx * dyy - dxy**2
    sharp = (determinant > 0) & ((dxx + dyy) ** 2 * _EDGE < (_EDGE + 1) ** 2 * determinant)
    places = np.stack(
        [
            y + _top(d[s, y - 1, x], d[s, y + 1, x], dyy),
            x + _top(d[s, y, x - 1], d[s, y, x + 1], dxx),
        ],
        axis=1,
    )
    sizes = s + _top(d[s - 1, y, x], d[s + 1, y, x], dss)
    return places[sharp].astype(np.float64), sizes[sharp].astype(np.float64), np.abs(centre)[sharp]


def _top(before: F32, after: F32, curve: F32) -> F32:
    """Place the top of a parabola between three neighbours, within half a step of the middle one."""
    shift: F32 = np.clip((before - after) / 2 / np.where(curve == 0, np.float32(1), curve), -0.5, 0.5)
    return shift


def _describe(view: F32, yx: F64, sigma: F64) -> tuple[F32, Words]:
    """Return the directions (n,) and words (n, 128) of places (n, 2) of one view."""
    slope: F32 = np.stack([np.gradient(view, axis=0), np.gradient(view, axis=1)])
    v, u = _grid(13)
    at = yx[:, :, None] + _AROUND * sigma[:, None, None] * np.stack([v, u])
    dy, dx = _slopes(slope, at)
    votes = _by_angle(np.arctan2(dy, dx), np.hypot(dy, dx) * np.exp(-2 * (u**2 + v**2)), _TURNS)
    angles = _main_direction(ndimage.gaussian_filter1d(votes, 1.0, axis=1, mode="wrap"))
    v, u = _grid(_SAMPLES)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    turned = np.stack([sin * u + cos * v, cos * u - sin * v], axis=1)  # (n, 2, samples), (y, x)
    dy, dx = _slopes(slope, yx[:, :, None] + _REACH * sigma[:, None, None] * turned)
    words = _words(np.arctan2(dy, dx) - angles[:, None], np.hypot(dy, dx) * np.exp(-(u**2 + v**2)))
    return angles.astype(np.float32), words


def _grid(n: int) -> tuple[F64, F64]:
    """Return y and x of the centres of n x n fields of the square from -1 to 1, each (n * n,)."""
    line = (np.arange(n) + 0.5) / n * 2 - 1
    v, u = np.meshgrid(line, line, indexing="ij")
    return v.ravel(), u.ravel()


def _slopes(slope: F32, at: F64) -> tuple[F32, F32]:
    """Read slopes (2, h, w) at places (n, 2, k), (y, x); 0 outside: the slopes in y and x, each (n, k)."""
    y, x = at[:, 0], at[:, 1]
    inside = (y >= 0) & (x >= 0) & (y <= slope.shape[1] - 1) & (x <= slope.shape[2] - 1)
    dy, dx = (ndimage.map_coordinates(part, [y, x], order=1, mode="nearest") * inside for part in slope)
    return dy, dx


def _main_direction(votes: F64) -> F64:
    """Return the direction (n,) in radians with most votes (n, turns)."""
    rows, top = np.arange(len(votes)), votes.argmax(axis=1)
    before, highest, after = (votes[rows, (top + k) % _TURNS] for k in (-1, 0, 1))
    shift = (before - after) / 2 / np.minimum(before + after - 2 * highest, -1e-12)
    out: F64 = (top + np.clip(shift, -0.5, 0.5)) * 2 * np.pi / _TURNS
    return out


def _by_angle(angle: F64, strength: F64, bins: int) -> F64:
    """Sum strengths (n, k) by angle (n, k), shared between the two nearest bins: (n, bins)."""
    at = (angle / (2 * np.pi) % 1.0) * bins
    low = np.floor(at).astype(np.int64)
    rows = np.arange(len(angle))[:, None] * bins
    size = len(angle) * bins
    near, part = np.stack([low, low + 1]) % bins, np.stack([1 - at + low, at - low])
    summed: F64 = np.bincount((rows + near).ravel(), (strength * part).ravel(), size).astype(np.float64)
    return summed.reshape(len(angle), bins)


def _words(angle: F64, strength: F64) -> Words:
    """Sum strengths (n, 256) of a 16 x 16 grid by angle in 4 x 4 fields that run into each other."""
    n = len(angle)
    each = _by_angle(angle.reshape(-1, 1), strength.reshape(-1, 1), _DIRECTIONS)
    each = each.reshape(n, _SAMPLES, _SAMPLES, _DIRECTIONS)
    centres = (np.arange(_SAMPLES) + 0.5) * _FIELDS / _SAMPLES - 0.5
    weights = np.maximum(0, 1 - np.abs(centres[None] - np.arange(_FIELDS)[:, None]))  # (field, sample)
    word = np.einsum("fi,gj,nijd->nfgd", weights, weights, each, optimize=True).reshape(n, WORD)
    word = np.minimum(word / (np.linalg.norm(word, axis=1, keepdims=True) + 1e-12), _ONE_EDGE)
    word /= np.linalg.norm(word, axis=1, keepdims=True) + 1e-12
    levels: Words = np.minimum(np.round(word * _GRAIN), LEVELS - 1).astype(np.uint8)
    return levels
