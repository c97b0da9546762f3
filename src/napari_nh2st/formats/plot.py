"""One gene on axes of matplotlib, for a notebook: the map, its tissue, a scale bar and a colour bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.figure import MM, paint_map, paint_scale_bar, paint_warning
from napari_nh2st.formats.limits import limits_of
from napari_nh2st.formats.picture import part
from napari_nh2st.formats.table import means_nothing, slide_mpp
from napari_nh2st.geometry import Box
from napari_nh2st.markup import figure_text
from napari_nh2st.model.find_genes import find_genes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from napari_nh2st.slides import Slide

_SIDE = 1200  # pixels of the tissue
_OPACITY = 0.7  # over tissue


def plot_map(
    prediction: Prediction,
    gene: str,
    slide: Slide | None = None,
    ax: Axes | None = None,
    *,
    colormap: str = "viridis",
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draw a gene as `Prediction.plot` says."""
    (symbol,) = find_genes(prediction.card, gene)
    done = prediction.only_done()
    if not len(done) or done.places.grid is None:
        raise Nh2stError("there is nothing to draw: a map needs predicted tiles on the lattice")
    if slide is not None and done.slide.get("fingerprint") not in (None, slide.fingerprint):
        raise Nh2stError(f"{slide.path.name} is not the slide of this prediction ({done.slide.get('path')})")
    heat = done.heatmap(symbol)
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.subplots(layout="constrained")[1]
    left, right, bottom, top = heat.extent
    if slide is not None:
        picture, box = part(slide, Box(left, top, right, bottom), _SIDE)
        ax.imshow(picture, extent=(box.x0, box.x1, box.y1, box.y0), origin="upper")
    found = limits_of(heat.values)
    low, high = limits or (found.low, found.high)
    image = paint_map(ax, heat.values, heat.extent, colormap, (low, high), opacity=1 if slide is None else _OPACITY)
    ax.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="equal")
    bar = ax.figure.colorbar(image, ax=ax, label=figure_text(done.card.unit), shrink=0.8)
    if bar.solids is not None:
        bar.solids.set_alpha(1)
    ax.set_title(figure_text(f"{symbol}, predicted ({done.card.name})"), fontsize="medium")
    ax.apply_aspect()
    paint_scale_bar(ax, slide_mpp(done), size=8)
    paint_warning(ax, means_nothing(done), ax.get_window_extent().width / ax.figure.dpi / MM)
    return ax
