"""The layer of which model is right where: each measured spot in the colour of the model that is nearer. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.viewer.layers.context_effect import LOWER, NEITHER, RAISE, symmetric_limit
from napari_nh2st.viewer.layers.roles import Line

# Of the first model and those that follow, told apart by colour-blind eyes; a difference of two has the first two.
MODEL_COLOURS = (LOWER, RAISE, "#009e73", "#cc79a7", "#56b4e9", "#f0e442")
UNKNOWN = "transparent"
_FAINT = 0.3  # opacity where it makes no difference: the tissue is seen


def nearer_colours(
    nearest: npt.NDArray[np.int64], margin: npt.NDArray[np.floating[Any]]
) -> tuple[npt.NDArray[np.float32], float]:
    """Colour spots (n,) by their nearest model, the fuller the more it is nearer than the next one.

    Returns
    -------
    (n, 4) float32
        See-through where nobody can tell.
    float
        From how many standard deviations the colour is full.
    """
    full = symmetric_limit(margin)
    share = np.clip(np.nan_to_num(margin) / full, 0, 1)[:, None]
    own = _rgb(MODEL_COLOURS)[np.maximum(nearest, 0) % len(MODEL_COLOURS)]
    colours = np.concatenate([(1 - share) * _rgb([NEITHER]) + share * own, _FAINT + (1 - _FAINT) * share], axis=1)
    colours[nearest < 0] = 0
    return colours.astype(np.float32), full


def nearer_key(gene: str, names: Sequence[str], full: float) -> tuple[Line, ...]:
    """Return the lines on the canvas that say which colour belongs to which model."""
    models = [(name, MODEL_COLOURS[i % len(MODEL_COLOURS)]) for i, name in enumerate(names)]
    return (
        (f"{gene}: nearer to the measured value", None),
        *models,
        (f"full colour: by {full:z.2f} standard deviations", None),
    )


def _rgb(colours: Sequence[str]) -> npt.NDArray[np.float32]:
    return np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours], dtype=np.float32)
