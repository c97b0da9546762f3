"""The picture in the window, as display settings, as a command and as Python; and back. No Qt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.display import Display, Subject, same_slide
from napari_nh2st.geometry import Box
from napari_nh2st.viewer.export import repeat
from napari_nh2st.viewer.layers.fade import own_opacity
from napari_nh2st.viewer.layers.heatmap import COLORMAPS
from napari_nh2st.viewer.predict.region import show_box, visible_box
from napari_nh2st.viewer.state.style import PERCENTILES

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_nh2st.viewer.layers.heatmap import HeatmapLayer
    from napari_nh2st.viewer.predict.workspace import Workspace
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

NOT_SHOWN = "No heatmap is shown: predict first, or choose a gene to bring it back."


def display_of_window(workspace: Workspace) -> Display:
    """Return how the heatmap in the window is shown, with what the user changed on its layer by hand.

    Raises
    ------
    Nh2stError
        If no heatmap is shown.
    """
    heatmap, layer = _shown(workspace)
    prediction_map, style = heatmap.map, workspace.state.style
    box = _visible(workspace, heatmap)
    return Display(
        genes=(heatmap.gene,),
        colormap=str(layer.colormap.name),
        percentiles=style.percentiles,
        limits={heatmap.gene: (float(layer.contrast_limits[0]), float(layer.contrast_limits[1]))},
        locked=style.locked,
        opacity=own_opacity(layer),
        smooth=style.smooth and heatmap.can_smooth,
        region=None if box is None else (box.x0, box.y0, box.width, box.height),
        of=subject_of(prediction_map, model_of(workspace, prediction_map)),
    )


def subject_of(prediction_map: PredictedMap, model: str) -> Subject:
    """Return the slide and the model that a picture of a map shows."""
    slide = prediction_map.slide
    return Subject(
        slide=slide.get("path"),
        fingerprint=slide.get("fingerprint"),
        mpp=slide.get("mpp"),
        model=model,
        model_hash=prediction_map.provenance.get("model_hash"),
        pitch=prediction_map.pitch,
    )


def show_display(workspace: Workspace, display: Display) -> str:
    """Show the gene, the colours and the part of the slide that a display names; return what to know of it.

    Of another slide it takes the gene and the colours. Nothing is opened, and nothing is predicted.
    """
    notes = [_show_colours(workspace, display)]
    style = workspace.state.style
    style.smooth = display.smooth
    style.locked = False  # else the limits of now would stay
    workspace.state.request_gene(display.genes[0])
    notes.append(_show_gene(workspace, display))
    style.locked = display.locked
    prediction_map, slide = workspace.map, workspace.slide
    fingerprint = prediction_map.slide.get("fingerprint") if prediction_map else slide.fingerprint if slide else None
    if not same_slide(display, fingerprint):
        name = Path(display.of.slide).name if display.of and display.of.slide else "another slide"
        notes.append(f"It was made on {name}: the part of the slide that it shows was left out.")
    elif display.box is not None:
        _show(workspace, display.box)
    return " ".join(note for note in notes if note)


def _show_colours(workspace: Workspace, display: Display) -> str:
    style = workspace.state.style
    if display.percentiles in PERCENTILES.values() and display.percentiles != style.percentiles:
        workspace.maps.forget_limits()
        style.percentiles = display.percentiles
    if display.colormap not in COLORMAPS:
        return f"There are no colours named {display.colormap} here."
    style.colormap = display.colormap
    return ""


def _show_gene(workspace: Workspace, display: Display) -> str:
    """Give the heatmap the limits and the opacity of its gene; return why not where it has none."""
    heatmap, gene = workspace.heatmap, display.genes[0]
    if heatmap is None or heatmap.layer is None or not heatmap.present:
        return "Its limits are not taken over while nothing is predicted: load it again then."
    if heatmap.gene != gene:
        return f"{heatmap.map.card.name} does not predict {gene}."
    workspace.fade.give(heatmap.layer, display.opacity)
    limits = display.limits_for(gene)
    if limits is not None:
        heatmap.layer.contrast_limits = limits
    return ""


def command_text(workspace: Workspace) -> str:
    """Return the command that predicts what is chosen, and one that draws what is shown, a line each.

    Raises
    ------
    Nh2stError
        If nothing could be predicted and nothing was opened from a file.
    """
    prediction_map, opened = workspace.map, _opened_from(workspace)
    if prediction_map is None or opened is None:
        first = workspace.requests.chosen().command
        folder = "" if prediction_map is None else repeat.store_path(prediction_map.slide)
    else:
        first, folder = str(prediction_map.provenance.get("command", "")), opened
        if prediction_map.values_only:
            folder = repeat.store_path(prediction_map.slide)
    try:
        display = display_of_window(workspace)
    except Nh2stError:
        return first
    return "\n".join(line for line in (first, repeat.figure_line(folder, display)) if line)


def python_text(workspace: Workspace) -> str:
    """Return a script that gives the numbers and a picture of what is chosen, or of what was opened from a file.

    Raises
    ------
    Nh2stError
        As `command_text`.
    """
    opened, gene, card = _opened_from(workspace), workspace.state.gene, workspace.state.shown_card
    wanted = (gene, card.unit) if card is not None and gene in card.genes else None
    if opened is not None:
        return repeat.python_of_file(opened, wanted, workspace.state.style.colormap)
    return repeat.python_lines(workspace.requests.chosen(), wanted, workspace.state.style.colormap)


def _shown(workspace: Workspace) -> tuple[HeatmapLayer, Layer]:
    heatmap = workspace.heatmap
    if heatmap is None or heatmap.layer is None or not heatmap.present or not heatmap.gene:
        raise Nh2stError(NOT_SHOWN)
    return heatmap, heatmap.layer


def model_of(workspace: Workspace, prediction_map: PredictedMap) -> str:
    """Return the model as it was chosen, its folder for example; its card's name where it is not the chosen one."""
    chosen = workspace.state.model_name
    return chosen if chosen and workspace.state.card == prediction_map.card else prediction_map.card.name


