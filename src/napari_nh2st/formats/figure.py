"""A figure for print: the heatmap over its tissue as the window shows it, with scale bar and colour bar.

Drawn with matplotlib's own canvases: no window, no display, no torch.
"""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.atomic import finished_file
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.display import Display
from napari_nh2st.formats.exporter import Progress
from napari_nh2st.formats.limits import Limits, limits_of
from napari_nh2st.formats.picture import RGB, part
from napari_nh2st.formats.smooth import smoothed
from napari_nh2st.formats.table import describe, means_nothing, slide_mpp
from napari_nh2st.geometry import Box
from napari_nh2st.markup import figure_text
from napari_nh2st.model.find_genes import find_genes
from napari_nh2st.provenance import repeat_command

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from napari_nh2st.model.card import Card
    from napari_nh2st.slides import Slide

SUFFIXES = (".png", ".pdf", ".svg", ".tif", ".tiff")
ONE_COLUMN, TWO_COLUMNS = 85.0, 180.0  # widths of a printed page's columns, mm
DPI = 300
WIDTHS, DPIS = (30.0, 500.0), (50, 1200)
ACROSS = 3  # panels in a row

MM = 1 / 25.4  # inches
LARGE, TEXT, SMALL = 8.0, 7.0, 6.0  # pt; journals ask for 5 to 7 at final size
# mm: margin, between panels, title line, then below the image: to the bar, its height, to its end with ticks, a line
EDGE, GAP, HEAD, TO_BAR, BAR, TICKS, LINE = 0.8, 4.0, 4.4, 1.6, 2.2, 3.2, 2.8
TALLEST = 200.0  # mm of image, all rows together: a page
MM_PER_LETTER = 1.25  # of small text, on the wide side

_DRAWN, _WRITTEN = 0.5, 0.99  # of the time, about
_TISSUE_GROUND = "white"
# Text stays text, so that journals can set and search it.
_STYLE: dict[str, Any] = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "nh2st", "font.size": TEXT}


@dataclass(frozen=True)
class _Layout:
    """Positions of the panels, mm from the figure's top left corner."""

    width: float
    height: float
    image: tuple[float, float]
    corners: list[tuple[float, float]]


