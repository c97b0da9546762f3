"""Commands of the *Plugins* menu: typed functions. napari makes their forms and lists them in its command palette."""

# Annotations are objects here, not text: magicgui reads them.

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from magicgui.widgets.bases import CategoricalWidget
from napari.layers import Image
from napari.utils._magicgui import find_viewer_ancestor
from napari.utils.notifications import show_error
from pydantic import ValidationError

from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats import EXPORTERS, export
from napari_nh2st.formats.display import Display
from napari_nh2st.formats.figure import DPI, DPIS, ONE_COLUMN, WIDTHS
from napari_nh2st.viewer.export.choices import FigureChoice, file_words, genes_in
from napari_nh2st.viewer.export.saving import save
from napari_nh2st.viewer.export.writing import write_figure
from napari_nh2st.viewer.kit.phrases import error_words
from napari_nh2st.viewer.layers.fade import own_opacity
from napari_nh2st.viewer.layers.roles import gene_of, map_of
from napari_nh2st.viewer.state.predicted_map import PredictedMap

_FORMATS = "; ".join(f"{exporter.name}: {exporter.description}" for exporter in EXPORTERS.values())
NO_HEATMAP = "Choose an NH2ST heatmap: open a slide, then press Predict in Plugins > NH2ST"


def heatmaps(widget: CategoricalWidget[Image]) -> list[Image]:
    """Return the heatmaps in the widget's own window, the one on top first."""
    viewer = find_viewer_ancestor(widget.native)  # not the window that was used last: there may be several
    layers = [] if viewer is None else reversed(viewer.layers)
    return [layer for layer in layers if map_of(layer) is not None]


Heatmap = Annotated[
    Image,
    {  # by its widget's name: for the type alone, napari would offer all images
        "widget_type": "ComboBox",
        "choices": heatmaps,
        "tooltip": "The heatmap whose prediction is written",
    },
]


def save_figure(
    heatmap: Heatmap,
    genes: Annotated[str, {"tooltip": "One panel a gene, separated by commas; empty: the gene that is shown"}] = "",
    width: Annotated[float, {"min": 1, "max": WIDTHS[1], "step": 1}] = ONE_COLUMN,
    unit: Annotated[Literal["mm", "inches"], {"tooltip": "Unit of the width"}] = "mm",
    dpi: Annotated[int, {"min": DPIS[0], "max": DPIS[1], "tooltip": "Dots per inch"}] = DPI,
    file: Annotated[Path, {"mode": "w", "tooltip": "Ends in .pdf, .png, .svg or .tiff"}] = Path("figure.pdf"),
) -> None:
    """Draw everything that is predicted for print, in the colours of a heatmap."""
    try:
        prediction_map = _map_of(heatmap)
        size = FigureChoice(width=width, unit=unit, dpi=dpi)
        width_mm = size.width_mm
        panels = genes_in(prediction_map.card, _names(genes)) or (gene_of(heatmap),)
        display = _display_of(heatmap, panels)
        file_words(file)
    except (Nh2stError, ValidationError) as error:
        show_error(error_words(error))
        return
    prediction = prediction_map.prediction()
    path = file.expanduser().absolute()
    write = partial(write_figure, prediction, display, path, width_mm=width_mm, dpi=dpi)
    save(prediction_map, path.name, lambda progress, cancelled: write(progress=progress))


def export_prediction(
    heatmap: Heatmap,
    genes: Annotated[str, {"tooltip": "Separated by commas; empty: all genes of the model"}] = "",
    format_name: Annotated[str, {"label": "format", "choices": list(EXPORTERS), "tooltip": _FORMATS}] = "h5ad",
    file: Annotated[Path, {"mode": "w", "tooltip": "It gets the ending of the format"}] = Path("prediction.h5ad"),
) -> None:
    """Export what is predicted, all genes or some."""
    try:
        prediction_map = _map_of(heatmap)
        chosen = genes_in(prediction_map.card, _names(genes))
        file_words(file, folder=EXPORTERS[format_name].folder)
    except Nh2stError as error:
        show_error(error_words(error))
        return
    path = file.expanduser().absolute()
    write = partial(export, prediction_map.prediction(), format_name, path, chosen or None)
    save(prediction_map, path.name, lambda progress, cancelled: write(progress))


def _map_of(heatmap: object) -> PredictedMap:
    prediction_map = map_of(heatmap)
    if prediction_map is None:
        raise Nh2stError(NO_HEATMAP)
    return prediction_map


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _display_of(heatmap: Image, genes: tuple[str, ...]) -> Display:
    """Return how a heatmap is shown; genes that are not shown have limits of their own."""
    low, high = (float(end) for end in heatmap.contrast_limits)
    colormap, opacity = str(heatmap.colormap.name), own_opacity(heatmap)
    return Display(genes=genes, colormap=colormap, limits={gene_of(heatmap): (low, high)}, opacity=opacity)
