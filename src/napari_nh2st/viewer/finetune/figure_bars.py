"""Figures of several models beside one another: a bar and its interval each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_nh2st.viewer.kit.chart import Chart, Surface
from napari_nh2st.viewer.kit.colours import BLUE
from napari_nh2st.viewer.kit.phrases import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import MouseEvent

    from napari_nh2st.training.run.summary import SummaryLine

_GREY = "#8c8c8c"
_PITCH, _BAR = 1.95, 0.45  # of a model, and of its bar, in heights of the font


class FigureBars(Chart):
    """The name and the figure of each model above a bar with its 95% interval; the last one stands out."""

    def __init__(self) -> None:
        super().__init__("")
        self.lines: Sequence[SummaryLine] = ()
        self.setVisible(False)

    def show_lines(self, lines: Sequence[SummaryLine]) -> None:
        """Draw these, or nothing."""
        self.lines = lines
        self.setAccessibleName("; ".join(f"{line.name} {figure_words(line)}" for line in lines))
        self.setVisible(bool(lines))
        self.redraw()

    def height_for(self, width: int, line: int) -> int:
        """Return a height that follows the font and the number of models."""
        return round(len(self.lines) * _PITCH * line) + 2

    def tip_at(self, event: MouseEvent) -> str:
        """Say what a model is."""
        return self.tip_of(-1 if event.ydata is None else int(event.ydata // _PITCH))

    def tip_of(self, at: int) -> str:
        """Say what a model is, by its place from the top."""
        if not 0 <= at < len(self.lines):
            return ""
        line = self.lines[at]
        return f"{line.about.rstrip('.')}. Mean PCC over genes with its 95% interval: {figure_words(line)}"

    def plot(self, surface: Surface) -> None:
        """Draw the models from the top."""
        if not self.lines:
            return
        axes = surface.axes(2, 0, surface.width - 4, surface.height)
        axes.set_axis_off()
        axes.set_xlim(min(0.0, *(line.low for line in self.lines)), max(1e-6, *(line.high for line in self.lines)))
        axes.set_ylim(surface.height / surface.line, 0)  # in heights of the font
        for at, line in enumerate(self.lines):
            self._plot_line(surface, axes, line, at * _PITCH, last=at == len(self.lines) - 1)

    def _plot_line(self, surface: Surface, axes: Axes, line: SummaryLine, top: float, *, last: bool) -> None:
        words = figure_words(line)
        if surface.wide(f"{line.name}  {words}", bold=last) > surface.width:
            words = short(line.pcc)  # the interval is seen on the bar
        middle = (top + 0.5) * surface.line
        surface.write(0, middle, line.name, bold=last)
        surface.write(surface.width, middle, words, align="right", bold=last)
        y = top + 1.1 + _BAR / 2
        axes.barh(y, line.pcc, height=_BAR, color=BLUE if last else _GREY)
        axes.plot(
            [line.low, line.high], [y, y], "|-", color=surface.ink, linewidth=1.5, markersize=surface.line / 2,
            markeredgewidth=1.5, clip_on=False,
        )  # fmt: skip


def figure_words(line: SummaryLine) -> str:
    """Write a figure with its interval."""
    return f"{short(line.pcc)} ({short(line.low)} to {short(line.high)})"
