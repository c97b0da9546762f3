"""Measured spots as layers: what was measured in the heatmap's colours, and predicted less measured. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.formats.limits import limits_of
from napari_nh2st.geometry import FloatArray
from napari_nh2st.viewer.layers.context_effect import LOWER, NEITHER, RAISE, symmetric_limit
from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.legend import show_legend
from napari_nh2st.viewer.layers.names import name_for
from napari_nh2st.viewer.layers.owned_layer import OwnedLayer
from napari_nh2st.viewer.layers.roles import KEY, Kind, Line, Role, change_role, fingerprint_of, role_of
from napari_nh2st.viewer.state.style import Style

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

Rgba = npt.NDArray[np.float32]

NOT_MEASURED = "#80808099"
_EDGE = "#26262b"  # thin: else a spot that agrees with its tile is not seen at all
# seen on pink tissue, on white glass and, but for the first, on a heatmap
_RINGS = {
    Kind.RINGS: "#0b3d91",
    Kind.ANCHORS: "#ffffff",
    Kind.NEXT: "#ff2d95",
    Kind.SPOT_MARKS: "#0b3d91",
    Kind.SLIDE_MARKS: "#d6006c",
}
_NUMBER, _LARGE_NUMBER = 11, 14  # points
_BESIDE = 0.3  # of the diameter: from the middle of a ring to where its number begins, across and up


@dataclass(frozen=True, eq=False, kw_only=True)
class SpotsRole(Role):
    """Measured spots, or their difference from the prediction; values are features of the layer.

    Attributes
    ----------
    unit, measured_unit : str
        Of what is predicted, and of what was measured at them.
    """

    unit: str = ""
    measured_unit: str = ""

    @property
    def same_unit(self) -> bool:
        """True if measured and predicted values can be compared."""
        return self.unit == self.measured_unit


@dataclass(frozen=True)
class SpotValues:
    """A gene at one spot, as measured and as predicted there; `unit` is that of the prediction."""

    gene: str
    measured: float
    predicted: float
    unit: str
    measured_unit: str


def values_under(layer: Layer, place: FloatArray) -> SpotValues | None:
    """Return the values of the spot of a layer at a place (y, x) in its data, None where there is none."""
    role, nearest = role_of(layer), _spot_at(layer, place)
    if nearest is None or not isinstance(role, SpotsRole) or "predicted" not in layer.features:
        return None
    measured, predicted = (float(layer.features[name].iloc[nearest]) for name in ("measured", "predicted"))
    return SpotValues(role.gene, measured, predicted, role.unit, role.measured_unit)


def nearer_words(layer: Layer, place: FloatArray) -> str:
    """Say what was measured at the spot at a place (y, x), what each model predicts there, and which is nearer."""
    role, nearest = role_of(layer), _spot_at(layer, place)
    if nearest is None or role is None or "nearer" not in layer.features:
        return ""
    spot = layer.features.iloc[nearest].to_dict()
    measured, nearer = float(spot.pop("measured")), str(spot.pop("nearer"))
    each = ", ".join(f"{name} {float(value):z.2f}" for name, value in spot.items())
    which = "" if nearer == "-" else f" · {nearer} is nearer"
    return f"{role.gene} measured {measured:z.2f}, {each}{which}"


def _spot_at(layer: Layer, place: FloatArray) -> int | None:
    """Return the number of the spot at a place (y, x), None where there is none or nothing is known of it."""
    if not isinstance(role_of(layer), SpotsRole) or "measured" not in layer.features or not len(layer.data):
        return None
    away = np.hypot(*(np.asarray(layer.data)[:, -2:] - place).T)
    nearest = int(np.argmin(away))
    if away[nearest] > float(np.ravel(layer.size)[min(nearest, np.size(layer.size) - 1)]) / 2:
        return None
    return nearest


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
        viewer.layers.events.removed.connect(self._tell)  # napari holds it weakly

    def create(
        self,
        centres: FloatArray,
        diameter: float,
        slide_layer: Layer | None,
        mpp: float,
        title: str,
        *,
        numbered: bool = False,
    ) -> None:
        """Draw spots anew: centres (n, 2) (x, y) and diameter in level-0 pixels; above the slide and the heatmaps."""
        from napari.layers import Points

        self.remove()
        look: dict[str, Any] = {"face_color": NOT_MEASURED, "border_color": _EDGE, "border_width": 0.06}
        if self.kind in _RINGS:
            look = {"face_color": "transparent", "border_color": _RINGS[self.kind], "border_width": 0.15}
        if numbered:
            numbers = [str(i + 1) for i in range(len(centres))]
            look["text"] = {"string": numbers, "size": _NUMBER, "color": _RINGS[self.kind]}
            if self.kind is Kind.NEXT:  # on such small rings neither could be read: outside them, at the upper right
                beside = diameter * _BESIDE * np.array([-1, 1])
                look["text"] |= {"size": _LARGE_NUMBER, "anchor": "upper_left", "translation": beside}
        role = SpotsRole(kind=self.kind, fingerprint=fingerprint_of(slide_layer), title=title)
        layer = Points(
            centres[:, ::-1] - 0.5,  # napari puts pixel centres on integers
            size=diameter,
            name=name_for(role, self.viewer),
            metadata={KEY: role},
            **look,
            **_frame(slide_layer, mpp),
        )
        layer.editable = False
        layer.events.visible.connect(partial(show_legend, self.viewer))
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

    def colour(
        self, colours: Any, gene: str, title: str, values: dict[str, Any], legend: tuple[Line, ...] = ()
    ) -> None:
        """Show a gene: colours (n, 4) or one for all, the values of each spot by name, and a key to the colours."""
        if self.layer is None or not self.present:
            return
        self.layer.features = values
        self.layer.face_color = colours
        change_role(self.layer, gene=gene, legend=legend)
        self.retitle(title)
        self._tell()

    def _tell(self, event: Any = None) -> None:
        show_legend(self.viewer)


def measured_colours(values: npt.NDArray[Any], heatmap: Image | None, style: Style) -> Rgba:
    """Colour measured values (n,) as a heatmap colours predicted ones: the same limits, colours and gamma.

    Without a heatmap the limits are those of the values, unless they are locked.
    """
    return _mapped(values, *_scale(values, heatmap, style))


SAME_COLOURS: tuple[Line, ...] = (("circles: measured, in the same colours", None),)  # as the map that they lie on


def measured_key(
    gene: str, values: npt.NDArray[Any], unit: str, heatmap: Image | None, style: Style
) -> tuple[Line, ...]:
    """Return the lines on the canvas that explain the colours of measured values where no colour bar does."""
    (low, high), colormap, _ = _scale(values, heatmap, style)
    ends = ["#" + "".join(f"{round(255 * float(v)):02x}" for v in colormap.map([end])[0][:3]) for end in (0.0, 1.0)]
    return (
        (f"{gene}, measured", None),
        (f"{high:z.2f} or more", ends[1]),
        (f"{low:z.2f} or less", ends[0]),
        (unit, None),
    )


def _scale(values: npt.NDArray[Any], heatmap: Image | None, style: Style) -> tuple[tuple[float, float], Any, float]:
    from napari.utils.colormaps import ensure_colormap

    if heatmap is not None:
        return heatmap.contrast_limits, heatmap.colormap, float(heatmap.gamma)
    fitted = limits_of(values, style.percentiles)
    limits = style.last if style.locked and style.last else (fitted.low, fitted.high)
    return limits, ensure_colormap(style.colormap), 1.0


def difference_colours(values: npt.NDArray[Any]) -> tuple[Rgba, float]:
    """Colour predicted less measured (n,): blue below 0, orange above; and how far the colours reach on both sides."""
    from napari.utils import Colormap

    limit = symmetric_limit(values)
    return _mapped(values, (-limit, limit), Colormap([LOWER, NEITHER, RAISE])), limit


def difference_key(gene: str, limit: float, unit: str) -> tuple[Line, ...]:
    """Return the lines on the canvas that say how to read a difference; `limit` is as `difference_colours` has it."""
    return (
        (f"{gene}, predicted less measured", None),
        (f"predicts more, up to {limit:+z.2f}", RAISE),
        (f"predicts less, down to {-limit:+z.2f}", LOWER),
        (unit, None),
    )


def _mapped(values: npt.NDArray[Any], limits: Any, colormap: Any, gamma: float = 1.0) -> Rgba:
    low, high = limits
    return np.asarray(colormap.map(np.clip((values - low) / (high - low), 0, 1) ** gamma), dtype=np.float32)


def _frame(slide_layer: Layer | None, mpp: float) -> dict[str, Any]:
    return map_frame(1.0, (0.5, 0.5), mpp, slide_layer)
