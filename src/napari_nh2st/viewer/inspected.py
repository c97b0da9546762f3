"""The tile that is being inspected: which one is under the cursor, its outline on the slide, its pictures. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import SELF, FloatArray
from napari_nh2st.viewer.effect import effect_of
from napari_nh2st.viewer.layers import KEY, map_frame, map_of, place_above
from napari_nh2st.viewer.predicted import PredictedMap
from napari_nh2st.viewer.where import under_cursor

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Points

    from napari_nh2st.slides import Slide

PIXELS = 256  # per side of a picture: more than a dock shows
OUTLINE = "inspected tile"
_OWN, _NEIGHBOUR = 0.06, 0.02  # widths of the outlines, in sides of a tile


def cell_under_cursor(viewer: ViewerModel, shown: PredictedMap, slide_layer: Layer) -> int | None:
    """Return the flat index of the predicted cell under the cursor, None where nothing is predicted."""
    y, x = under_cursor(viewer, slide_layer) + 0.5
    left, top = (v - shown.cell / 2 for v in shown.origin)
    row, column = int(np.floor((y - top) / shown.cell)), int(np.floor((x - left) / shown.cell))
    if not (0 <= row < shown.rows and 0 <= column < shown.columns):
        return None
    cell = row * shown.columns + column
    return None if np.isnan(shown.hidden_of(np.array([cell]))[0, 0]) else cell


def pictures(slide: Slide, centres: FloatArray, side: float, pixels: int = PIXELS) -> npt.NDArray[np.uint8]:
    """Read square pieces of a slide.

    Parameters
    ----------
    centres : (n, 2)
        (x, y), level-0 pixels.
    side : float
        Of each piece, level-0 pixels.
    pixels : int
        Of each side of a picture; fewer where the slide has no more.

    Returns
    -------
    (n, pixels, pixels, 3) uint8
        White outside the slide.
    """
    pixels = max(1, min(pixels, round(side)))
    scale = side / pixels
    corners = np.round((centres - side / 2) / scale).astype(int)
    return np.stack([slide.read(int(x), int(y), pixels, pixels, scale) for x, y in corners])


class Outline:
    """A thin square round a tile and each of its neighbours; the user may rename, move, hide or delete the layer.

    A Points layer, not a Shapes layer: those are what the user draws, and where they may want to predict.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layer: Points | None = None

    @property
    def present(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    def show(self, centres: FloatArray, side: float, mpp: float, slide_layer: Layer) -> None:
        """Put the squares round nine places (9, 2), (x, y) in level-0 pixels, with this side."""
        order = [i for i in range(len(centres)) if i != SELF] + [SELF]  # the tile itself is drawn last
        at = centres[order, ::-1]
        if self.layer is not None and self.present and len(self.layer.data) == len(at):
            self.layer.data = at
        else:
            self.remove()
            self._create(at, side, mpp, slide_layer)

    def _create(self, at: FloatArray, side: float, mpp: float, slide_layer: Layer) -> None:
        from napari.layers import Points

        self.layer = Points(
            at,
            name=OUTLINE,
            symbol="square",
            size=side,
            face_color="transparent",
            border_color=["#ffffff"] * 8 + ["#ffd400"],
            border_width=[_NEIGHBOUR] * 8 + [_OWN],
            border_width_is_relative=True,
            metadata={KEY: (OUTLINE,)},
            **map_frame(1.0, (0.0, 0.0), mpp, slide_layer),
        )
        ours = [other for other in self._viewer.layers if other is slide_layer or _heat(other)]
        place_above(self._viewer, self.layer, ours[-1])

    def remove(self) -> None:
        """Take the squares away."""
        if self.layer is not None and self.present:
            self._viewer.layers.remove(self.layer)
        self.layer = None


def _heat(layer: Any) -> bool:
    return map_of(layer) is not None or effect_of(layer) is not None
