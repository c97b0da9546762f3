"""Pixel size in micrometres, and its source."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LOWEST, HIGHEST = 0.05, 10.0
UNEQUAL = 0.01

# Micrometres per unit, as OME-XML and people write the units.
UNITS = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6, "Å": 1e-4}
UNITS |= dict.fromkeys(("micron", "microns", "micrometer", "micrometre"), 1.0) | dict.fromkeys(("in", "inch"), 25400.0)
CONTRADICTS = 0.1

# Sources of a pixel size that a person gave. What repeats a prediction must name the size.
TYPED, MEASURED = "user", "measured on the image"
NOMINAL = {"20x": 0.5, "40x": 0.25}  # µm; scanners differ by a tenth and more
GIVEN = (TYPED, MEASURED, *(f"nominal {objective}" for objective in NOMINAL))
SOURCES = {TYPED: "typed in", "tiff resolution": "TIFF tag"}  # as people say them; others are said as they are
SCALED = 0.02  # a side that differs by no more was trimmed or padded
SMALLEST = 16  # pixels of a side; of smaller images the proportions are not known well


@dataclass(frozen=True)
class Mpp:
    """Micrometres per level-0 pixel.

    Attributes
    ----------
    value : float or None
        None if nothing believable is known.
    source : str
        "user", "aperio", "ome", "ndpi", "philips", "leica", "ventana", "imagej", "tiff resolution", or "none"; in the
        viewer also another one of `GIVEN`.
    problem : str
        A clause whose subject is the file ("says its pixels are ..."): the reason if there is no value, or what
        contradicts it; else empty.
    """

    value: float | None
    source: str
    problem: str = ""

    def beside(self, other: Mpp) -> Mpp:
        """Note in `problem` where another place in the file gives another size; this one stays."""
        if self.value is None or other.value is None or abs(self.value - other.value) <= CONTRADICTS * self.value:
            return self
        sizes = f"{self.value:.4g} um wide ({self.source}), and {other.value:.4g} um ({other.source})"
        return Mpp(self.value, self.source, f"says its pixels are {sizes}: the first is taken")

    def of_image(self, told: Sequence[tuple[int, int]], size: tuple[int, int]) -> Mpp:
        """Withdraw the size where the file tells it of an image that has been made smaller or larger since.

        Programs that scale an image copy its description as it is. A part of it, with other proportions, keeps the
        size of its pixels.

        Parameters
        ----------
        told : sequence of (width, height)
            What the description says of the image; it may be empty.
        size : (width, height)
            What the image has.
        """
        if self.value is None or size in told:
            return self
        for width, height in told:
            alike = abs(width * size[1] - height * size[0]) <= max(width, height, *size)  # sides are rounded
            if alike and min(width, height, *size) > SMALLEST and abs(size[0] - width) > SCALED * width:
                image = f"of an image of {width} x {height} pixels, and this one is {size[0]} x {size[1]}"
                return Mpp(None, "none", f"gives the size of its pixels, {self.value:.4g} um, {image}")
        return self


UNKNOWN = Mpp(None, "none", "does not say how large its pixels are")


def judge(x: object, y: object, source: str, *, factor: float = 1.0, unit: str = "um") -> Mpp:
    """Decide whether to believe a pixel size.

    Parameters
    ----------
    x, y : str or number
        Width and height of a pixel, as in the file.
    source : str
    factor, unit : float, str
        Micrometres per `unit`, the unit of `x` and `y`.

    Returns
    -------
    Mpp
        It has a value if both are finite, within 0.05 to 10 um, and equal within 1%; else it has the problem.
    """
    try:
        width, height = float(str(x)) * factor, float(str(y)) * factor
    except ValueError:
        said = str(x) if x == y else f"{x} by {y}"
        return Mpp(None, "none", f'says its pixels are "{said[:40]}" {unit} wide, which is not a number')
    for value in (width, height):
        if not (math.isfinite(value) and LOWEST <= value <= HIGHEST):
            return Mpp(None, "none", f"says its pixels are {value:.4g} um wide, which cannot be right")
    if abs(width - height) > UNEQUAL * min(width, height):
        return Mpp(None, "none", f"says its pixels are {width:.4g} um wide and {height:.4g} um high, not square")
    return Mpp((width + height) / 2 if width != height else width, source)


def from_user(value: float) -> Mpp:
    """Take the caller's pixel size; if it is impossible, there is no `value` and the problem says why."""
    size = judge(value, value, "user")
    if size.value is None:
        return Mpp(None, "none", f"{value:g} um per pixel is impossible: give a number from {LOWEST:g} to {HIGHEST:g}")
    return size


def from_density(x: float, y: float, unit_um: float, unit: str, source: str) -> Mpp:
    """Judge a resolution in pixels per unit; a unit is `unit_um` micrometres long."""
    if x <= 0 or y <= 0:
        return UNKNOWN
    size = judge(unit_um / x, unit_um / y, source)
    if size.value is None and unit == "inch" and float(x).is_integer() and x <= 2400:
        return Mpp(None, "none", f"says {x:g} pixels per inch, which is a print resolution, not a pixel size")
    return size
