"""Tiles of a slide at a predictor's scale and size; those that lie together are cut from one window. NumPy only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.embeddings import turned
from napari_nh2st.geometry import FloatArray, IntArray

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide

U8 = npt.NDArray[np.uint8]
# A window may hold so many times the pixels of its tiles: one read of more pixels is faster than many small ones.
_ROOM = 2.0


class TileReader:
    """Reads square tiles by their centres.

    Parameters
    ----------
    slide : Slide
    side : int
        Of a tile, in model pixels.
    scale : float
        Level-0 pixels per model pixel.
    view : int
        How tiles are turned; see `PredictionOptions`.
    """

    def __init__(self, slide: Slide, side: int, scale: float, view: int = 0) -> None:
        self.slide, self.side, self.scale, self.view = slide, side, scale, view

    def corners(self, centres: FloatArray) -> IntArray:
        """Top left corners (n, 2), (y, x) model pixels, of tiles with these centres (n, 2), to the nearest pixel."""
        corners: IntArray = np.round(centres[:, ::-1] / self.scale - self.side / 2).astype(np.int64)
        return corners

    def read(self, centres: FloatArray) -> U8:
        """Read tiles (n, side, side, 3) by their centres (n, 2), level-0 pixels. Safe from any thread."""
        return self._read_at(self.corners(centres))

    def _read_at(self, corners: IntArray) -> U8:
        side = self.side
        out = np.empty((len(corners), side, side, 3), dtype=np.uint8)
        if not len(corners):
            return out
        cut = self._cutter(corners)
        for i, (y, x) in enumerate(corners):
            out[i] = turned(cut(int(y), int(x)), self.view)
        return out

    def _cutter(self, corners: IntArray) -> Callable[[int, int], U8]:
        """Return what gives the tile with a corner: cut from one window if tiles lie together, else read."""
        side, first = self.side, corners.min(axis=0)
        height, width = (int(n) for n in corners.max(axis=0) - first + side)
        if height * width > _ROOM * len(corners) * side * side:
            return lambda y, x: self.slide.read(x, y, side, side, self.scale)
        top, left = (int(n) for n in first)
        window = self.slide.read(left, top, width, height, self.scale)
        return lambda y, x: window[y - top : y - top + side, x - left : x - left + side]

    def read_nine(self, centres: FloatArray, present: npt.NDArray[np.bool_]) -> U8:
        """Read neighbourhoods (n, 9, side, side, 3) by centres (n, 9, 2); white where one is not `present` (n, 9)."""
        out = np.full((*present.shape, self.side, self.side, 3), 255, dtype=np.uint8)
        there = np.flatnonzero(present)
        corners, which = np.unique(self.corners(centres.reshape(-1, 2)[there]), axis=0, return_inverse=True)
        out.reshape(-1, *out.shape[2:])[there] = self._read_at(corners)[which.ravel()]
        return out
