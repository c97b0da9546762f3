"""The order of layers, bottom to top, in one place. The user may move any layer afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.viewer.layers.instead import INSTEAD
from napari_nh2st.viewer.layers.roles import HEATMAPS, Kind, Role, role_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

# From the glass upwards; kinds of one line lie on one another in the order in which they come.
ORDER: tuple[tuple[Kind, ...], ...] = (
    (Kind.SLIDE,),
    HEATMAPS,
    INSTEAD,
    (Kind.NOVELTY, Kind.DOMAINS, Kind.TISSUE),
    (Kind.MEASURED,),
    (Kind.DIFFERENCE, Kind.RINGS),
    (Kind.OUTLINE,),
)
_HEIGHT = {kind: height for height, kinds in enumerate(ORDER) for kind in kinds}


def place(viewer: ViewerModel, layer: Layer) -> None:
    """Add a layer of ours right above what belongs below it on its slide, hence below the user's shapes.

    What the user has selected stays selected.
    """
    role, layers = role_of(layer), viewer.layers
    below = [] if role is None else [other for other in layers if _belongs_below(role_of(other), role)]
    selected = set(layers.selection)
    layers.insert(layers.index(below[-1]) + 1 if below else len(layers), layer)
    layers.selection = selected & set(layers) or {layer}


def _belongs_below(other: Role | None, role: Role) -> bool:
    if other is None or other.fingerprint is None:
        return False
    return other.fingerprint == role.fingerprint and _HEIGHT[other.kind] <= _HEIGHT[role.kind]
