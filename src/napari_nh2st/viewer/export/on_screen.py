"""What the window shows, as display settings, as a command and as Python; and back. No Qt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.display import Display, Subject, same_slide
from napari_nh2st.geometry import Box
from napari_nh2st.viewer.export import repeat
from napari_nh2st.viewer.layers.heatmap import COLORMAPS
from napari_nh2st.viewer.predict.region import show_box, visible_box
from napari_nh2st.viewer.state.style import PERCENTILES

if TYPE_CHECKING:
    from napari.layers import Layer

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
    layer, shown = _shown(workspace)
    box = _visible(workspace)
    return Display(
        genes=(workspace.heatmap.gene,),
        colormap=str(layer.colormap.name),
        percentiles=_pair(workspace.state.style.percentiles),
        limits={workspace.heatmap.gene: _pair(layer.contrast_limits)},
        locked=bool(workspace.state.style.locked),
        opacity=float(layer.opacity),
        smooth=bool(workspace.state.style.smooth and workspace.heatmap.can_smooth),
        region=None if box is None else (box.x0, box.y0, box.width, box.height),
        of=Subject(
            slide=shown.slide.get("path"),
            fingerprint=shown.slide.get("fingerprint"),
            mpp=shown.slide.get("mpp"),
            model=str(
                workspace.state.model_name
                if workspace.state.model_name and workspace.state.card == shown.card
                else shown.card.name
            ),
            model_hash=shown.provenance.get("model_hash"),
            pitch=shown.pitch,
        ),
    )


def show_display(workspace: Workspace, display: Display) -> str:
    """Show the gene, the colours and the part of the slide that a display names; return what to know of it.

    Of another slide it takes the gene and the colours. Nothing is opened, and nothing is predicted.
    """
    notes, style = [], workspace.state.style
    if display.percentiles in PERCENTILES.values() and display.percentiles != style.percentiles:
        workspace.maps.forget_limits()
        style.percentiles = display.percentiles
    if display.colormap in COLORMAPS:
        style.colormap = display.colormap
    else:
        notes.append(f"There are no colours named {display.colormap} here.")
    style.smooth = display.smooth
    style.locked = False  # else the limits of now would stay
    gene = display.genes[0]
    workspace.state.request_gene(gene)
    if workspace.heatmap is None or not workspace.heatmap.present:
        notes.append("Its limits are not taken over while nothing is predicted: load it again then.")
    elif workspace.heatmap.gene != gene:
        notes.append(f"{workspace.heatmap.map.card.name} does not predict {gene}.")
    else:
        layer = workspace.heatmap.layer
        layer.opacity = display.opacity
        limits = display.limits_for(gene)
        if limits is not None:
            layer.contrast_limits = limits
    style.locked = display.locked
    fingerprint = (
        workspace.map.slide.get("fingerprint") if workspace.map else getattr(workspace.slide, "fingerprint", None)
    )
    if not same_slide(display, fingerprint):
        made = Path(display.of.slide).name if display.of and display.of.slide else "another slide"
        notes.append(f"It was made on {made}: the part of the slide that it shows was left out.")
    elif display.box is not None:
        _show(workspace, display.box)
    return " ".join(notes)


def command_text(workspace: Workspace) -> str:
    """Return the command that predicts what is chosen, and one that draws what is shown, a line each.

    Raises
    ------
    Nh2stError
        If nothing could be predicted and nothing was opened from a file.
    """
    opened = _opened_from(workspace)
    if opened is None:
        first = workspace.requests.chosen().command
        folder = "" if workspace.map is None else repeat.store_path(workspace.map.slide)
    else:
        first, folder = str(workspace.map.provenance.get("command", "")), opened
    try:
        display = display_of_window(workspace)
    except Nh2stError:
        return first
    return "\n".join(line for line in (first, repeat.figure_line(folder, display)) if line)


def python_text(workspace: Workspace) -> str:
    """Return a script that gives the numbers of what is chosen, or of what was opened from a file.

    Raises
    ------
    Nh2stError
        As `command_text`.
    """
    opened = _opened_from(workspace)
    gene, card = workspace.state.gene, workspace.state.card if workspace.map is None else workspace.map.card
    wanted = (gene, card.unit) if card is not None and gene in card.genes else None
    if opened is not None:
        return repeat.python_of_file(opened, wanted)
    return repeat.python_lines(workspace.requests.chosen(), wanted)


def _shown(workspace: Workspace) -> tuple[Layer, PredictedMap]:
    if workspace.heatmap is None or not workspace.heatmap.present or not workspace.heatmap.gene:
        raise Nh2stError(NOT_SHOWN)
    return workspace.heatmap.layer, workspace.heatmap.map


def _opened_from(workspace: Workspace) -> str | None:
    """Return the prediction folder that the heatmap was opened from, None where it was predicted here."""
    layer = None if workspace.heatmap is None else workspace.heatmap.layer
    path = None if layer is None else layer.source.path
    return str(path) if path is not None and Path(path).suffix == ".nh2st" else None


def _pair(values: Any) -> tuple[float, float]:
    low, high = (float(v) for v in values)
    return low, high


def _visible(workspace: Workspace) -> Box | None:
    """Return the part of the slide that the window shows, level-0 pixels; None where there is no one answer."""
    try:
        if workspace.map_slide_layer is not None:
            return visible_box(workspace.viewer, workspace.map_slide_layer)
        box = visible_box(workspace.viewer, workspace.heatmap.layer)  # in its own pixels
    except Nh2stError:
        return None
    return _scaled(box, _step(workspace), *_corner(workspace.map))


def _show(workspace: Workspace, box: Box) -> None:
    if workspace.map_slide_layer is not None or workspace.state.slide_layer is not None:
        show_box(workspace.viewer, workspace.map_slide_layer or workspace.state.slide_layer, box)
    elif workspace.map is not None and workspace.heatmap.present:
        step, (x, y) = _step(workspace), _corner(workspace.map)
        show_box(workspace.viewer, workspace.heatmap.layer, _scaled(box, 1 / step, -x / step, -y / step))


def _step(workspace: Workspace) -> float:
    """Side of a pixel of the heatmap's layer, level-0 pixels; smoothed, a cell has several."""
    return workspace.map.cell * workspace.map.rows / workspace.heatmap.layer.data.shape[0]


def _corner(shown: PredictedMap) -> tuple[float, float]:
    """Top left corner (x, y) of the map's first cell, level-0 pixels."""
    return shown.origin[0] - shown.cell / 2, shown.origin[1] - shown.cell / 2


def _scaled(box: Box, factor: float, x: float, y: float) -> Box:
    return Box(box.x0 * factor + x, box.y0 * factor + y, box.x1 * factor + x, box.y1 * factor + y)
