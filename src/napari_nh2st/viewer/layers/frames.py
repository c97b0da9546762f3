"""Our layers and their frames.

world = (c - 0.5) x mpp in micrometres, (y, x), c in continuous level-0 pixels; units "um" on every layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.viewer.layers.label_colours import label_colormap, prepare_labels
from napari_nh2st.viewer.layers.roles import (
    KEY,
    Kind,
    MapRole,
    Role,
    SlideRole,
    fingerprint_of,
    give_role,
    kind_of,
    layer_of_slide,
    map_of,
    role_of,
    slide_of,
    slide_role,
)
from napari_nh2st.viewer.layers.stacking import place

__all__ = ["layer_of_slide", "map_of", "prepare_labels", "slide_of"]

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_nh2st.slides import Slide, TissueMask


def slide_layer_data(slide: Slide, name: str | None = None) -> tuple[Any, dict[str, Any], str]:
    """Return the slide as layer data: in micrometres where its pixel size is known, else in pixels."""
    meta: dict[str, Any] = {
        "name": name or slide.path.name.split(".")[0],
        "rgb": True,
        "metadata": {KEY: slide_role(slide)},
        **slide_frame(slide),
    }
    levels = list(slide.levels)
    return (levels if len(levels) > 1 else levels[0]), {**meta, "multiscale": len(levels) > 1}, "image"


def slide_frame(slide: Slide) -> dict[str, Any]:
    """Return scale and units of the slide's layer."""
    if slide.mpp is None:
        return {"scale": (1.0, 1.0), "units": ("pixel", "pixel")}
    return {"scale": (slide.mpp, slide.mpp), "units": ("um", "um")}


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


def tissue_layer_of(viewer: ViewerModel, slide: Slide) -> Labels | None:
    """Return the layer in which the user sees and edits this slide's tissue mask, if it is there."""
    for layer in viewer.layers:
        if kind_of(layer) is Kind.TISSUE and fingerprint_of(layer) == slide.fingerprint:
            return layer
    return None


def add_tissue_layer(viewer: ViewerModel, slide: Slide, tissue: TissueMask, slide_layer: Layer) -> Labels:
    """Add the tissue mask as a Labels layer that can be painted and erased, aligned with the slide."""
    from napari.layers import Labels

    frame = _mask_frame(tissue.steps, slide_layer)
    layer = Labels(
        np.asarray(tissue.mask).astype(np.uint8),
        name=f"tissue ({slide_layer.name})",
        opacity=0.4,
        colormap=label_colormap({}, others="#00a896"),
        metadata={KEY: Role(kind=Kind.TISSUE, fingerprint=slide.fingerprint)},
        **frame,
    )
    place(viewer, layer)
    layer.brush_size = max(4, layer.data.shape[0] // 60)
    viewer.layers.selection.active = layer  # it is there to be edited: its tools should be in sight
    return layer


def set_slide(viewer: ViewerModel, layer: Layer, slide: Slide, *, move: bool = True) -> None:
    """Put a Slide behind a layer, and the layer and what lies on it into the slide's micrometres.

    What lies on its tiles at another pixel size is taken away: those were other tiles.

    Parameters
    ----------
    move : bool
        False leaves the layer's transform alone, which another reader or the user chose.
    """
    before = role_of(layer)
    give_role(layer, slide_role(slide, before.measurement if isinstance(before, SlideRole) else None))
    if not move:
        return
    frame = slide_frame(slide)
    layer.scale, layer.units = frame["scale"], frame["units"]
    for other in list(viewer.layers):
        role = role_of(other)
        if isinstance(role, MapRole) and role.fingerprint == slide.fingerprint and role.map.slide["mpp"] != slide.mpp:
            viewer.layers.remove(other)
    tissue = tissue_layer_of(viewer, slide)
    if tissue is not None:
        steps = tuple(a / b for a, b in zip(slide.shape, tissue.data.shape, strict=True))
        for name, value in _mask_frame(steps, layer).items():
            setattr(tissue, name, value)


def _mask_frame(steps: tuple[float, ...], slide_layer: Layer) -> dict[str, Any]:
    """Return the transform of a mask whose pixels are `steps` (y, x) level-0 pixels large."""
    return map_frame(steps, (steps[1] / 2, steps[0] / 2), 1.0, slide_layer)
