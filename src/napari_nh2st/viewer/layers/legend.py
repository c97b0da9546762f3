"""A legend on the canvas, so that a picture of it says what it shows: lines of text, each in a colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nh2st.viewer.layers.heatmap import CORNER

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

LEGEND = "napari_nh2st_legend"  # in a layer's metadata: its lines, each with "#rrggbb" or None for plain writing
Lines = list[tuple[str, str | None]]

_OVERLAY = "nh2st_legend_{}"
_MOST = 4  # lines
_DARK, _PLAIN = (0.09, 0.09, 0.11, 0.85), "white"  # whatever the theme: the colours are made for a dark ground


def give_legend(viewer: ViewerModel, layer: Layer, lines: Lines) -> None:
    """Give a layer other lines; they are on the canvas while it is the topmost visible one that has any."""
    layer.metadata[LEGEND] = lines[:_MOST]
    show_legend(viewer)


def show_legend(viewer: ViewerModel, event: Any = None) -> None:
    """Write the legend of what is in sight; call it when layers come, go, or are hidden."""
    from napari.components.overlays import TextOverlay

    having = [layer for layer in viewer.layers if layer.visible and LEGEND in layer.metadata]
    lines: Lines = having[-1].metadata[LEGEND] if having else []
    overlays = viewer.canvas.overlays
    for i in range(_MOST):
        key = _OVERLAY.format(i)
        if i < len(lines):
            if key not in overlays:
                overlays[key] = TextOverlay(position=CORNER, box=True, box_color=_DARK, font_size=9)
            overlays[key].text, overlays[key].color = lines[i][0], lines[i][1] or _PLAIN
        if key in overlays:
            overlays[key].visible = i < len(lines)
