"""One gene on the spots of a section, measured beside predicted in the same colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QPoint

from napari_nh2st.viewer.finetune.held_out_spots import HeldOutSpots, SpotBox
from napari_nh2st.viewer.kit.chart import Chart, Surface

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import MouseEvent

_GAP = 6  # pixels between the two
_WORDS = 3.6  # lines: one above the pictures, two and a half for the colours below
_GROUND, _AROUND = (0.706, 0.706, 0.706, 1.0), (0.275, 0.275, 0.275, 0.35)  # both ends of the colours are seen on it
_RING = 5.0  # pixels of a dot that is seen to be a ring
_MANY = 4000  # spots that are drawn one by one; more are pixels of an image
Rgba = npt.NDArray[np.float64]


class SpotPictures(Chart):
    """Two pictures side by side as wide as the dock, and a colour bar for both."""

    def __init__(self) -> None:
        super().__init__("The gene on the held-out spots, measured and predicted")
        self.spots: HeldOutSpots | None = None
        self.pointed: int | None = None
        self._axes: list[Axes] = []
        self.setVisible(False)

    def show_spots(self, spots: HeldOutSpots | None) -> None:
        """Draw these, or nothing."""
        self.spots = spots
        if self.pointed is not None and (spots is None or self.pointed >= len(spots.xy)):
            self.pointed = None
        self.setVisible(spots is not None)
        self.redraw()

    def height_for(self, width: int, line: int) -> int:
        """Return a height that keeps the shape of the section."""
        return 1 if self.spots is None else round((width - _GAP) / 2 * self.spots.shape + _WORDS * line)

    def spot_at(self, position: QPoint) -> int | None:
        """Return which spot is drawn at a position in either picture; None where none is."""
        found = (box.spot_at(position.x(), position.y()) for box in self._boxes())
        return next((spot for spot in found if spot is not None), None)

    def place_of(self, spot: int, *, predicted: bool = False) -> QPoint:
        """Return where a spot is drawn."""
        assert self.spots is not None
        x, y = self._boxes()[predicted].pixels(self.spots.xy[spot : spot + 1])[0]
        return QPoint(round(x), round(y))

    def tip_at(self, event: MouseEvent) -> str:
        """Ring the spot under the mouse in both pictures, and say its values."""
        ratio = event.canvas.device_pixel_ratio
        self._point(self.spot_at(QPoint(round(event.x / ratio), round(self.height() - event.y / ratio))))
        return "" if self.spots is None or self.pointed is None else self.spots.tip(self.pointed)

    def mouse_left(self) -> None:
        """Point at nothing."""
        self._point(None)

    def plot(self, surface: Surface) -> None:
        """Draw both pictures and the colour bar."""
        self._axes = []
        if self.spots is None or not len(self.spots.xy):
            return
        ratio = float(surface.figure.canvas.device_pixel_ratio)
        for box, title, values in zip(self._boxes(), ("measured", "predicted"), self.spots.values, strict=True):
            surface.write(box.left + box.width / 2, surface.line / 2, title, align="center")
            axes = surface.axes(box.left, box.top, box.width, box.height)
            axes.set_facecolor(_GROUND)
            axes.set_xlim(box.left, box.left + box.width)
            axes.set_ylim(box.top + box.height, box.top)
            for spine in axes.spines.values():
                spine.set_visible(False)
            self._plot_spots(axes, box, values, ratio)
            self._axes.append(axes)
        _plot_colour_bar(surface, self.spots)

    def marks(self) -> Sequence[Artist]:
        """Return rings around the spot that is pointed at."""
        if self.pointed is None or self.spots is None:
            return ()
        drawn: list[Artist] = []
        for axes, box in zip(self._axes, self._boxes(), strict=False):
            x, y = box.pixels(self.spots.xy[self.pointed : self.pointed + 1]).T
            for colour, width in (("#ffffff", 4), ("#000000", 2)):
                drawn += axes.plot(
                    x, y, "o", markersize=box.dot + 2, fillstyle="none", color=colour, markeredgewidth=width
                )
        return drawn

    def _point(self, spot: int | None) -> None:
        if spot != self.pointed:
            self.pointed = spot
            self.redraw_marks()

    def _boxes(self) -> tuple[SpotBox, ...]:
        if self.spots is None or not len(self.spots.xy):
            return ()
        line = self.fontMetrics().height()
        wide, tall = (self.width() - _GAP) / 2, self.height() - _WORDS * line
        return tuple(SpotBox(self.spots, left, 1.1 * line, wide, tall) for left in (0, wide + _GAP))

    def _plot_spots(self, axes: Axes, box: SpotBox, values: npt.NDArray[np.float32], ratio: float) -> None:
        spots = box.spots
        low, high = spots.limits
        index = np.clip((values - low) / (high - low) * 255, 0, 255).round().astype(int)
        places, around, colours = box.pixels(spots.xy), box.pixels(spots.around), spots.colours[index]
        if len(places) + len(around) > _MANY:
            image = _image(box, [(around, np.broadcast_to(_AROUND, (len(around), 4))), (places, colours)], ratio)
            extent = (box.left, box.left + box.width, box.top + box.height, box.top)
            axes.imshow(image, extent=extent, aspect="auto", interpolation="nearest")
            return
        ring = box.dot >= _RING
        axes.scatter(
            *around.T, s=(box.dot - 1 if ring else box.dot) ** 2, facecolors="none" if ring else [_AROUND],
            edgecolors=[_AROUND], linewidths=1 if ring else 0,
        )  # fmt: skip
        axes.scatter(*places.T, s=box.dot**2, c=colours, linewidths=0)


def _image(box: SpotBox, layers: Sequence[tuple[npt.NDArray[np.float64], Rgba]], ratio: float) -> Rgba:
    """Return an image (rows, columns, RGBA) of a box with a square for each spot; later layers hide earlier ones."""
    rows, columns = max(1, round(box.height * ratio)), max(1, round(box.width * ratio))
    image = np.zeros((rows, columns, 4))
    side = max(1, round(box.dot * ratio))
    for places, colours in layers:
        column, row = np.floor((places - (box.left, box.top)) * ratio - (side - 1) / 2).astype(int).T
        for dy, dx in np.ndindex(side, side):
            inside = (row + dy >= 0) & (row + dy < rows) & (column + dx >= 0) & (column + dx < columns)
            image[row[inside] + dy, column[inside] + dx] = colours[inside]
    return image


def _plot_colour_bar(surface: Surface, spots: HeldOutSpots) -> None:
    low, high = (f"{value:z.1f}" for value in spots.limits)
    line, top = surface.line, surface.height - 2.3 * surface.line
    left, right = (surface.wide(text) + 6 for text in (low, high))
    axes = surface.axes(left, top + 0.25 * line, max(surface.width - left - right, 10), 0.55 * line)
    axes.imshow(spots.colours[None], aspect="auto")
    surface.write(0, top + line / 2, low)
    surface.write(surface.width, top + line / 2, high, align="right")
    unit = surface.shortened(spots.unit, surface.width)
    surface.write(surface.width / 2, top + 1.55 * line, unit, align="center")
