"""The image on which spots were laid, as far as a file tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

FRAME = "frame"  # in uns: what `frame_of` returns


def frame_of(factors: Mapping[str, Any], size_of: Callable[[str], tuple[int, int] | None]) -> dict[str, Any]:
    """Describe the image on which spots were laid, as far as it is known.

    Parameters
    ----------
    factors : mapping
        Space Ranger's scale factors: ``tissue_<name>_scalef`` pixels of the picture <name> per full-resolution pixel.
    size_of : callable
        Height and width of a picture by its name, None where it is not there.

    Returns
    -------
    dict
        ``shape``, (height, width) of the full-resolution image, exact to half a pixel of the picture; ``within``, that
        half pixel in full-resolution pixels; ``spot_diameter`` in full-resolution pixels. What is not known is absent.
    """
    out: dict[str, Any] = {}
    diameter = float(factors.get("spot_diameter_fullres") or 0)
    if np.isfinite(diameter) and diameter > 0:
        out["spot_diameter"] = diameter
    sized = []
    for key, value in factors.items():
        name, scale = key.removeprefix("tissue_").removesuffix("_scalef"), float(value or 0)
        if key == f"tissue_{name}_scalef" and 0 < scale < np.inf and (size := size_of(name)) is not None:
            sized.append((scale, size))
    if sized:
        scale, (height, width) = max(sized)  # the largest picture tells most exactly
        out["shape"] = (height / scale, width / scale)
        out["within"] = 0.5 / scale
    return out
