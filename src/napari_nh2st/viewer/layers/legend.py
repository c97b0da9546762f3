"""Words on the canvas, so that a picture of it says what it shows: the unit of the colours, and a legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nh2st.viewer.layers.roles import MapRole, role_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel

CORNER = "top_left"  # of the canvas, where napari stacks colour bar and texts; to the right it lays them side by side
UNIT_OVERLAY = "nh2st_unit"
MOST_LINES = 4

_LINE = "nh2st_legend_{}"
_DARK, _PLAIN = (0.09, 0.09, 0.11, 0.85), "white"  # whatever the theme: the colours are made for a dark ground


def show_legend(viewer: ViewerModel, event: Any = None) -> None:
    """Write what is in sight: the label of the topmost layer that has one, and the lines of the topmost with a legend.

    Call it when layers come, go, move, or are shown or hidden.
    """
    roles = list(_in_sight(viewer))
    label = next((role.label for role in roles if role.label), "")
    lines = next((role.legend for role in roles if role.legend), ())
    _write(viewer, UNIT_OVERLAY, label)
    for i in range(MOST_LINES):
        text, colour = lines[i] if i < len(lines) else ("", None)
        _write(viewer, _LINE.format(i), text, color=colour or _PLAIN, box_color=_DARK)


def _in_sight(viewer: ViewerModel) -> Iterator[MapRole]:
    """Yield the roles of what is visible on the lattice of a map, the topmost first."""
    for layer in reversed(viewer.layers):
        role = role_of(layer)
        if isinstance(role, MapRole) and layer.visible:
            yield role


def _write(viewer: ViewerModel, key: str, text: str, **look: Any) -> None:
    """Write a text on the canvas, or take it away where it is empty; an overlay takes long to draw the first time."""
    from napari.components.overlays import TextOverlay

    overlays = viewer.canvas.overlays
    if text and key not in overlays:
        overlays[key] = TextOverlay(position=CORNER, box=True, font_size=9, **look)
    if text:
        overlays[key].text = text
        for name, value in look.items():
            setattr(overlays[key], name, value)
    if key in overlays:
        overlays[key].visible = bool(text)
