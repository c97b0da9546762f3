"""Artefacts planted into a picture of tissue, with the truth of where they are.

They are drawn as light does it: ink and the rim of a bubble add optical density, a fold adds that of the tissue which
lies on it, and a lens out of focus spreads light.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Image8 = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Optical density of a stroke in red, green and blue
INKS = {"blue": (1.2, 0.75, 0.2), "green": (1.1, 0.45, 0.7), "black": (1.5, 1.5, 1.45)}


@dataclass(frozen=True, eq=False)
class Planted:
    """A picture with artefacts.

    Attributes
    ----------
    image : (H, W, 3) uint8
    truth : dict of (H, W) bool
        Where each kind is: a key of `PLANTS`.
    tissue : (H, W) bool
        Where there was stain before, roughly.
    """

    image: Image8
    truth: dict[str, Mask]
    tissue: Mask


def plant(image: Image8, mpp: float, seed: int, counts: Mapping[str, int]) -> Planted:
    """Plant so many artefacts of each kind, one after the other, around places of the picture that have stain.

    Parameters
    ----------
    image : (H, W, 3) uint8
    mpp : float
        Micrometres per pixel.
    seed : int
        The same seed gives the same artefacts, in um, at any mpp.
    counts : dict of int
        By kind: a key of `PLANTS`.
    """
    canvas = _Canvas(image, mpp, np.random.default_rng([seed, 404]))
    tissue = ndimage.uniform_filter(canvas.density[:, :, 1], max(1, round(64 / mpp))) > 0.1
    truth = {kind: np.zeros(image.shape[:2], bool) for kind in counts}
    for kind, count in counts.items():
        for _ in range(count):
            truth[kind] |= PLANTS[kind](canvas)
    light = 256 * 10**-canvas.density - 1
    return Planted(np.clip(np.rint(light), 0, 255).astype(np.uint8), truth, tissue)


class _Canvas:
    """A picture as optical density, (H, W, 3), and places in um."""

    def __init__(self, image: Image8, mpp: float, rng: np.random.Generator) -> None:
        self.mpp, self.rng = mpp, rng
        self.density: Floats = -np.log10((image.astype(np.float32) + 1) / 256)
        height, width = image.shape[:2]
        self.size = height * mpp, width * mpp
        # Places are drawn from a grid of 64 um, so that they do not depend on the pixel size.
        rows, columns = (max(1, int(side // 64)) for side in self.size)
        y, x = ((np.arange(n) + 0.5) * 64 / mpp for n in (rows, columns))
        near = ndimage.uniform_filter(self.density[:, :, 1], max(1, round(128 / mpp)))
        self._stained = np.argwhere(near[y.astype(int)][:, x.astype(int)] > 0.12)

    def place(self) -> tuple[float, float]:
        """Return a place (y, x) on stain, um."""
        row, column = self._stained[int(self.rng.random() * len(self._stained))]
        return (row + 0.5) * 64, (column + 0.5) * 64

    def curve(self, length: float) -> npt.NDArray[np.float64]:
        """Return a bent line of a length through a place, as points (n, 2) 4 um apart."""
        steps = max(8, round(length / 4))
        turn, bend = self.rng.uniform(0, 2 * np.pi), self.rng.normal(0, 1.2 / length)
        sway = self.rng.uniform(0.1, 0.4) * np.sin(np.linspace(0, self.rng.uniform(2, 7), steps))
        angles = turn + bend * 4 * np.arange(steps) + sway
        line = np.cumsum(4 * np.stack([np.sin(angles), np.cos(angles)], axis=1), axis=0)
        return np.asarray(line - line[steps // 2] + np.array(self.place()))

    def away_from(self, line: npt.NDArray[np.float64], reach: float) -> tuple[tuple[slice, slice], Floats]:
        """Return the window within `reach` (um) of a line, and each pixel's distance from it, um."""
        window, at = self.window(line.min(axis=0) - reach, line.max(axis=0) + reach)
        apart = np.ones([s.stop - s.start for s in window], bool)
        points = np.rint(line / self.mpp - at).astype(int)
        inside = ((points >= 0) & (points < apart.shape)).all(axis=1)
        apart[tuple(points[inside].T)] = False
        if not inside.any():
            return window, np.full(apart.shape, np.inf, np.float32)
        return window, (ndimage.distance_transform_edt(apart) * self.mpp).astype(np.float32)

    def window(
        self, first: npt.NDArray[np.float64], last: npt.NDArray[np.float64]
    ) -> tuple[tuple[slice, slice], npt.NDArray[np.int64]]:
        """Return the pixels between two corners (y, x) in um, within the picture, and their first (y, x)."""
        limits = np.array(self.density.shape[:2])
        low = np.clip(np.floor(first / self.mpp).astype(np.int64), 0, limits - 1)
        high = np.clip(np.ceil(last / self.mpp).astype(np.int64), low + 1, limits)
        return (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))), low

    def truth(self, window: tuple[slice, slice], there: Mask) -> Mask:
        """Return a mask of the whole picture."""
        out = np.zeros(self.density.shape[:2], bool)
        out[window] = there
        return out


