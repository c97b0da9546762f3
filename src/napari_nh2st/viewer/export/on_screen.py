"""What the window shows, as display settings, as a command and as Python; and back. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nh2st.errors import Nh2stError
from napari_nh2st.formats.display import Display, Subject, same_slide
from napari_nh2st.geometry import Box
from napari_nh2st.viewer.export import repeat
from napari_nh2st.viewer.predict.events import Request
from napari_nh2st.viewer.predict.region import show_box, visible_box

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_nh2st.viewer.predict.desk import Desk
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

Ask = Callable[[], Request]
NOT_SHOWN = "No heatmap is shown: predict first, or choose a gene to bring it back."


def display_of_window(desk: Desk) -> Display:
    """Return how the heatmap in the window is shown, with what the user changed on its layer by hand.

    Raises
    ------
    Nh2stError
        If no heatmap is shown.
    """
    layer, shown = _shown(desk)
    box = _visible(desk)
    return Display(
        genes=(desk.heatmap.gene,),
        colormap=str(layer.colormap.name),
        percentiles=_pair(desk.style.percentiles),
        limits={desk.heatmap.gene: _pair(layer.contrast_limits)},
        locked=bool(desk.style.locked),
        opacity=float(layer.opacity),
        smooth=bool(desk.style.smooth and desk.heatmap.can_smooth),
        region=None if box is None else (box.x0, box.y0, box.width, box.height),
        of=Subject(
            slide=shown.slide.get("path"),
            fingerprint=shown.slide.get("fingerprint"),
            mpp=shown.slide.get("mpp"),
            model=str(desk.model if desk.model and desk.card == shown.card else shown.card.name),
            model_hash=shown.provenance.get("model_hash"),
            pitch=shown.pitch,
        ),
    )


def show_display(desk: Desk, genes: Any, display: Display) -> str:
    """Show the gene, the colours and the part of the slide that a display names; return what to know of it.

    Of another slide it takes the gene and the colours. Nothing is opened, and nothing is predicted.
    """
    notes = []
    _choose(genes.limits, display.percentiles)
    if not _choose(genes.colours, display.colormap):
        notes.append(f"There are no colours named {display.colormap} here.")
    genes.smooth.setChecked(display.smooth)
    genes.lock.setChecked(False)  # else the limits of now would stay
    gene = display.genes[0]
    desk.choose_gene(gene)
    if desk.heatmap is None or not desk.heatmap.present:
        notes.append("Its limits are not taken over while nothing is predicted: load it again then.")
    elif desk.heatmap.gene != gene:
        notes.append(f"{desk.heatmap.map.card.name} does not predict {gene}.")
    else:
        layer = desk.heatmap.layer
        layer.opacity = display.opacity
        limits = display.limits_for(gene)
        if limits is not None:
            layer.contrast_limits = limits
    genes.lock.setChecked(display.locked)
    fingerprint = desk.map.slide.get("fingerprint") if desk.map else getattr(desk.slide, "fingerprint", None)
    if not same_slide(display, fingerprint):
        made = Path(display.of.slide).name if display.of and display.of.slide else "another slide"
        notes.append(f"It was made on {made}: the part of the slide that it shows was left out.")
    elif display.box is not None:
        _show(desk, display.box)
    return " ".join(notes)


def command_text(desk: Desk, ask: Ask) -> str:
    """Return the command that predicts what is chosen, and one that draws what is shown, a line each.

    Raises
    ------
    Nh2stError
        If nothing could be predicted and nothing was opened from a file.
    """
    opened = _opened_from(desk)
    if opened is None:
        first = ask().command
        folder = "" if desk.map is None else repeat.store_path(desk.map.slide)
    else:
        first, folder = str(desk.map.provenance.get("command", "")), opened
    try:
        display = display_of_window(desk)
    except Nh2stError:
        return first
    return "\n".join(line for line in (first, repeat.figure_line(folder, display)) if line)


def python_text(desk: Desk, ask: Ask) -> str:
    """Return a script that gives the numbers of what is chosen, or of what was opened from a file.

    Raises
    ------
    Nh2stError
        As `command_text`.
    """
    opened = _opened_from(desk)
    gene, card = desk.gene, desk.card if desk.map is None else desk.map.card
    wanted = (gene, card.unit) if card is not None and gene in card.genes else None
    if opened is not None:
        return repeat.python_of_file(opened, wanted)
    return repeat.python_lines(ask(), wanted)


def _shown(desk: Desk) -> tuple[Layer, PredictedMap]:
    if desk.heatmap is None or not desk.heatmap.present or not desk.heatmap.gene:
        raise Nh2stError(NOT_SHOWN)
    return desk.heatmap.layer, desk.heatmap.map


def _opened_from(desk: Desk) -> str | None:
    """Return the prediction folder that the heatmap was opened from, None where it was predicted here."""
    layer = None if desk.heatmap is None else desk.heatmap.layer
    path = None if layer is None else layer.source.path
    return str(path) if path is not None and Path(path).suffix == ".nh2st" else None


def _pair(values: Any) -> tuple[float, float]:
    low, high = (float(v) for v in values)
    return low, high


def _choose(combo: Any, value: Any) -> bool:
    """Choose the entry of a combo box that holds a value, if there is one."""
    index = next((i for i in range(combo.count()) if combo.itemData(i) == value), None)
    if index is not None:
        combo.setCurrentIndex(index)
    return index is not None


def _visible(desk: Desk) -> Box | None:
    """Return the part of the slide that the window shows, level-0 pixels; None where there is no one answer."""
    try:
        if desk.map_slide_layer is not None:
            return visible_box(desk.viewer, desk.map_slide_layer)
        box = visible_box(desk.viewer, desk.heatmap.layer)  # in its own pixels
    except Nh2stError:
        return None
    return _scaled(box, _step(desk), *_corner(desk.map))


def _show(desk: Desk, box: Box) -> None:
    if desk.map_slide_layer is not None or desk.slide_layer is not None:
        show_box(desk.viewer, desk.map_slide_layer or desk.slide_layer, box)
    elif desk.map is not None and desk.heatmap.present:
        step, (x, y) = _step(desk), _corner(desk.map)
        show_box(desk.viewer, desk.heatmap.layer, _scaled(box, 1 / step, -x / step, -y / step))


def _step(desk: Desk) -> float:
    """Side of a pixel of the heatmap's layer, level-0 pixels; smoothed, a cell has several."""
    return desk.map.cell * desk.map.rows / desk.heatmap.layer.data.shape[0]


def _corner(shown: PredictedMap) -> tuple[float, float]:
    """Top left corner (x, y) of the map's first cell, level-0 pixels."""
    return shown.origin[0] - shown.cell / 2, shown.origin[1] - shown.cell / 2


def _scaled(box: Box, factor: float, x: float, y: float) -> Box:
    return Box(box.x0 * factor + x, box.y0 * factor + y, box.x1 * factor + x, box.y1 * factor + y)
