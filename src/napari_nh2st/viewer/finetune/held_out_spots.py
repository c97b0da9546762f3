"""One gene on the held-out spots of a section: values, places, and where a picture has them. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_MARGIN = 2.0  # spacings of spots around what is shown
_LOWEST, _HIGHEST = 0.6, 1.6  # height of a picture, in its widths
_DOT, _LEAST_DOT = 0.94, 1.6  # of the spacing, so that neighbours do not touch; pixels
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class HeldOutSpots:
    """A gene as it was measured and predicted.

    Attributes
    ----------
    xy : (m, 2) float32
        Places of the spots, x and y in whatever unit, y downwards.
    around : (k, 2) float32
        Other spots of the section, without values.
    spacing : float
        Distance of neighbouring spots, in that unit.
    values : pair of (m,) float32
        Measured, predicted.
    limits : (low, high)
        Values at the two ends of the colours.
    colours : (256, 4) float
        RGBA between 0 and 1.
    unit : str
    """

    xy: Floats
    around: Floats
    spacing: float
    values: tuple[Floats, Floats]
    limits: tuple[float, float]
    colours: npt.NDArray[np.float64]
    unit: str

    @property
    def corners(self) -> tuple[Floats, Floats]:
        """The lowest and the highest place in sight, (2,) each."""
        margin = _MARGIN * self.spacing
        return self.xy.min(axis=0) - margin, self.xy.max(axis=0) + margin

    @property
    def shape(self) -> float:
        """The height of a picture in its widths."""
        wide, tall = (float(v) for v in self.corners[1] - self.corners[0])
        return min(max(tall / max(wide, 1e-9), _LOWEST), _HIGHEST)

    def tip(self, spot: int) -> str:
        """Say the values of a spot."""
        measured, predicted = (float(values[spot]) for values in self.values)
        return f"measured {measured:z.2f}, predicted {predicted:z.2f} {self.unit}"


@dataclass(frozen=True)
class SpotBox:
    """A picture of held-out spots in a box of pixels, y downwards, the spots in its middle."""

    spots: HeldOutSpots
    left: float
    top: float
    width: float
    height: float

    @property
    def scale(self) -> float:
        """Pixels per unit of the places."""
        low, high = self.spots.corners
        wide, tall = (max(float(v), 1e-9) for v in high - low)
        return min(self.width / wide, self.height / tall)

    @property
    def dot(self) -> float:
        """Diameter of a spot in pixels."""
        return max(_DOT * self.scale * self.spots.spacing, _LEAST_DOT)

    def pixels(self, xy: Floats) -> npt.NDArray[np.float64]:
        """Return pixels (n, 2) of places."""
        low, high = self.spots.corners
        middle = np.array([self.left + self.width / 2, self.top + self.height / 2])
        return np.asarray(middle + (xy - (low + high) / 2) * self.scale, dtype=np.float64)

    def spot_at(self, x: float, y: float) -> int | None:
        """Return which spot lies at a pixel; None where none does."""
        if not (self.left <= x < self.left + self.width and self.top <= y < self.top + self.height):
            return None
        distance = np.hypot(*(self.pixels(self.spots.xy) - (x, y)).T)
        nearest = int(distance.argmin())
        return nearest if distance[nearest] <= max(self.scale * self.spots.spacing / 2, 3.0) else None
