"""Words on the canvas, so that a picture of it says what it shows: beside each colour bar, and a legend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from psygnal import EmitLoopError

from napari_nh2st.viewer.kit.colours import ink_on
from napari_nh2st.viewer.layers.colour_bar import CORNERS, FONT_SIZE, broken, has_bar, place_bar, span_words
from napari_nh2st.viewer.layers.roles import Kind, Line, Role, kind_of, role_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

UNIT_OVERLAY = "nh2st_unit"  # of the topmost map in sight
MOST_LINES = 12

_UNITS = (UNIT_OVERLAY, "nh2st_unit_below", "nh2st_unit_third")
_LINE = "nh2st_legend_{}"
_NAMED: WeakSet[Layer] = WeakSet()  # layers whose names we wrote on the canvas

InSight = Sequence[tuple["Layer", Role]]


def show_legend(viewer: ViewerModel, event: Any = None) -> None:
    """Write beside each colour bar what it shows, and the legends of layers in their corners.

    Call it when layers come, go, move, are shown or hidden, or get other limits, and when the canvas or its grid
    changes.
    """
    try:
        _show(viewer)
    except EmitLoopError:
        if not viewer.canvas.grid.enabled:
            raise
        # while a layer goes, napari's grid already has fewer cells and its texts still are those of before
        _show_soon(viewer)


def _show_soon(viewer: ViewerModel) -> None:
    """Show the legend when napari is done with the layers; never mind if the window is closed by then."""
    from napari_nh2st.viewer.kit.pacing import soon

    def again() -> None:
        with suppress(EmitLoopError, RuntimeError):
            _show(viewer)

    soon(again)


def _show(viewer: ViewerModel) -> None:
    in_sight = list(_in_sight(viewer))
    grid = bool(viewer.canvas.grid.enabled)
    corners = [CORNERS[0]] * len(in_sight) if grid else _corners(in_sight)
    if "bottom_left" in corners:
        viewer.canvas.overlay_tiling.bottom_left = "vertical"  # napari lays out side by side there
    shared = grid and any(has_bar(layer) for layer, _ in in_sight)  # one bar may stand for all cells
    labels = [_label(layer, role, spanned=has_bar(layer) or shared) for layer, role in in_sight]
    sharing = min(2, len(set(corners)))
    for (layer, _), corner, label in zip(in_sight, corners, labels, strict=True):
        lines = (label, *(text for text, _ in _lines_of(corner, in_sight, corners)))
        words = "\n".join(broken(viewer, text) for text in lines if text)
        place_bar(viewer, layer, corner, words=words, sharing=sharing)
    of_corner = {corner: label for corner, label in zip(reversed(corners), reversed(labels), strict=True) if label}
    texts = {CORNERS[0]: _common(labels)} if grid else of_corner
    for corner, key in zip(CORNERS, _UNITS, strict=True):
        _write(viewer, key, texts.get(corner, ""), corner, gridded=grid)
    named = any(layer.visible and kind_of(layer) is Kind.COPY for layer in viewer.layers)  # each cell has its own
    _name_cells(viewer, [layer for layer, _ in in_sight] if grid and len(set(labels)) > 1 and not named else [])
    _write_lines(viewer, in_sight, corners)


def _in_sight(viewer: ViewerModel) -> Iterator[tuple[Layer, Role]]:
    """Yield what is visible and has something to say, the topmost first."""
    for layer in reversed(viewer.layers):
        role = role_of(layer)
        if role is not None and layer.visible and (role.label or role.legend or has_bar(layer)):
            yield layer, role


def _is_note(layer: Layer, role: Role) -> bool:
    """Tell whether a layer only adds a word to the map below it, whose colours it has."""
    return not (role.label or has_bar(layer) or any(colour for _, colour in role.legend))


def _corners(in_sight: InSight) -> list[str]:
    """Return each layer's corner: maps have one each, as far as there are, and a note stands in that of its map."""
    corners, place = [], 0
    for layer, role in in_sight:
        corners.append(CORNERS[min(place, len(CORNERS) - 1)])
        if not _is_note(layer, role):
            place += 1
    return corners


def _lines_of(corner: str, in_sight: InSight, corners: Sequence[str]) -> tuple[Line, ...]:
    """Return the lines of a corner: its notes, then those of the topmost legend of the layers that have it."""
    here = [(layer, role) for (layer, role), own in zip(in_sight, corners, strict=True) if own == corner]
    notes = (line for layer, role in here if _is_note(layer, role) for line in role.legend)
    legends = (role.legend for layer, role in here if role.legend and not _is_note(layer, role))
    return (*notes, *next(legends, ()))


def _label(layer: Layer, role: Role, *, spanned: bool) -> str:
    """Say what a layer shows, and what its colours span: napari writes one number or two on a bar, where they fit."""
    if not (role.label and spanned and hasattr(layer, "contrast_limits")):
        return role.label
    return f"{role.label}\n{span_words(*layer.contrast_limits)}"


def _common(labels: Sequence[str]) -> str:
    """Return the lines that all labels have: what is written in each cell of a grid must be true of each."""
    split = [label.split("\n") for label in labels if label]
    return "\n".join(line for line in (split[0] if split else []) if all(line in other for other in split))


def _name_cells(viewer: ViewerModel, layers: Sequence[Layer]) -> None:
    """Write the names of these layers in their cells of a grid, and take away those that we wrote before."""
    for layer in list(_NAMED):
        if layer not in layers and layer in viewer.layers:  # another window has a grid of its own
            layer.name_overlay.visible = False
            _NAMED.discard(layer)
    for layer in layers:
        if not layer.name_overlay.visible:
            layer.name_overlay.position, layer.name_overlay.font_size = CORNERS[0], FONT_SIZE
            layer.name_overlay.visible = True
            _NAMED.add(layer)


def _write_lines(viewer: ViewerModel, in_sight: InSight, corners: Sequence[str]) -> None:
    """Write into each corner its lines, from the top down."""
    for place, corner in enumerate(CORNERS):
        lines = _lines_of(corner, in_sight, corners)
        if corner.startswith("bottom"):
            lines = lines[::-1]  # napari lays out from the edge inwards
        for i in range(MOST_LINES):
            text, colour = lines[i] if i < len(lines) else ("", None)
            key = _LINE.format(place * MOST_LINES + i)
            # on a ground of the very colour that it explains: a lighter shade of red is brown
            ink = None if colour is None else ink_on(colour)  # None is as napari writes in its theme
            _write(viewer, key, text, corner, color=ink, box_color=colour)


def _write(viewer: ViewerModel, key: str, text: str, corner: str, **look: Any) -> None:
    """Write a text on the canvas, or take it away where it is empty; an overlay takes long to draw the first time."""
    from napari.components.overlays import TextOverlay

    overlays = viewer.canvas.overlays
    if text and key not in overlays:
        overlays[key] = TextOverlay(position=corner, box=True, font_size=FONT_SIZE, **look)
    if text:
        wanted = {**look, "position": corner, "text": broken(viewer, text)}
        lines = overlays[key].text.count("\n")
        for name, value in wanted.items():
            setattr(overlays[key], name, value)
        if (
            overlays[key].text.count("\n") != lines
        ):  # napari moves what stands below when a text moves, not when it grows
            overlays[key].events.position.emit(overlays[key].position)
    if key in overlays:
        overlays[key].visible = bool(text)
