"""Tell whether two images show the same tissue: their keypoints agree on one shift, turn and scale.

Measured on the five sections of her2st by `docs/scripts/near_copies.py`. In copies that were saved again, cropped,
scaled with the pixel size told or not, turned, mirrored, blurred, made grey or stained otherwise, at least 38 keypoints
agree, and 0.67 of those that can be compared. In consecutive cuts of one tumour at most 12 do, and 0.13.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_nh2st.slides.keypoints import WORD, Keypoints

ENOUGH, SHARE = 12, 0.3
"""Keypoints, and their share of those that can be compared, that agree where two images show the same tissue."""

_ALIKE = 0.8  # the cosine of two words that are alike
_OFF = 1.5  # sizes of a keypoint by which it may lie off its place
_TURNED = 0.35  # radians of direction, or logarithm of size, by which one pair may differ from another
_TRIED = 5  # ways to lay one image on the other: those that most pairs support
_FEWEST = 3  # pairs that can settle such a way

Complex = npt.NDArray[np.complex128]
Sizes = npt.NDArray[np.float32]


@dataclass(frozen=True, order=True)
class Agreement:
    """The number of keypoints of two images that agree, and their share where the images overlap."""

    keypoints: int = 0
    share: float = 0.0

    @property
    def same_tissue(self) -> bool:
        """True if that is no accident."""
        return self.keypoints >= ENOUGH and self.share >= SHARE


def agreement(one: Keypoints, other: Keypoints) -> Agreement:
    """Lay one image on the other, mirrored or not, so that as many keypoints as possible agree."""
    return max(_as_it_is(one, other), _as_it_is(one, mirrored(other)))


def mirrored(keypoints: Keypoints) -> Keypoints:
    """Return the keypoints of the mirror image, with x reversed."""
    fields = keypoints.words.reshape(-1, 4, 4, 8)
    # Seen along the keypoint's own direction, left and right change places.
    words = fields[:, ::-1][..., (-np.arange(8)) % 8].reshape(-1, WORD)
    places = keypoints.places * np.array([-1, 1], dtype=np.float32)
    return Keypoints(places, keypoints.sizes, np.float32(np.pi) - keypoints.angles, words)


def _as_it_is(one: Keypoints, other: Keypoints) -> Agreement:
    i, j = _alike(one, other)
    if len(i) < _FEWEST:
        return Agreement()
    # A place is x + iy: a turn with a change of scale is then one factor.
    a, b = (k.places.astype(np.float64) @ np.array([1, 1j]) for k in (one, other))
    factors = one.sizes[i] / other.sizes[j] * np.exp(1j * (one.angles[i] - other.angles[j]))
    fits = _supporters(a[i], b[j], one.sizes[i], factors)
    ways = np.argsort(-fits.sum(axis=1), kind="stable")[:_TRIED]
    return max(_laid(one, other, a, b, (i, j), fits[way]) for way in ways)


def _alike(one: Keypoints, other: Keypoints) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pair keypoints whose words are each other's nearest."""
    if not len(one) or not len(other):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    a, b = (
        words / (np.linalg.norm(words, axis=1, keepdims=True) + 1e-6)
        for words in (one.words.astype(np.float32), other.words.astype(np.float32))
    )
    cosine = a @ b.T
    nearest, rows = cosine.argmax(axis=1), np.arange(len(a))
    pairs = (cosine.argmax(axis=0)[nearest] == rows) & (cosine[rows, nearest] > _ALIKE)
    return rows[pairs], nearest[pairs]


def _supporters(a: Complex, b: Complex, sizes: Sizes, factors: Complex) -> npt.NDArray[np.bool_]:
    """Say of each pair (row) which other pairs fit the way in which it lays one image on the other, (pairs, pairs)."""
    away = a[None] - a[:, None]
    off = np.abs(away - factors[:, None] * (b[None] - b[:, None]))
    ratio = factors[None] / factors[:, None]
    fits = off < 2 * _OFF * sizes[None] + 0.05 * np.abs(away)  # one pair knows the turn only roughly
    fits &= (np.abs(np.log(np.abs(ratio))) < _TURNED) & (np.abs(np.angle(ratio)) < _TURNED)
    return np.asarray(fits, dtype=bool)


def _laid(
    one: Keypoints,
    other: Keypoints,
    a: Complex,
    b: Complex,
    pairs: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    fits: npt.NDArray[np.bool_],
) -> Agreement:
    """Settle shift, turn and scale by least squares over the pairs that fit, and count those that agree closely."""
    i, j = pairs
    chosen = fits
    for _ in range(4):
        if chosen.sum() < _FEWEST:
            return Agreement()
        from_, to = b[j][chosen].mean(), a[i][chosen].mean()
        arms = b[j][chosen] - from_
        factor = np.vdot(arms, a[i][chosen] - to) / max(float(np.vdot(arms, arms).real), 1e-12)
        laid = to + factor * (b - from_)
        chosen = fits & (np.abs(a[i] - laid[j]) < _OFF * one.sizes[i])
    count, sizes = int(chosen.sum()), other.sizes * np.float32(np.abs(factor))
    comparable = min(_within(a, one.sizes, laid, sizes), _within(laid, sizes, a, one.sizes))
    return Agreement(count, count / max(count, comparable, 1))


def _within(places: Complex, sizes: Sizes, others: Complex, their_sizes: Sizes) -> int:
    """Count keypoints in the area, and of the sizes, of others."""
    inside = (places.real >= others.real.min()) & (places.real <= others.real.max())
    inside &= (places.imag >= others.imag.min()) & (places.imag <= others.imag.max())
    inside &= (sizes >= their_sizes.min()) & (sizes <= their_sizes.max())
    return int(inside.sum())