def write_figure(
    prediction: Prediction,
    display: Display,
    path: str | Path,
    *,
    slide: Slide | None = None,
    width_mm: float | None = None,
    dpi: int = DPI,
    command: str | None = None,
    progress: Progress = lambda share: None,
) -> Path:
    """Draw a display and write it; the file appears when it is complete.

    Parameters
    ----------
    prediction : Prediction
        On the lattice.
    display : Display
        One panel a gene.
    path : path
        Ends in .png, .pdf, .svg, .tif or .tiff. In PDF and SVG text stays text.
    slide : Slide, optional
        Of the prediction: its tissue is drawn below the heatmap. Without it, the background is white.
    width_mm : float, optional
        `ONE_COLUMN` for one gene and `TWO_COLUMNS` for several by default.
    dpi : int
        Of the file, and of the images in a PDF or SVG.
    command : str, optional
        The command that repeats this, for the file's metadata; by default this process's own.
    progress : callable
        Receives the share that is done, 0 to 1. To stop, raise in it; nothing is left then.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    Nh2stError
        If there is nothing to draw, the model does not predict a gene, or matplotlib has no such colormap.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise Nh2stError(f"{path}: a figure's name ends in {', '.join(SUFFIXES)}")
    from matplotlib import style

    with style.context(["default", _STYLE]):
        progress(0)
        drawn = partial(_part_of, progress, _DRAWN)
        figure = draw_figure(prediction, display, slide=slide, width_mm=width_mm, dpi=dpi, progress=drawn)
        with finished_file(path) as draft:
            figure.savefig(draft, dpi=dpi, **_metadata(path, prediction, display, command or repeat_command()))
            progress(_WRITTEN)
    progress(1.0)
    return path


def draw_figure(
    prediction: Prediction,
    display: Display,
    *,
    slide: Slide | None = None,
    width_mm: float | None = None,
    dpi: int = DPI,
    progress: Progress = lambda share: None,
) -> Figure:
    """Draw the figure of `write_figure`: axes in level-0 pixels, those of the panels first, y down."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    done, display = prediction.only_done(), _by_symbol(prediction.card, display)
    box = _shown(done, display)
    several = len(display.genes) > 1
    width = width_mm or (TWO_COLUMNS if several else ONE_COLUMN)
    _check_size(width, dpi)
    unit = textwrap.wrap(prediction.card.unit, max(12, int(_panel(width, len(display.genes)) / MM_PER_LETTER)))
    layout = _lay_out(len(display.genes), width, box, len(unit))
    figure = Figure(figsize=(layout.width * MM, layout.height * MM), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    tissue = None if slide is None else part(slide, box, round(max(layout.image) * MM * dpi))
    made: list[tuple[AxesImage, Limits, npt.NDArray[np.float32]]] = []
    for gene, corner in zip(display.genes, layout.corners, strict=True):
        progress(len(made) / len(display.genes))
        made.append(_draw_panel(figure, layout, corner, done, display, gene, box, tissue))
    for index, ((left, top), (image, limits, values)) in enumerate(zip(layout.corners, made, strict=True)):
        letter = "abcdefghijklmnopqrstuvwxyz"[index % 26] if several else ""
        _draw_title(image.axes, letter, display.genes[index], f"predicted ({prediction.card.name})", layout.image[0])
        paint_warning(image.axes, means_nothing(done), layout.image[0])
        bar = _axes(figure, layout, left, top + layout.image[1] + TO_BAR, layout.image[0], BAR)
        _draw_colour_bar(bar, image, display.opacity, limits, values, unit)
    progress(1.0)
    return figure


def _part_of(progress: Progress, share: float, done: float) -> None:
    """Tell of a piece of work how far the whole is, of which it is a share."""
    progress(share * done)


def paint_map(
    axes: Axes,
    values: npt.NDArray[Any],
    extent: tuple[float, float, float, float],
    colormap: str,
    limits: tuple[float, float],
    *,
    opacity: float = 1.0,
) -> AxesImage:
    """Draw (rows, columns) values, transparent where they are NaN.

    Parameters
    ----------
    extent : (left, right, bottom, top)
        Level-0 pixels, y down.

    Raises
    ------
    Nh2stError
        If matplotlib has no colormap of that name.
    """
    from matplotlib import colormaps

    if colormap not in colormaps:
        raise Nh2stError(f"matplotlib has no colormap named {colormap!r}: try viridis, cividis, magma, inferno or gray")
    return axes.imshow(
        values,
        extent=extent,
        cmap=colormap,
        vmin=limits[0],
        vmax=limits[1],
        alpha=opacity,
        interpolation="nearest",
        origin="upper",
    )


def scale_bar_um(width_um: float) -> float:
    """Return a length of 1, 2 or 5 times a power of ten, nearest to a fifth of a width."""
    wanted = width_um / 5
    power = 10.0 ** math.floor(math.log10(wanted))
    return min((m * power for m in (1, 2, 5, 10)), key=lambda length: abs(math.log(length / wanted)))


def length_words(um: float) -> str:
    """Write a length: 200 µm, 2 mm."""
    return f"{um / 1000:g} mm" if um >= 1000 else f"{um:g} µm"


def paint_scale_bar(axes: Axes, mpp: float, size: float = SMALL) -> None:
    """Draw a scale bar of a round length into the lower left corner of axes that are in level-0 pixels, y down."""
    from matplotlib.patches import Rectangle

    (left, right), bottom = axes.get_xlim(), axes.get_ylim()[0]
    um = scale_bar_um((right - left) * mpp)
    length = um / mpp
    pixel = (right - left) / axes.get_window_extent().width  # level-0 pixels in a pixel of the figure
    point = pixel * axes.figure.dpi / 72
    y = bottom - 7 * point
    label = axes.text(0, y - 2.5 * point, length_words(um), ha="center", fontsize=size, zorder=4)
    text = label.get_window_extent()
    wide, high = max(length, text.width * pixel), text.height * pixel
    x = left + 7 * point + wide / 2
    label.set_x(x)
    ground = (x - wide / 2 - 3 * point, y - 4.5 * point - high), wide + 6 * point, high + 7.5 * point
    axes.add_patch(Rectangle(*ground, color="white", alpha=0.8, lw=0, zorder=3))
    axes.plot([x - length / 2, x + length / 2], [y, y], color="black", lw=1.5, solid_capstyle="butt", zorder=4)


def _by_symbol(card: Card, display: Display) -> Display:
    """Return a display that names its genes, and their limits, by the model's symbols."""
    genes = find_genes(card, display.genes)
    limits = {
        symbol: display.limits[name]
        for name, symbol in zip(display.genes, genes, strict=True)
        if name in display.limits
    }
    return display.changed(genes=tuple(genes), limits={**display.limits, **limits})


def _check_size(width: float, dpi: int) -> None:
    if not WIDTHS[0] <= width <= WIDTHS[1]:
        raise Nh2stError(f"a figure is {WIDTHS[0]:g} to {WIDTHS[1]:g} mm wide, not {width:g}")
    if not DPIS[0] <= dpi <= DPIS[1]:
        raise Nh2stError(f"a figure has {DPIS[0]} to {DPIS[1]} dots per inch, not {dpi}")


def _shown(done: Prediction, display: Display) -> Box:
    """Return the part that the figure shows, level-0 pixels: the region, or all predictions and half a tile around."""
    if not len(done):
        raise Nh2stError("nothing is predicted yet: there is nothing to draw")
    if done.places.grid is None:
        raise Nh2stError("this prediction was made at given spots, not on a lattice: no heatmap")
    height, width = done.slide["shape"]
    cell, centres = done.places.pitch * done.places.scale, done.places.centres
    low, high = centres.min(axis=0) - cell, centres.max(axis=0) + cell
    box = (display.box or Box(*low, *high)).intersect(Box(0, 0, width, height))
    if not box.area or not _touches(centres, cell, box).any():
        raise Nh2stError("nothing is predicted in this region: give another one, or leave it out for all")
    return box


def _touches(centres: npt.NDArray[np.float64], cell: float, box: Box) -> npt.NDArray[np.bool_]:
    """Return a mask of the cells around these centres that reach into a box."""
    half = cell / 2
    return Box(box.x0 - half, box.y0 - half, box.x1 + half, box.y1 + half).contains(centres)


def _panel(width: float, count: int) -> float:
    """Width of a panel, mm."""
    across = min(count, 2 if count == 4 else ACROSS)
    return (width - 2 * EDGE - (across - 1) * GAP) / across


def _lay_out(count: int, width: float, box: Box, lines: int) -> _Layout:
    across = min(count, 2 if count == 4 else ACROSS)
    rows = math.ceil(count / across)
    panel = _panel(width, count)
    image_width = min(panel, TALLEST / rows * box.width / box.height)
    image = image_width, image_width * box.height / box.width
    below = TO_BAR + BAR + TICKS + lines * LINE
    step = HEAD + image[1] + below + GAP
    corners = [
        (EDGE + (i % across) * (panel + GAP) + (panel - image_width) / 2, EDGE + HEAD + (i // across) * step)
        for i in range(count)
    ]
    return _Layout(width, 2 * EDGE + rows * step - GAP, image, corners)


def _axes(figure: Figure, layout: _Layout, left: float, top: float, width: float, height: float) -> Axes:
    """Make axes of this place and size, mm from the figure's top left corner."""
    whole = layout.width, layout.height, layout.width, layout.height
    place = left, layout.height - top - height, width, height
    return figure.add_axes(tuple(a / b for a, b in zip(place, whole, strict=True)))  # type: ignore[arg-type]


def _draw_panel(
    figure: Figure,
    layout: _Layout,
    corner: tuple[float, float],
    done: Prediction,
    display: Display,
    gene: str,
    box: Box,
    tissue: tuple[RGB, Box] | None,
) -> tuple[AxesImage, Limits, npt.NDArray[np.float32]]:
    """Draw tissue, heatmap and scale bar of one gene."""
    axes = _axes(figure, layout, *corner, *layout.image)
    axes.set_facecolor(_TISSUE_GROUND)
    if tissue is not None:
        picture, its = tissue
        axes.imshow(picture, extent=(its.x0, its.x1, its.y1, its.y0), interpolation="antialiased", origin="upper")
    predicted = done.gene(gene)
    set_by_hand = display.limits_for(gene)
    limits = limits_of(predicted, display.percentiles) if set_by_hand is None else Limits(*set_by_hand)
    values, extent = _cropped(done, gene, box, 1 if display.smooth else 0)
    values = smoothed(values) if display.smooth else values
    image = paint_map(axes, values, extent, display.colormap, (limits.low, limits.high), opacity=display.opacity)
    axes.set(xlim=(box.x0, box.x1), ylim=(box.y1, box.y0), xticks=[], yticks=[], aspect="auto")
    axes.spines[:].set_visible(False)
    paint_scale_bar(axes, slide_mpp(done))
    return image, limits, predicted


def _cropped(
    done: Prediction, gene: str, box: Box, around: int
) -> tuple[npt.NDArray[np.float32], tuple[float, float, float, float]]:
    """Return the visible part of a gene's map, and its box: a fine map has millions of cells.

    `around` is how many cells outside the box belong to it.
    """
    cell = done.places.pitch * done.places.scale
    keep = _touches(done.places.centres, cell * (1 + 2 * around), box)
    seen = Prediction(done.places.select(keep), done.hidden[keep], done.decoder, done.card, done.slide)
    heat = seen.heatmap(gene)
    rows, columns = heat.values.shape
    left, top = heat.origin[0] - cell / 2, heat.origin[1] - cell / 2
    return heat.values, (left, left + columns * cell, top + rows * cell, top)


def _draw_title(axes: Axes, letter: str, gene: str, note: str, width: float) -> None:
    """Write the panel's letter, the gene in italics as its symbol is printed, and that it is a prediction."""

    def write(text: str, x: float, size: float, **look: Any) -> float:
        """Write on the line above the image, `x` mm from its left; return where the text ends."""
        at = x * MM * 72, 1.2 * MM * 72
        made = axes.annotate(
            figure_text(text), (0, 1), at, xycoords="axes fraction", textcoords="offset points", fontsize=size, **look
        )
        return float(x + made.get_window_extent().width / axes.figure.dpi / MM)

    start = max(3.4, write(letter, 0, LARGE, fontweight="bold") + 1) if letter else 0.0
    start = write(gene, start, TEXT, style="italic") + 1
    room = max(9, int((width - start) / MM_PER_LETTER))
    write(textwrap.shorten(note, room, placeholder="…"), start, SMALL, color="#404040")


def paint_warning(axes: Axes, sentences: list[str], width: float) -> None:
    """Write into the picture, where nobody can crop it off, that the map means nothing."""
    for sentence in sentences:
        lines = textwrap.wrap(sentence, max(16, int(width / MM_PER_LETTER) - 2))
        ground = {"facecolor": "white", "edgecolor": "#b00020", "linewidth": 0.6, "boxstyle": "square,pad=0.4"}
        axes.text(
            0.5, 0.97, figure_text("\n".join(lines)), transform=axes.transAxes, ha="center", va="top",
            fontsize=SMALL, color="#b00020", zorder=5, bbox=ground,
        )  # fmt: skip


def _draw_colour_bar(
    axes: Axes, image: AxesImage, opacity: float, limits: Limits, values: npt.NDArray[np.float32], unit: list[str]
) -> None:
    """Draw the bar, with points at its ends if values lie beyond the limits."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.ticker import MaxNLocator

    # As transparent as the map, on white; mixed here, because transparent pieces that touch show seams.
    mixed = ListedColormap(image.cmap(np.linspace(0, 1, 256))[:, :3] * opacity + 1 - opacity)
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    bar = image.axes.figure.colorbar(
        ScalarMappable(Normalize(limits.low, limits.high), mixed),
        cax=axes,
        orientation="horizontal",
        extend=extend[bool((values < limits.low).any()), bool((values > limits.high).any())],
        extendfrac=0.03,
        ticks=MaxNLocator(5),
    )
    bar.ax.tick_params(labelsize=SMALL, width=0.5, length=1.5, pad=1.2)
    bar.outline.set_linewidth(0.5)
    if bar.solids is not None:
        bar.solids.set_rasterized(True)  # a PDF's reader shows seams between its 256 pieces
    says = "\n".join(unit) + (f"\n{limits.note}" if limits.note.startswith("the same") else "")
    bar.ax.set_xlabel(figure_text(says), fontsize=SMALL, labelpad=1.2)


def _metadata(path: Path, prediction: Prediction, display: Display, command: str) -> dict[str, Any]:
    """Return metadata for the file: its content and how to draw it again, in the fields of its format."""
    record: dict[str, Any] = {
        "figure_command": command,
        "display": display.model_dump(mode="json"),
        "prediction": describe(prediction.only_done()),
    }
    title = f"{', '.join(display.genes)}, predicted ({prediction.card.name})"
    text, software = json.dumps(record), record["prediction"]["exported_with"]
    suffix = path.suffix.lower()
    if suffix == ".png":
        return {"metadata": {"Title": title, "Software": software, "Description": text}}
    if suffix == ".pdf":
        return {"metadata": {"Title": title, "Creator": software, "Subject": text, "CreationDate": None}}
    if suffix == ".svg":
        return {"metadata": {"Title": title, "Creator": software, "Description": text, "Date": None}}
    return {"pil_kwargs": {"compression": "tiff_lzw", "tiffinfo": {270: text, 305: software}}}