def _opened_from(workspace: Workspace) -> str | None:
    """Return the file or folder that the heatmap was opened from, None where it was predicted here."""
    path = None if workspace.heatmap is None else workspace.heatmap.map.opened_from
    return None if path is None else str(path)


def _visible(workspace: Workspace, heatmap: HeatmapLayer) -> Box | None:
    """Return the part of the slide that the window shows, level-0 pixels; None where there is no one answer."""
    try:
        if workspace.map_slide_layer is not None:
            return visible_box(workspace.viewer, workspace.map_slide_layer)
        box = visible_box(workspace.viewer, heatmap.layer)  # in its own pixels
    except Nh2stError:
        return None
    return _scaled(box, _step(heatmap), *_corner(heatmap.map))


def _show(workspace: Workspace, box: Box) -> None:
    slide_layer, heatmap = workspace.map_slide_layer or workspace.state.slide_layer, workspace.heatmap
    if slide_layer is not None:
        show_box(workspace.viewer, slide_layer, box)
    elif heatmap is not None and heatmap.present:
        step, (x, y) = _step(heatmap), _corner(heatmap.map)
        show_box(workspace.viewer, heatmap.layer, _scaled(box, 1 / step, -x / step, -y / step))


def _step(heatmap: HeatmapLayer) -> float:
    """Side of a pixel of the heatmap's layer, level-0 pixels; smoothed, a cell has several."""
    assert heatmap.layer is not None
    return float(heatmap.map.cell * heatmap.map.rows / heatmap.layer.data.shape[0])


def _corner(prediction_map: PredictedMap) -> tuple[float, float]:
    """Top left corner (x, y) of the map's first cell, level-0 pixels."""
    return prediction_map.origin[0] - prediction_map.cell / 2, prediction_map.origin[1] - prediction_map.cell / 2


def _scaled(box: Box, factor: float, x: float, y: float) -> Box:
    return Box(box.x0 * factor + x, box.y0 * factor + y, box.x1 * factor + x, box.y1 * factor + y)
