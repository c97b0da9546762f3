"""Frames: where a layer stands in the world.

world = (c - 0.5) x mpp in micrometres, (y, x), c in continuous level-0 pixels; units "um" on every layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.markup import untagged
from napari_nh2st.viewer.layers.names import slide_name
from napari_nh2st.viewer.layers.roles import KEY, slide_role

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_nh2st.slides import Slide


def slide_layer_data(slide: Slide, name: str | None = None) -> tuple[Any, dict[str, Any], str]:
    """Return the slide as layer data."""
    meta: dict[str, Any] = {
        "name": untagged(name or slide_name(slide.path)),
        "rgb": True,
        "metadata": {KEY: slide_role(slide)},
        **slide_frame(slide),
    }
    levels = list(slide.levels)
    return (levels if len(levels) > 1 else levels[0]), {**meta, "multiscale": len(levels) > 1}, "image"


def slide_frame(slide: Slide) -> dict[str, Any]:
    """Return scale and units of the slide's layer."""
    return frame_of(slide.mpp)


def frame_of(mpp: float | None) -> dict[str, Any]:
    """Return scale and units of a slide's layer.

    As long as its pixel size is not known, a slide stands in the world as if it were 1 micrometre: napari warns of
    layers in pixels beside others in micrometres, and then measures none of them.
    """
    side = 1.0 if mpp is None else mpp
    return {"scale": (side, side), "units": ("um", "um")}


def load_units() -> None:
    """Have the units of all layers read, which takes .1 s the first time, before a slide is waited for."""
    from napari.utils.transforms import Affine

    Affine(ndim=2, units=("um", "um"))


def map_frame(
    cell: float | tuple[float, ...], origin: tuple[float, float], mpp: float, slide_layer: Layer | None = None
) -> dict[str, Any]:
    """Return the transform of an image whose pixel [0, 0] is centred at `origin` with side `cell`.

    Parameters
    ----------
    cell : float or (y, x)
        Level-0 pixels.
    origin : (2,) tuple
        (x, y), level-0 pixels.
    mpp : float
        Micrometres per level-0 pixel, used when there is no slide layer.
    slide_layer : Layer, optional
        Where it is moved or turned, so is the image.
    """
    sides = np.broadcast_to(cell, 2)
    offset = np.array(origin[::-1]) - 0.5  # napari puts pixel centres on integers
    if slide_layer is None:
        return {"scale": sides * mpp, "translate": offset * mpp, "units": ("um", "um")}
    to_world = slide_layer._transforms["data2physical"].linear_matrix[-2:, -2:]
    return {
        "scale": np.asarray(slide_layer.scale)[-2:] * sides,
        "translate": np.asarray(slide_layer.translate)[-2:] + to_world @ offset,
        "rotate": np.asarray(slide_layer.rotate)[-2:, -2:],
        "shear": np.asarray(slide_layer.shear)[-1:],
        "affine": slide_layer.affine,
        "units": tuple(slide_layer.units)[-2:],
    }


def mask_frame(steps: tuple[float, ...], slide_layer: Layer) -> dict[str, Any]:
    """Return the transform of a mask whose pixels are `steps` (y, x) level-0 pixels large."""
    return map_frame(steps, (steps[1] / 2, steps[0] / 2), 1.0, slide_layer)
