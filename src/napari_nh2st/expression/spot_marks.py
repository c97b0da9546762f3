"""Marks of measured spots: the same counts under another name, with other ids or in another order, are recognised.

A mark stands for the highest counts of a spot, whichever genes they belong to: renamed genes, and rare genes that were
left out, do not change it. Counts cannot be read from it.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Marks = npt.NDArray[np.uint32]

MOST = 1024
"""Marks that are kept of a section: the lowest, so that those of a part of it are among them."""
_HIGHEST = 32  # counts of a spot
_ENOUGH, _SHARE = 8, 0.5  # spots in common, and their share of those that can be compared


def spot_marks(counts: Any) -> Marks:
    """Mark the spots of a section.

    Parameters
    ----------
    counts : (spots, genes) CSR matrix
        Raw.

    Returns
    -------
    (n,) uint32
        Sorted, without repeats. Empty where spots are alike so often that a mark tells them not apart.
    """
    bounds, values = counts.indptr, counts.data
    marks = np.array([_mark(values[a:b]) for a, b in pairwise(bounds)], dtype=np.uint32)
    alone, times = np.unique(marks, return_counts=True)
    if (times == 1).sum() < _SHARE * len(marks):
        return np.zeros(0, np.uint32)
    kept: Marks = alone[times == 1][:MOST]
    return kept


def _mark(values: npt.NDArray[np.floating]) -> int:
    highest = np.sort(values[values > 0])[::-1][:_HIGHEST].astype("<u4")
    return int.from_bytes(hashlib.blake2b(highest.tobytes(), digest_size=4).digest(), "little")


def same_counts(one: Marks, other: Marks) -> bool:
    """Return True if two sections, or one and a part of another, were counted once."""
    if not len(one) or not len(other):
        return False
    # Of a long list only the lowest are kept: above the highest of them, nothing can be compared.
    highest = min(marks[-1] if len(marks) == MOST else np.iinfo(np.uint32).max for marks in (one, other))
    one, other = one[one <= highest], other[other <= highest]
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared >= _ENOUGH and shared >= _SHARE * min(len(one), len(other))
