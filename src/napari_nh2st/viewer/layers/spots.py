"""Measured spots as layers: what was measured in the heatmap's colours, and predicted less measured. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.formats.limits import limits_of
from napari_nh2st.geometry import FloatArray
from napari_nh2st.viewer.layers.context_effect import LOWER, NEITHER, RAISE, symmetric_limit
from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.names import name_for
from napari_nh2st.viewer.layers.owned_layer import OwnedLayer
from napari_nh2st.viewer.layers.roles import KEY, Kind, Role, change_role, fingerprint_of
from napari_nh2st.viewer.state.style import Style

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

Rgba = npt.NDArray[np.float32]

NOT_MEASURED = "#80808099"
_EDGE = "#26262b"  # thin: else a spot that agrees with its tile is not seen at all
_RING = "#0b3d91"  # seen on pink tissue and on white glass


class SpotsLayer(OwnedLayer):
    """One Points layer with a circle a spot.

    Parameters
    ----------
    viewer : ViewerModel
    kind : Kind
        Measured spots, their difference from the prediction, or rings through which the tissue is seen.
    """

    def __init__(self, viewer: ViewerModel, kind: Kind) -> None:
        super().__init__(viewer)
        self.kind = kind

    def create(self, centres: FloatArray, diameter: float, slide_layer: Layer | None, mpp: float, title: str) -> None:
        """Draw spots anew: centres (n, 2) (x, y) and diameter in level-0 pixels; above the slide and the heatmaps."""
        from napari.layers import Points

        self.remove()
        look: dict[str, Any] = {"face_color": NOT_MEASURED, "border_color": _EDGE, "border_width": 0.06}
        if self.kind is Kind.RINGS:
            look = {"face_color": "transparent", "border_color": _RING, "border_width": 0.15}
        role = Role(kind=self.kind, fingerprint=fingerprint_of(slide_layer), title=title)
        layer = Points(
            centres[:, ::-1] - 0.5,  # napari puts pixel centres on integers
            size=diameter,
            name=name_for(role, self.viewer),
            metadata={KEY: role},
            **look,
            **_frame(slide_layer, mpp),
        )
        layer.editable = False
        self._take(layer)

    def align(self, slide_layer: Layer, mpp: float) -> None:
        """Follow the slide's layer, whose pixels may have got another size."""
        if self.layer is not None and self.present:
            for key, value in _frame(slide_layer, mpp).items():
                setattr(self.layer, key, value)

    def move(self, centres: FloatArray, diameter: float) -> None:
        """Put the spots elsewhere."""
        if self.layer is not None and self.present:
            self.layer.data = centres[:, ::-1] - 0.5
            self.layer.size = diameter

    def colour(self, colours: Any, gene: str, title: str, values: dict[str, Any]) -> None:
        """Show a gene: colours (n, 4) or one for all, and the values that the status line gives for a spot."""
        if self.layer is None or not self.present:
            return
        self.layer.features = values
        self.layer.face_color = colours
        change_role(self.layer, gene=gene)
        self.retitle(title)


def measured_colours(values: npt.NDArray[Any], heatmap: Image | None, style: Style) -> Rgba:
    """Colour measured values (n,) as a heatmap colours predicted ones: the same limits, colours and gamma.

    Without a heatmap the limits are those of the values, unless they are locked.
    """
    from napari.utils.colormaps import ensure_colormap

    if heatmap is not None:
        return _mapped(values, heatmap.contrast_limits, heatmap.colormap, float(heatmap.gamma))
    fitted = limits_of(values, style.percentiles)
    limits = style.last if style.locked and style.last else (fitted.low, fitted.high)
    return _mapped(values, limits, ensure_colormap(style.colormap))


def difference_colours(values: npt.NDArray[Any]) -> tuple[Rgba, float]:
    """Colour predicted less measured (n,): blue below 0, orange above; and how far the colours reach on both sides."""
    from napari.utils import Colormap

    limit = symmetric_limit(values)
    return _mapped(values, (-limit, limit), Colormap([LOWER, NEITHER, RAISE])), limit


def _mapped(values: npt.NDArray[Any], limits: Any, colormap: Any, gamma: float = 1.0) -> Rgba:
    low, high = limits
    return np.asarray(colormap.map(np.clip((values - low) / (high - low), 0, 1) ** gamma), dtype=np.float32)


def _frame(slide_layer: Layer | None, mpp: float) -> dict[str, Any]:
    return map_frame(1.0, (0.5, 0.5), mpp, slide_layer)
