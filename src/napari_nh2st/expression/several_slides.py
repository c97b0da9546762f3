"""Spots of several slides in one file, as after joining sections: their places lie on one another."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_BARCODE = re.compile(r"[ACGT]{12,}")  # printed once on an array
_MIXED = 0.2  # of the spots lie closer to one of another group than an array has them
_ASKED = 200  # spots of which the nearest is looked for


def several_slides(
    names: Sequence[str], centres: FloatArray, array: FloatArray | None, groups: Mapping[str, Sequence[str]]
) -> str:
    """Tell by what a file holds spots of several slides that lie on one another; an empty text if it does not.

    Parameters
    ----------
    names : (n) str
        Of the spots.
    centres : (n, 2) float64
        (x, y), pixels.
    array : (n, 2) float64 or None
        Rows and columns on the array.
    groups : mapping
        Columns that may name the slide of each spot.
    """
    for said, numbers in _groupings(names, centres, array, groups):
        if len(set(numbers)) > 1 and _share_mixed(centres, np.asarray(numbers)) > _MIXED:
            return said
    return ""


def _groupings(
    names: Sequence[str], centres: FloatArray, array: FloatArray | None, groups: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, list[int]]]:
    for column, values in groups.items():
        numbers = {value: i for i, value in enumerate(dict.fromkeys(values))}
        if 1 < len(numbers) < len(values) / 2:
            yield f"obs[{column!r}]", [numbers[value] for value in values]
    barcodes = [_BARCODE.search(name) for name in names]
    yield "barcodes that occur twice", _repeats([m.group() if m else i for i, m in enumerate(barcodes)])
    for said, places in (("places on the array", array), ("spot centres", centres)):
        if places is not None:
            keys = [tuple(place) if np.isfinite(place).all() else i for i, place in enumerate(places.tolist())]
            yield f"{said} that occur twice", _repeats(keys)


def _repeats(keys: Sequence[Hashable]) -> list[int]:
    """Return how often each key stood there before."""
    times: dict[Hashable, int] = {}
    out = []
    for key in keys:
        out.append(times.get(key, 0))
        times[key] = out[-1] + 1
    return out


def _share_mixed(centres: FloatArray, group: npt.NDArray[np.int64]) -> float:
    """Return the part of the spots that share a cell, half as wide as spots lie apart, with one of another group."""
    kept = np.isfinite(centres).all(axis=1)
    centres, group = centres[kept], group[kept]
    if not len(group):
        return 0.0
    largest = centres[group == np.bincount(group).argmax()]
    side = _spacing(largest) / 2
    if side <= 0:
        return 0.0
    # Twice, moved by half a cell: else neighbours on both sides of a border count as far.
    return max(_share_of_cells(centres + move, group, side) for move in (0.0, side / 2))


def _share_of_cells(centres: FloatArray, group: npt.NDArray[np.int64], side: float) -> float:
    cells = np.unique(np.floor(centres / side), axis=0, return_inverse=True)[1].reshape(-1)
    pairs = np.unique(np.stack([cells, group], axis=1), axis=0)
    several = np.bincount(pairs[:, 0], minlength=cells.max() + 1) > 1
    return float(several[cells].mean())


def _spacing(centres: FloatArray) -> float:
    """Return the median distance of some spots to the nearest other place."""
    nearest = []
    for place in centres[:: max(1, len(centres) // _ASKED)]:
        squared = ((centres - place) ** 2).sum(axis=1)
        nearest.append(squared[squared > 0].min(initial=np.inf))
    return float(np.median(nearest)) ** 0.5 if np.isfinite(nearest).all() else 0.0
