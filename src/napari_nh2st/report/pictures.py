"""The pictures of a report: where on the slide something was predicted, and the maps, all at one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.formats.figure import MM, ONE_COLUMN, draw_figure, paint_scale_bar
from napari_nh2st.formats.picture import small
from napari_nh2st.formats.table import rows_and_columns, slide_mpp, tile_side

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.report.choices import Choices

TALLEST = 110.0  # mm
_EDGE = "#0072b2"  # of what is predicted; unlike tissue


def draw_map(choices: Choices, gene: str, dpi: int) -> Figure:
    """Draw the map of a gene over its tissue, as `nh2st figure` does."""
    display = choices.display.changed(genes=(gene,))
    return draw_figure(choices.prediction, display, slide=choices.slide, width_mm=ONE_COLUMN, dpi=dpi)


def draw_overview(choices: Choices, dpi: int) -> Figure:
    """Draw the whole slide, with a line round what is predicted and the outlines of the regions."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    prediction = choices.prediction
    height, width = prediction.slide["shape"]
    wide = min(ONE_COLUMN, TALLEST * width / height)
    figure = Figure(figsize=(wide * MM, wide * height / width * MM), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    if choices.slide is not None:
        picture, _ = small(choices.slide, round(max(wide, wide * height / width) * MM * dpi))
        axes.imshow(picture, extent=(0, width, height, 0), interpolation="antialiased")
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], aspect="auto")
    axes.spines[:].set_color("#c0c0c0")
    _paint_edge(axes, prediction)
    _paint_regions(axes, choices)
    paint_scale_bar(axes, slide_mpp(prediction))
    return figure


def _paint_edge(axes: Axes, prediction: Prediction) -> None:
    """Draw a line round the predicted tiles."""
    grid, side = rows_and_columns(prediction.places), tile_side(prediction.places)
    first = prediction.places.centres[0] - grid[0, ::-1] * side
    rows, columns = grid.max(axis=0) + 3  # with an empty cell all round, so that lines are closed
    done = np.zeros((rows, columns))
    done[grid[:, 0] + 1, grid[:, 1] + 1] = 1
    x, y = (first[axis] + (np.arange(n) - 1) * side for axis, n in ((0, columns), (1, rows)))
    axes.contour(x, y, done, levels=[0.5], colors=[_EDGE], linewidths=0.8)


def _paint_regions(axes: Axes, choices: Choices) -> None:
    from matplotlib.patches import Polygon

    from napari_nh2st.markup import figure_text

    for name, parts in choices.regions.items():
        for outline, *_ in parts:
            axes.add_patch(Polygon(outline, closed=True, fill=False, edgecolor="black", linewidth=1.0))
        x, y = parts[0][0].mean(axis=0)
        ground = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "boxstyle": "square,pad=0.2"}
        axes.text(x, y, figure_text(name), fontsize=6, ha="center", va="center", bbox=ground, clip_on=True)
