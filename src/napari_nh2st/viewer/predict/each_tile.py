"""Work for every tile of a map: start it, go on later, show it instead of the prediction. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Generic, Protocol, TypeVar

from napari_nh2st.viewer.layers.map_layer import MapLayer
from napari_nh2st.viewer.layers.roles import Kind
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.state.predicted_map import PredictedMap

SHOW_PREDICTION = "Show the prediction"
COVERING = (Kind.NOVELTY, Kind.VAIN, Kind.MEASURED, Kind.DIFFERENCE, Kind.NEARER)  # marks and spots would hide it


class Answers(Protocol):
    """Results for the tiles of a map, and the layer that draws them."""

    @property
    def map(self) -> PredictedMap:
        """The map whose tiles they are."""

    @property
    def image(self) -> MapLayer:
        """The layer."""

    @property
    def count(self) -> int:
        """For how many tiles it was worked out."""


A = TypeVar("A", bound=Answers)


class EachTile(Generic[A]):
    """Keeps the answers for each map that was shown, and one of them in sight.

    Parameters
    ----------
    workspace : Workspace
    visibility_changed : callable
        Called when the user hides or shows the layer.
    """

    def __init__(self, workspace: Workspace, visibility_changed: Callable[[], None]) -> None:
        self._workspace, self._visibility_changed = workspace, visibility_changed
        self._by_map: dict[int, A] = {}
        self._map = workspace.map
        workspace.subjects.gone.connect(self._forget)
        workspace.when_closing(self._close)

    @property
    def current(self) -> A | None:
        """The answers for the map that is shown, None where they were not asked for."""
        return self._by_map.get(id(self._workspace.map))

    def keep(self, answers: A) -> bool:
        """Keep answers, and tell whether they are for the map that is shown."""
        self._by_map[id(answers.map)] = answers
        return answers.map is self._workspace.map

    @property
    def in_sight(self) -> bool:
        """True if the layer of the map that is shown is in sight."""
        return self.current is not None and self.current.image.visible

    @property
    def more(self) -> int:
        """Number of tiles predicted since."""
        shown, answers = self._workspace.map, self.current
        return 0 if shown is None or answers is None else max(0, shown.count - answers.count)

    def bring_out(
        self, answers: A, *, instead_of_prediction: bool = True, covering: Collection[Kind] = COVERING
    ) -> None:
        """Bring the layer into sight, above the prediction or instead of it; what would cover it goes then."""
        if answers.image.bring():
            assert answers.image.layer is not None
            answers.image.layer.events.visible.connect(lambda event: self._visibility_changed())
        if instead_of_prediction and answers.image.layer is not None:
            self._workspace.maps.instead.show(answers.image.layer, covered_by=covering)

    def show_prediction(self) -> None:
        """Show the prediction again, with all that was put out of sight."""
        self._workspace.maps.instead.back()

    def hide(self) -> bool:
        """Hide the layers of all maps, but for one that its slide was left with instead of the prediction.

        Returns
        -------
        bool
            Whether another map is shown now than before.
        """
        heatmap = self._workspace.heatmap
        left = self.current if heatmap is not None and not heatmap.visible else None
        for answers in self._by_map.values():
            if answers is not left:
                answers.image.hide()
        return self._moved_on()

    def hide_other_maps(self) -> bool:
        """Hide the layers of other maps than the one that is shown; tell whether that is another one now."""
        for answers in self._by_map.values():
            if answers.map is not self._workspace.map:
                answers.image.hide()
        return self._moved_on()

    def _forget(self, gone: object) -> None:
        self._by_map = {key: answers for key, answers in self._by_map.items() if answers.map is not gone}

    def _close(self) -> None:
        """Take away what was only begun, and show the prediction again where that was in its place."""
        begun = [answers for answers in self._by_map.values() if not answers.count]
        if any(answers.image.visible for answers in begun):
            self.show_prediction()
        for answers in begun:
            answers.image.remove()

    def _moved_on(self) -> bool:
        before, self._map = self._map, self._workspace.map
        return before is not self._map
