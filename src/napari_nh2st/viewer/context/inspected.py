"""The tile that is being inspected: which one is under the cursor, its outline on the slide, its pictures. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import NEIGHBOUR_STEPS, SELF, FloatArray, TileSet
from napari_nh2st.viewer.layers.frames import map_frame
from napari_nh2st.viewer.layers.names import name_for
from napari_nh2st.viewer.layers.owned_layer import OwnedLayer
from napari_nh2st.viewer.layers.roles import KEY, Kind, Role, fingerprint_of
from napari_nh2st.viewer.layers.stacking import to_top
from napari_nh2st.viewer.predict.region import under_cursor
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_nh2st.model.card import Card
    from napari_nh2st.slides import Slide

PIXELS = 256  # per side of a picture: more than a dock shows
OUTLINE = "inspected tile"
_RASTER = 120  # pixels per side of the outlines: finer ones break up where all of a slide is in sight
_OWN, _NEIGHBOUR = 0.08, 0.03  # widths of the outlines, in sides of a tile
_OWN_PX, _NEIGHBOUR_PX = 4.0, 2.0  # on the screen at least: thinner lines break up, as where all of a slide is in sight
_WIDEST = 0.25  # of a tile: its colour stays in sight
_ALIKE = 1.15  # widths that differ by less are not drawn anew


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


def widths(side: float) -> tuple[float, float]:
    """Return how wide the lines of the own square and of its neighbours are, in sides of a tile.

    Parameters
    ----------
    side : float
        Of a tile on the screen, pixels.
    """
    own, neighbour = max(_OWN, _OWN_PX / side), max(_NEIGHBOUR, _NEIGHBOUR_PX / side)
    return min(own, _WIDEST), min(neighbour, 0.6 * _WIDEST)


def squares(
    pitch: int, patch: int, own: float = _OWN, neighbour: float = _NEIGHBOUR
) -> tuple[npt.NDArray[np.uint8], float]:
    """Draw nine squares of side `patch` at a distance of `pitch` (model pixels): a thick one amid eight thin ones.

    Parameters
    ----------
    own, neighbour : float
        Widths of their lines, in sides of a square.

    Returns
    -------
    (n, n, 4) uint8
        White lines on nothing.
    float
        Model pixels per pixel of it.
    """
    whole = 2 * pitch + patch
    step = whole / min(_RASTER, whole)
    out = np.zeros((round(whole / step),) * 2 + (4,), dtype=np.uint8)
    for i, (dx, dy) in enumerate(NEIGHBOUR_STEPS + 1):
        width = max(1, round((own if i == SELF else neighbour) * patch / step))
        left, top, side = round(dx * pitch / step), round(dy * pitch / step), round(patch / step)
        frame = np.full((side, side), 255, dtype=np.uint8)
        frame[width:-width, width:-width] = 0
        area = out[top : top + side, left : left + side]
        np.maximum(area, frame[: area.shape[0], : area.shape[1], None], out=area)
    return out, step


class Outline(OwnedLayer):
    """A thin square round a tile and each of its neighbours.

    An image: a Shapes layer would be taken for what the user draws, and a Points layer takes long to make.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self._card: Card | None = None
        self._side = 1.0  # of a tile, in the world
        self._drawn = (0.0, 0.0)  # widths of the lines
        viewer.scene.camera.events.zoom.connect(self._zoomed)

    def show(self, place: TileSet, card: Card, slide_layer: Layer) -> None:
        """Put the squares round one place and its neighbours."""
        self._card = card
        self._side = card.patch * place.scale * float(np.asarray(slide_layer.scale)[-1])
        self._drawn = self._widths()
        pixels, step = squares(card.pitch, card.patch, *self._drawn)
        cell = step * place.scale
        corner = place.centres[0] - (card.pitch + card.patch / 2) * place.scale + cell / 2
        frame = map_frame(cell, (float(corner[0]), float(corner[1])), card.mpp / place.scale, slide_layer)
        if self.layer is not None and self.present:
            self.layer.data, self.layer.translate = pixels, frame["translate"]
            to_top(self.viewer, self.layer)
        else:
            self._create(pixels, frame, slide_layer)

    def _zoomed(self, event: object = None) -> None:
        """Keep the lines wide enough to be seen."""
        if self._card is None or self.layer is None or not self.present:
            return
        wanted = self._widths()
        if not 1 / _ALIKE < wanted[0] / self._drawn[0] < _ALIKE or not 1 / _ALIKE < wanted[1] / self._drawn[1] < _ALIKE:
            self._drawn = wanted
            self.layer.data, _ = squares(self._card.pitch, self._card.patch, *wanted)

    def _widths(self) -> tuple[float, float]:
        return widths(max(1.0, self._side * float(self.viewer.scene.camera.zoom)))

    def _create(self, pixels: npt.NDArray[np.uint8], frame: dict[str, Any], slide_layer: Layer) -> None:
        from napari.layers import Image

        look = {"rgb": True, "blending": "translucent", "interpolation2d": "linear"}
        role = Role(kind=Kind.OUTLINE, fingerprint=fingerprint_of(slide_layer), title=OUTLINE)
        self._take(Image(pixels, name=name_for(role, self.viewer), metadata={KEY: role}, **look, **frame))
