"""Our layers and their frames.

world = (c - 0.5) x mpp in micrometres, (y, x), c in continuous level-0 pixels; units "um" on every layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.viewer.predicted import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_nh2st.geometry import IntArray
    from napari_nh2st.slides import Slide, TissueMask

KEY = "napari_nh2st"  # under which a layer's metadata hold the Slide, the PredictedMap or the tissue's slide
COLORMAPS = ("magma", "viridis", "cividis", "inferno", "gray_r")
UNIT_OVERLAY = "nh2st_unit"


@dataclass(frozen=True)
class Limits:
    """Contrast limits of a gene, and a sentence where they need one."""

    low: float
    high: float
    note: str = ""


@dataclass
class Style:
    """How heatmaps are coloured.

    Attributes
    ----------
    percentiles : (2,) tuple
        Which part of the values the colours span.
    locked : bool
        Limits stay as they are, whatever gene is shown or predicted next.
    """

    colormap: str = "magma"
    percentiles: tuple[float, float] = (1.0, 99.0)
    locked: bool = False
    opacity: float = 0.7


def limits_of(values: npt.NDArray[Any], percentiles: tuple[float, float] = (1.0, 99.0)) -> Limits:
    """Return limits that napari can take, for any values: some, all equal, or none at all."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Limits(0.0, 1.0, "nothing predicted yet")
    low, high = (float(v) for v in np.percentile(finite, percentiles))
    if _flat(low, high):  # a few cells differ from all the others
        low, high = float(finite.min()), float(finite.max())
    if _flat(low, high):
        note = f"the same everywhere: {low:.2f}" if finite.size > 1 else ""
        return Limits(low - 0.5, low + 0.5, note)
    return Limits(low, high)


def _flat(low: float, high: float) -> bool:
    return high - low <= 1e-4 * max(1.0, abs(low))  # hidden vectors are float16: less than this is rounding


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
    cell : float
        Level-0 pixels.
    origin : (2,) tuple
        (x, y), level-0 pixels.
    mpp : float
        Micrometres per level-0 pixel, used when there is no slide layer.
    slide_layer : Layer, optional
        Where it is moved or turned, so is the image.
    """
    offset = np.array(origin[::-1]) - 0.5  # napari puts pixel centres on integers
    if slide_layer is None:
        return {"scale": (cell * mpp,) * 2, "translate": offset * mpp, "units": ("um", "um")}
    to_world = slide_layer._transforms["data2physical"].linear_matrix[-2:, -2:]
    return {
        "scale": np.asarray(slide_layer.scale)[-2:] * cell,
        "translate": np.asarray(slide_layer.translate)[-2:] + to_world @ offset,
        "rotate": np.asarray(slide_layer.rotate)[-2:, -2:],
        "shear": np.asarray(slide_layer.shear)[-1:],
        "affine": slide_layer.affine,
        "units": tuple(slide_layer.units)[-2:],
    }


def slide_of(layer: Any) -> Slide | None:
    """Return the Slide behind a layer, if it is one of ours."""
    found = getattr(layer, "metadata", {}).get(KEY)
    return found if found is not None and hasattr(found, "levels") else None


def map_of(layer: Any) -> PredictedMap | None:
    """Return the PredictedMap behind a layer, if it is a heatmap."""
    found = getattr(layer, "metadata", {}).get(KEY)
    return found if isinstance(found, PredictedMap) else None


def tissue_layer_of(viewer: ViewerModel, slide: Slide) -> Labels | None:
    """Return the layer in which the user sees and edits this slide's tissue mask, if it is there."""
    for layer in viewer.layers:
        if getattr(layer, "metadata", {}).get(KEY) == ("tissue", slide.fingerprint):
            return layer
    return None


