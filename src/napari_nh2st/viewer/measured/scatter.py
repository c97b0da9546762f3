"""Measured against predicted values of one gene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.viewer.kit.chart import Chart, Surface
from napari_nh2st.viewer.kit.colours import BLUE, DEEP_BLUE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT, _LINES = 220, 13
_DOT, _INSET = 4, 5  # pixels; no dot lies on the frame


class Scatter(Chart):
    """A dot for each spot: measured to the right, predicted upwards; a faint line where both are equal."""

    def __init__(self) -> None:
        super().__init__(
            "Predicted against measured values of the gene",
            "One dot a spot. On the faint line predicted equals measured; predictions usually vary less than "
            "measurements do, which leaves the correlation (PCC) as it is",
        )
        self.measured = self.predicted = np.empty(0)
        self.title = self.unit = ""
        self.same_unit = True
        self.setVisible(False)

    def show_values(
        self, measured: npt.ArrayLike, predicted: npt.ArrayLike, title: str, unit: str, *, same_unit: bool
    ) -> None:
        """Draw a gene: measured and predicted (n,), both in `unit` where the units are the same."""
        self.measured, self.predicted = (np.asarray(v, dtype=float) for v in (measured, predicted))
        self.title, self.unit, self.same_unit = title, unit, same_unit
        self.setVisible(len(self.measured) > 0)
        self.redraw()

    def height_for(self, width: int, line: int) -> int:
        """Return a height that follows the font."""
        return max(_HEIGHT, _LINES * line)

    def plot(self, surface: Surface) -> None:
        """Draw the dots and the words around them."""
        if not len(self.measured):
            return
        line, spans = surface.line, [_span(v) for v in (self.measured, self.predicted)]
        numbers = max(surface.wide(f"{v:z.1f}") for v in spans[1])
        left, top = 1.4 * line + numbers, 1.5 * line
        width, height = surface.width - left - 0.6 * line, surface.height - top - 2.4 * line
        if width <= 2 * _INSET or height <= 2 * _INSET:  # before it is laid out
            return
        axes = surface.axes(left, top, width, height)
        for set_limits, (low, high), length in (
            (axes.set_xlim, spans[0], width),
            (axes.set_ylim, spans[1], height),
        ):
            room = _INSET / (length - 2 * _INSET) * (high - low)
            set_limits(low - room, high + room)
        self._plot_dots(axes, surface, spans)
        bottom = top + height
        surface.write(surface.width / 2, 0.65 * line, surface.shortened(self.title, surface.width), align="center")
        for value, y in ((spans[1][1], top + line / 2), (spans[1][0], bottom - line / 2)):
            surface.write(left - 4, y, f"{value:z.1f}", align="right")
        surface.write(left, bottom + 2 + line / 2, f"{spans[0][0]:z.1f}", align="left")
        surface.write(left + width, bottom + 2 + line / 2, f"{spans[0][1]:z.1f}", align="right")
        words = surface.shortened(f"measured, {self.unit}", surface.width)
        surface.write(surface.width / 2, bottom + 1.7 * line, words, align="center")
        words = "predicted, same unit" if self.same_unit else "predicted, unit of model"
        said = surface.write(0.6 * line, top + height / 2, surface.shortened(words, height), align="center")
        said.set_rotation(90)
        said.set_verticalalignment("center")

    def _plot_dots(self, axes: Axes, surface: Surface, spans: list[tuple[float, float]]) -> None:
        low, high = max(span[0] for span in spans), min(span[1] for span in spans)
        if self.same_unit and low < high:
            axes.plot([low, high], [low, high], "--", color=surface.ink, alpha=0.4, linewidth=1)
        alpha = min(1.0, max(0.25, 150 / len(self.measured)))
        colour = BLUE if sum(surface.paper[:3]) < sum(surface.ink[:3]) else DEEP_BLUE
        axes.plot(self.measured, self.predicted, "o", color=colour, alpha=alpha, markersize=_DOT, markeredgewidth=0)


def _span(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)
