"""A region as a person drew it: its polygons with their holes, its name, class and colour."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import FloatArray

_PLURAL = re.compile(r"s\b")

Rings = list[FloatArray]
"""The outline (k, 2) of a polygon and those of its holes, not closed; x, y in level-0 pixels."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """One region.

    Attributes
    ----------
    polygons : list of Rings
    name : str
        Empty if it has none.
    kind : str
        Its class, such as "Tumor"; empty if it has none.
    colour : str or None
        "#rrggbb".
    locked : bool
        Whether the other program keeps it from being moved.
    """

    polygons: list[Rings]
    name: str = ""
    kind: str = ""
    colour: str | None = None
    locked: bool = False

    @property
    def title(self) -> str:
        """Its name, else its class."""
        return self.name or self.kind


@dataclass(frozen=True, eq=False)
class Annotations:
    """Regions of one file.

    Attributes
    ----------
    annotations : list of Annotation
    dropped : Counter
        How many objects of each kind ("detections") are no regions.
    """

    annotations: list[Annotation]
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def left_out(self) -> str:
        """The objects that are no regions, in words: "3 points and 12 detections"; empty if there are none."""
        words = [f"{n:,} {what if n != 1 else _PLURAL.sub('', what, count=1)}" for what, n in self.dropped.items()]
        return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

    def named(self) -> dict[str, list[Rings]]:
        """Return the polygons of each region by its title; those without one get a number."""
        taken, number, regions = {a.title for a in self.annotations}, 0, dict[str, list[Rings]]()
        for annotation in self.annotations:
            title = annotation.title
            while not title:
                number += 1
                title = "" if f"region {number}" in taken else f"region {number}"
            regions.setdefault(title, []).extend(annotation.polygons)
        return regions


def ring(points: Iterable[Sequence[Any]]) -> FloatArray:
    """Return corners as an array (k, 2) that does not come back to its first.

    Raises
    ------
    ValueError
        If it is no closed outline of finite numbers.
    """
    try:
        corners: npt.NDArray[np.float64] = np.array([point[:2] for point in points], dtype=np.float64).reshape(-1, 2)
    except (TypeError, IndexError) as error:
        raise ValueError("a corner is no pair of numbers") from error
    if len(corners) > 1 and (corners[0] == corners[-1]).all():
        corners = corners[:-1]
    if len(corners) < 3 or not np.isfinite(corners).all():
        raise ValueError("an outline needs three corners, each a pair of numbers")
    return corners


def ellipse(centre: Sequence[float], half: Sequence[float], corners: int = 128) -> FloatArray:
    """Return an upright ellipse as a polygon, a thousandth of its size off at most."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    points: FloatArray = np.asarray(centre) + np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.asarray(half)
    return points


def hex_colour(value: Any) -> str | None:
    """Return "#rrggbb" of [r, g, b], of "#rrggbb", or of a packed number as Java has it; None of anything else."""
    if isinstance(value, str) and len(value) == 7 and value.startswith("#"):
        return value.lower() if all(c in "0123456789abcdef" for c in value[1:].lower()) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return f"#{value & 0xFFFFFF:06x}"
    if isinstance(value, list | tuple) and len(value) >= 3 and all(isinstance(v, int | float) for v in value[:3]):
        return "#" + "".join(f"{min(max(int(v), 0), 255):02x}" for v in value[:3])
    return None
