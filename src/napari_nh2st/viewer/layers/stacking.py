"""The order of layers, bottom to top, in one place. The user may move any layer afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.viewer.layers.instead import INSTEAD
from napari_nh2st.viewer.layers.roles import HEATMAPS, Kind, Role, kind_of, role_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

# From the glass upwards; kinds of one line lie on one another in the order in which they come.
ORDER: tuple[tuple[Kind, ...], ...] = (
    (Kind.SLIDE, Kind.COPY),
    HEATMAPS,
    INSTEAD,
    (Kind.NOVELTY, Kind.VAIN, Kind.DOMAINS, Kind.ARTEFACTS, Kind.TISSUE),
    (Kind.MEASURED,),
    (Kind.DIFFERENCE, Kind.NEARER, Kind.RINGS),
    (Kind.LINKS,),
    (Kind.ANCHORS, Kind.NEXT),
    (Kind.SPOT_MARKS, Kind.SLIDE_MARKS),
    (Kind.REGIONS,),
    (Kind.OUTLINE,),
)
_HEIGHT = {kind: height for height, kinds in enumerate(ORDER) for kind in kinds}


def place(viewer: ViewerModel, layer: Layer) -> None:
    """Add a layer right above what belongs below it on its slide, hence below the user's shapes.

    The frame of the inspected tile comes to lie on everything, and a layer without a role right below it. What the user
    has selected stays selected.
    """
    role, layers = role_of(layer), viewer.layers
    selected = set(layers.selection)
    layers.insert(_height(viewer, role), layer)
    layers.selection = selected & set(layers) or {layer}


def gather(viewer: ViewerModel, layer: Layer) -> None:
    """Bring a layer that came from elsewhere, such as a file, to the others of its slide.

    Of a slide that is opened after its maps, these come to lie on it.
    """
    role = role_of(layer)
    if role is None or role.fingerprint is None:
        return
    moved = [layer]
    if role.kind is Kind.SLIDE:
        moved = [other for other in viewer.layers if other != layer and _belongs_below(role, role_of(other))]
    for each in moved:
        _move(viewer, each)


def _move(viewer: ViewerModel, layer: Layer) -> None:
    layers, role = viewer.layers, role_of(layer)
    below = [i for i, other in enumerate(layers) if other != layer and _belongs_below(role_of(other), role)]
    source, aim = layers.index(layer), below[-1] + 1 if below else None
    if aim is not None and aim not in (source, source + 1):
        selected = set(layers.selection)
        layers.move(source, aim)
        layers.selection = selected & set(layers)


def to_top(viewer: ViewerModel, layer: Layer) -> None:
    """Move a layer onto all others."""
    if viewer.layers[-1] != layer:
        viewer.layers.move(viewer.layers.index(layer), len(viewer.layers))


def _height(viewer: ViewerModel, role: Role | None) -> int:
    """Return the index at which a layer with this role is put in."""
    layers = viewer.layers
    if role is not None and role.kind is Kind.OUTLINE:
        return len(layers)
    below = [i for i, other in enumerate(layers) if _belongs_below(role_of(other), role)]
    top = len(layers)
    while top and kind_of(layers[top - 1]) is Kind.OUTLINE:
        top -= 1
    return below[-1] + 1 if below else top


def _belongs_below(other: Role | None, role: Role | None) -> bool:
    if other is None or role is None or other.fingerprint is None:
        return False
    return other.fingerprint == role.fingerprint and _HEIGHT[other.kind] <= _HEIGHT[role.kind]
