"""The image on which spots were placed, beside the slide: the same one, a copy of another size, or another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

_ROUNDING = 1.5  # pixels of the picture, from which a full-resolution size is known
_SKEWED = 0.02  # height and width that differ by more are not one image at two scales
PADDED = 1.1  # up to this factor, a border that was added or cut off changes the size as well


def same_size(image: Mapping[str, Any], shape: tuple[int, int]) -> bool:
    """Return True if the image is as large as the slide (height, width), as far as its size is known.

    Parameters
    ----------
    image : mapping
        `expression.visium.frame_of`, with a ``shape``.
    shape : (height, width)
    """
    slack = 2 * _ROUNDING * image["within"]
    return bool((np.abs(np.asarray(image["shape"]) - np.asarray(shape)) <= slack).all())


def scale_to(image: Mapping[str, Any], shape: tuple[int, int]) -> float | None:
    """Return the slide's pixels per pixel of the image; None where one is no scaled copy of the other."""
    ratio = np.asarray(shape) / np.asarray(image["shape"])
    return float(ratio.mean()) if abs(ratio[0] / ratio[1] - 1) < _SKEWED else None