def add_tissue_layer(viewer: ViewerModel, slide: Slide, tissue: TissueMask, slide_layer: Layer) -> Labels:
    """Add the tissue mask as a Labels layer that can be painted and erased, aligned with the slide."""
    from napari.layers import Labels

    half = tissue.step / 2
    frame = map_frame(tissue.step, (half, half), slide.mpp or 1.0, slide_layer)
    layer = Labels(
        np.asarray(tissue.mask).astype(np.uint8),
        name=f"tissue ({slide_layer.name})",
        opacity=0.35,
        metadata={KEY: ("tissue", slide.fingerprint)},
        **frame,
    )
    place_above(viewer, layer, slide_layer)
    layer.brush_size = max(4, layer.data.shape[0] // 60)
    viewer.layers.selection.active = layer  # it is there to be edited: its tools should be in sight
    return layer


def place_above(viewer: ViewerModel, layer: Layer, below: Layer | None) -> None:
    """Add a layer right above another one, hence below the user's shapes; keep what the user has selected."""
    selected = set(viewer.layers.selection)
    if below is not None and below in viewer.layers:
        viewer.layers.insert(viewer.layers.index(below) + 1, layer)
    else:
        viewer.add_layer(layer)
    viewer.layers.selection = selected & set(viewer.layers) or {layer}


class HeatmapLayer:
    """The one Image layer of a map, kept in step with it.

    The user may rename, move, hide, recolour or delete the layer at any time: what they changed is left
    alone, and a deleted layer comes back only when a gene is asked for.
    """

    def __init__(self, viewer: ViewerModel, shown: PredictedMap, slide_layer: Layer | None, style: Style) -> None:
        self.viewer, self.map, self.slide_layer, self.style = viewer, shown, slide_layer, style
        self.gene = ""
        self.limits = Limits(0.0, 1.0)
        self.layer: Image | None = None
        self._name = ""

    @property
    def present(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self.viewer.layers

    def adopt(self, layer: Image) -> None:
        """Take over a layer that is there already, such as one that File > Open made."""
        self.layer, self._name = layer, layer.name

    def show(self, gene: str) -> None:
        """Draw a gene, from the hidden vectors; brings the layer back if it was deleted."""
        values = self.map.values(gene)
        changed = gene != self.gene
        self.gene = gene
        if not self.present:
            self._create(values)
        assert self.layer is not None
        self.layer.data[...] = values
        self._fit_limits(force=changed)
        self._rename()
        self._refresh()

    def update(self, cells: IntArray) -> None:
        """Draw cells that have just been predicted."""
        if self.layer is None or not self.present or not self.gene:
            return
        row, column = np.divmod(cells, self.map.columns)
        self.layer.data[row, column] = self.map.values(self.gene, cells)
        self._fit_limits(force=False)
        self._refresh()

    def restyle(self) -> None:
        """Apply a changed colormap or changed percentiles."""
        if self.layer is not None and self.present:
            self.layer.colormap = self.style.colormap
            self._fit_limits(force=True)

    def _create(self, values: npt.NDArray[np.float32]) -> None:
        from napari.layers import Image

        slide_layer = self.slide_layer if self.slide_layer in self.viewer.layers else None
        mpp = float(self.map.slide["mpp"])
        self._name = self._wanted_name()
        self.layer = Image(
            np.full_like(values, np.nan),
            name=self._name,
            colormap=self.style.colormap,
            contrast_limits=(self.limits.low, self.limits.high),
            blending="translucent",  # NaN is see-through with it, and black with others
            interpolation2d="nearest",
            opacity=self.style.opacity,
            metadata={KEY: self.map},
            **map_frame(self.map.cell, self.map.origin, mpp, slide_layer),
        )
        place_above(self.viewer, self.layer, slide_layer)
        self._name = self.layer.name  # napari numbers a name that is taken
        self.layer.colorbar.visible = True

    def _fit_limits(self, *, force: bool) -> None:
        """Follow the values, unless the limits are locked or the user has set them by hand."""
        assert self.layer is not None
        by_hand = not np.allclose(self.layer.contrast_limits, (self.limits.low, self.limits.high))
        fitted = limits_of(self.layer.data, self.style.percentiles)
        if self.style.locked or (by_hand and not force):
            self.limits = Limits(*self.layer.contrast_limits, fitted.note)
            return
        self.limits = fitted
        self.layer.contrast_limits_range = (
            min(fitted.low, self._range(np.nanmin, fitted.low)),
            max(fitted.high, self._range(np.nanmax, fitted.high)),
        )
        self.layer.contrast_limits = (fitted.low, fitted.high)

    def _range(self, function: Any, default: float) -> float:
        assert self.layer is not None
        return float(function(self.layer.data)) if np.isfinite(self.layer.data).any() else default

    def _wanted_name(self) -> str:
        return f"{self.gene}, predicted ({self.map.card.name})"

    def _rename(self) -> None:
        assert self.layer is not None
        if self.layer.name == self._name:  # else the user gave it a name: it stays
            self.layer.name = self._wanted_name()
            self._name = self.layer.name

    def _refresh(self) -> None:
        assert self.layer is not None
        self.layer.refresh(extent=False, thumbnail=False, highlight=False)
