"""Regions that were taken away, step by step, so that they can be brought back. No Qt."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nh2st.viewer.layers.stacking import place
from napari_nh2st.viewer.regions.drawn import paint, pick_rows

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Shapes

_STEPS = 50
_LOOK = ("shape_type", "edge_width", "edge_color", "face_color")


@dataclass(frozen=True, eq=False)
class Removed:
    """Shapes that left a layer in one step; with the layer itself where `shapes` is empty."""

    layer: Shapes
    shapes: tuple[dict[str, Any], ...] = ()
    features: Any = None  # DataFrame, one row a shape


def shapes_of(layer: Shapes, indices: Sequence[int]) -> Removed:
    """Take down some shapes of a layer, that they can be drawn again."""
    shapes = tuple(
        {"data": layer.data[i].copy(), **{name: getattr(layer, name)[i] for name in _LOOK}} for i in sorted(indices)
    )
    return Removed(layer, shapes, pick_rows(layer, sorted(indices)))


class History:
    """The steps that can be undone, the last one last."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._steps: deque[Removed] = deque(maxlen=_STEPS)
        self._about_to: Removed | None = None  # a click on a vertex may take the whole shape away

    def __len__(self) -> int:
        return len(self._steps)

    def changing(self, layer: Shapes, indices: Sequence[int]) -> None:
        """Remember shapes that may be about to go."""
        self._about_to = shapes_of(layer, [i for i in indices if 0 <= i < len(layer.data)])

    def changed(self, *, gone: bool) -> None:
        """Keep what was about to go, if it did."""
        if gone and self._about_to is not None and self._about_to.shapes:
            self._steps.append(self._about_to)
        self._about_to = None

    def removing(self, layer: Shapes, indices: Sequence[int]) -> None:
        """Keep shapes that are about to be removed."""
        if indices:
            self._steps.append(shapes_of(layer, indices))

    def layer_removed(self, layer: Shapes) -> None:
        """Keep a layer with its shapes."""
        if len(layer.data):
            self._steps.append(Removed(layer))

    def undo(self) -> None:
        """Bring back what went last."""
        if not self._steps:
            return
        step = self._steps.pop()
        layer = step.layer
        if layer not in self._viewer.layers:
            place(self._viewer, layer)
        if not step.shapes:
            return
        first = len(layer.data)
        for shape in step.shapes:
            layer.add(**shape)
        features = layer.features.copy()
        for column in step.features.columns.intersection(features.columns):
            features[column] = [*features[column].iloc[:first], *step.features[column]]
        layer.features = features
        paint(layer)

    def clear(self) -> None:
        """Forget everything."""
        self._steps.clear()
        self._about_to = None
