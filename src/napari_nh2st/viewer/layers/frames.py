"""Our layers and their frames.

world = (c - 0.5) x mpp in micrometres, (y, x), c in continuous level-0 pixels; units "um" on every layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer

    from napari_nh2st.slides import Slide, TissueMask

KEY = "napari_nh2st"  # under which a layer's metadata hold the Slide, the PredictedMap or the tissue's slide
GENE = "napari_nh2st_gene"  # and the gene that a heatmap shows
MEASURED = "napari_nh2st_measured"  # and, of a slide's layer, the Sample with which its measurement is read
PROVENANCE = "napari_nh2st_provenance"  # and what a layer shows, and from which slide, model and command it comes


def slide_layer_data(slide: Slide, name: str | None = None) -> tuple[Any, dict[str, Any], str]:
    """Return the slide as layer data: in micrometres where its pixel size is known, else in pixels."""
    meta: dict[str, Any] = {
        "name": name or slide.path.name.split(".")[0],
        "rgb": True,
        "metadata": {KEY: slide},
        **slide_frame(slide),
    }
    levels = list(slide.levels)
    return (levels if len(levels) > 1 else levels[0]), {**meta, "multiscale": len(levels) > 1}, "image"


def slide_frame(slide: Slide) -> dict[str, Any]:
    """Return scale and units of the slide's layer."""
    if slide.mpp is None:
        return {"scale": (1.0, 1.0), "units": ("pixel", "pixel")}
    return {"scale": (slide.mpp, slide.mpp), "units": ("um", "um")}


def map_frame(cell: float, origin: tuple[float, float], mpp: float, slide_layer: Layer | None = None) -> dict[str, Any]:
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


def comes_from(shown: PredictedMap, what: str, **more: Any) -> dict[str, Any]:
    """Return the part of a layer's metadata that says what it shows and where that comes from.

    Parameters
    ----------
    shown : PredictedMap
        What it was worked out from.
    what : str
        "predicted expression", "domains".
    more
        What else it takes to repeat it.
    """
    keys = ("path", "fingerprint", "mpp", "mpp_source")
    slide = {key: shown.slide.get(key) for key in keys}
    return {PROVENANCE: {"what": what, **more, "slide": slide, "pitch": shown.pitch, **shown.provenance}}


def slide_of(layer: Any) -> Slide | None:
    """Return the Slide behind a layer, if it is one of ours."""
    found = getattr(layer, "metadata", {}).get(KEY)
    return found if found is not None and hasattr(found, "levels") else None


def map_of(layer: Any) -> PredictedMap | None:
    """Return the PredictedMap behind a layer, if it is a heatmap."""
    found = getattr(layer, "metadata", {}).get(KEY)
    return found if isinstance(found, PredictedMap) else None


def layer_of_slide(viewer: ViewerModel, fingerprint: str | None) -> Layer | None:
    """Return the layer of the slide with this fingerprint, None where it is not open."""
    for layer in viewer.layers:
        slide = slide_of(layer)
        if slide is not None and slide.fingerprint == fingerprint:
            return layer
    return None


def tissue_layer_of(viewer: ViewerModel, slide: Slide) -> Labels | None:
    """Return the layer in which the user sees and edits this slide's tissue mask, if it is there."""
    for layer in viewer.layers:
        if getattr(layer, "metadata", {}).get(KEY) == ("tissue", slide.fingerprint):
            return layer
    return None


def add_tissue_layer(viewer: ViewerModel, slide: Slide, tissue: TissueMask, slide_layer: Layer) -> Labels:
    """Add the tissue mask as a Labels layer that can be painted and erased, aligned with the slide."""
    from napari.layers import Labels
    from napari.utils import DirectLabelColormap

    frame = _mask_frame(tissue.steps, slide_layer)
    layer = Labels(
        np.asarray(tissue.mask).astype(np.uint8),
        name=f"tissue ({slide_layer.name})",
        opacity=0.4,
        colormap=DirectLabelColormap(color_dict={0: "transparent", None: "#00a896"}),
        metadata={KEY: ("tissue", slide.fingerprint)},
        **frame,
    )
    place_above(viewer, layer, topmost(viewer, slide_layer))
    layer.brush_size = max(4, layer.data.shape[0] // 60)
    viewer.layers.selection.active = layer  # it is there to be edited: its tools should be in sight
    return layer


def prepare_labels(dtype: Any) -> None:
    """Let napari compile how it colours numbers of this type: seconds the first time. Not on the GUI thread."""
    from napari.utils import DirectLabelColormap

    DirectLabelColormap(color_dict={None: "transparent", 1: "red"}).map(np.zeros((2, 2), dtype))


def set_slide(viewer: ViewerModel, layer: Layer, slide: Slide, *, move: bool = True) -> None:
    """Put a Slide behind a layer, and the layer and what lies on it into the slide's micrometres.

    Heatmaps of this slide at another pixel size are taken away: they were predicted from other tiles.

    Parameters
    ----------
    move : bool
        False leaves the layer's transform alone, which another reader or the user chose.
    """
    layer.metadata[KEY] = slide
    if not move:
        return
    frame = slide_frame(slide)
    layer.scale, layer.units = frame["scale"], frame["units"]
    for other in list(viewer.layers):
        shown = map_of(other)
        if shown is not None and shown.slide["fingerprint"] == slide.fingerprint and shown.slide["mpp"] != slide.mpp:
            viewer.layers.remove(other)
    tissue = tissue_layer_of(viewer, slide)
    if tissue is not None:
        steps = tuple(a / b for a, b in zip(slide.shape, tissue.data.shape, strict=True))
        for name, value in _mask_frame(steps, layer).items():
            setattr(tissue, name, value)


def _mask_frame(steps: tuple[float, ...], slide_layer: Layer) -> dict[str, Any]:
    """Return the transform of a mask whose pixels are `steps` (y, x) level-0 pixels large."""
    return map_frame(steps, (steps[1] / 2, steps[0] / 2), 1.0, slide_layer)


def topmost(viewer: ViewerModel, slide_layer: Layer | None) -> Layer | None:
    """Return the highest of a slide's layer and the heatmaps, on which what is worked out lies; None without any."""
    below = [layer for layer in viewer.layers if layer is slide_layer or map_of(layer) is not None]
    return below[-1] if below else None


def place_above(viewer: ViewerModel, layer: Layer, below: Layer | None) -> None:
    """Add a layer right above another one, hence below the user's shapes; keep what the user has selected."""
    selected = set(viewer.layers.selection)
    if below is not None and below in viewer.layers:
        viewer.layers.insert(viewer.layers.index(below) + 1, layer)
    else:
        viewer.add_layer(layer)
    viewer.layers.selection = selected & set(viewer.layers) or {layer}