def _blur(canvas: _Canvas) -> Mask:
    """Spread light over a field that was out of focus, 0.4 to 1 mm across, by 3 to 6 um."""
    spread, half = canvas.rng.uniform(3, 6), canvas.rng.uniform(200, 500)
    window, away = canvas.away_from(np.array([canvas.place()]), half + 80)
    weight = np.clip((half + 30 - away) / 60, 0, 1)[:, :, None]
    sharp = canvas.density[window]
    light = ndimage.gaussian_filter(10**-sharp, (spread / canvas.mpp, spread / canvas.mpp, 0))
    canvas.density[window] = (1 - weight) * sharp - weight * np.log10(np.maximum(light, 1e-3))
    return canvas.truth(window, away <= half)


def _pen(canvas: _Canvas) -> Mask:
    """Draw a stroke of blue, green or black ink, 0.1 to 0.3 mm wide."""
    ink = list(INKS.values())[int(canvas.rng.integers(len(INKS)))]
    half, strength = canvas.rng.uniform(50, 150), canvas.rng.uniform(0.6, 1.0)
    window, away = canvas.away_from(canvas.curve(canvas.rng.uniform(600, 2500)), half + 20)
    cover = np.clip((half + 8 - away) / 16, 0, 1)[:, :, None]
    canvas.density[window] += (cover * strength * np.array(ink)).astype(np.float32)
    return canvas.truth(window, away <= half)


def _fold(canvas: _Canvas) -> Mask:
    """Lay tissue on tissue along a band 40 to 120 um wide: two more layers."""
    half = canvas.rng.uniform(20, 60)
    window, away = canvas.away_from(canvas.curve(canvas.rng.uniform(500, 2000)), half + 20)
    cover = np.clip((half + 4 - away) / 8, 0, 1)[:, :, None]
    shift = round(2 * half / canvas.mpp)
    own = canvas.density[window]
    layers = own[::-1].copy() if own.shape[0] <= shift else np.roll(own, shift, axis=0)
    canvas.density[window] = own + (cover * (layers + np.roll(own, -shift, axis=1))).astype(np.float32)
    stained = ndimage.uniform_filter(own[:, :, 1], max(1, round(40 / canvas.mpp))) > 0.1
    return canvas.truth(window, (away <= half) & stained)


def _bubble(canvas: _Canvas) -> Mask:
    """Blow a bubble of air, 0.3 to 0.9 mm across: a dark grey rim round a bright disc without detail."""
    half, rim = canvas.rng.uniform(150, 450), canvas.rng.uniform(12, 22)
    window, away = canvas.away_from(np.array([canvas.place()]), half + 40)
    inside = np.clip((half + 4 - away) / 8, 0, 1)[:, :, None]
    own = canvas.density[window]
    smooth = ndimage.gaussian_filter(own, (6 / canvas.mpp, 6 / canvas.mpp, 0))
    edge = canvas.rng.uniform(0.5, 0.9) * np.exp(-(((away - half) / (rim / 2)) ** 2))[:, :, None]
    canvas.density[window] = (1 - inside) * own + inside * 0.35 * smooth + edge.astype(np.float32)
    return canvas.truth(window, away <= half + rim / 2)


PLANTS: dict[str, Callable[[_Canvas], Mask]] = {"blur": _blur, "pen": _pen, "fold": _fold, "bubble": _bubble}
