"""Predicted places as they become ready, and how many of all they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import IntArray


@dataclass(frozen=True, eq=False)
class Chunk:
    """Places that are ready.

    Attributes
    ----------
    indices : (k,) int64
        Positions in the places that were asked for.
    hidden : (k, h) float16
        NaN rows where the file is damaged under a place.
    done, total : int
        Places handed out so far, this chunk included, and in all.
    encoded : int
        How many of these k places were encoded for this run; the others were there already.
    """

    indices: IntArray
    hidden: npt.NDArray[np.float16]
    done: int
    total: int
    encoded: int


@dataclass(frozen=True)
class Progress:
    """Progress of a prediction: places done, of total."""

    done: int
    total: int
