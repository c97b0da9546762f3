"""Show another map instead of the prediction, and go back: two maps on top of each other mean nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from napari_nh2st.viewer.layers.roles import HEATMAPS, Kind, kind_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

INSTEAD = (Kind.EFFECT, Kind.SPREAD, Kind.HALF_WIDTH, Kind.DISAGREEMENT, Kind.COMPOSITE, Kind.SIGNATURE)


class InsteadOfPrediction:
    """Remembers what it has put out of sight, and brings it back."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._put_away: list[Layer] = []

    def show(self, layer: Layer, *, covered_by: Collection[Kind] = ()) -> None:
        """Leave one layer in sight, which `INSTEAD` names; heatmaps and others like it are put away.

        Parameters
        ----------
        covered_by : collection of Kind
            What else would hide it, and is put away too.
        """
        for other in self._viewer.layers:
            kind = kind_of(other)
            if other == layer or not other.visible:
                continue
            if kind in HEATMAPS or kind in covered_by:
                self._put_away.append(other)
                other.visible = False
            elif kind in INSTEAD or kind is Kind.DOMAINS:  # domains stand there instead of the prediction, too
                other.visible = False

    def back(self) -> None:
        """Show the prediction again, with all that was put away and is still there."""
        for layer in self._viewer.layers:
            if kind_of(layer) in INSTEAD:
                layer.visible = False
        for layer in self._put_away:
            if layer in self._viewer.layers:
                layer.visible = True
        self.forget()

    def remember(self, layer: Layer) -> None:
        """Take note that a layer is out of sight for another one: `back` shows it."""
        self._put_away.append(layer)

    def forget(self) -> None:
        """Forget what was put away: the heatmap that is to be seen has been brought out."""
        self._put_away = []
