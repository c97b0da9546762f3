"""Two regions compared, or one with everything else that is predicted. No Qt."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import FloatArray
from napari_nh2st.viewer.kit.long_work import Cancelled, LongWork, Tell
from napari_nh2st.viewer.predict.workspace import Workspace
from napari_nh2st.viewer.regions.messages import ELSEWHERE, SAME_REGION, comparison_words
from napari_nh2st.viewer.state.predicted_map import PredictedMap

if TYPE_CHECKING:
    import pandas as pd

    from napari_nh2st.analysis.regions import Comparison

Regions = dict[str, list[FloatArray]]  # outlines (k, 2) of each region, level-0 pixels (x, y)
Compared = tuple["Comparison", tuple[int, int, int]]  # and tiles in the first alone, in the second alone, in both


class ComparisonView(Protocol):
    """Shows what the presenter decides."""

    @property
    def work(self) -> LongWork:
        """Comparing."""

    @property
    def first(self) -> str:
        """The region that is compared."""

    @property
    def second(self) -> str | None:
        """The region that it is compared with; None is everything else."""

    def offer(self, names: list[str], *, same: bool) -> None:
        """Offer regions; hide everything where there is none. `same`: they are the ones that are offered already."""

    def show_outcome(self, said: str, table: pd.DataFrame | None, title: str = "") -> None:
        """Show what came of a comparison, or take it away."""

    def show_comparing(self, on: bool) -> None:
        """Leave the button off while a comparison is going on."""


class ComparisonPresenter:
    """Ranks genes by how they differ between two regions."""

    def __init__(self, workspace: Workspace, view: ComparisonView) -> None:
        self._workspace, self._view = workspace, view
        self._regions: Regions = {}

    def set_regions(self, regions: Regions) -> None:
        """Offer regions by their names; a comparison of what has changed is taken away."""
        before, self._regions = self._regions, regions
        same = regions.keys() == before.keys() and all(_same(regions[name], before[name]) for name in regions)
        if not same:
            self._clear()
        self._view.offer(list(regions), same=same)

    def compare(self) -> None:
        """Compare what is chosen."""
        first, second = self._view.first, self._view.second
        self._clear()
        try:
            prediction_map = self._workspace.require_map()
        except Nh2stError as error:
            self._view.show_outcome(str(error), None)
            return
        if first == second:
            self._view.show_outcome(SAME_REGION, None)
            return
        outlines = self._regions[first], None if second is None else self._regions[second]
        names = first, ELSEWHERE if second is None else second
        self._view.show_comparing(True)
        self._view.work.start(
            "Comparing",
            partial(_compare, prediction_map, outlines, names),
            partial(self._show, names),
            lambda: self._view.show_comparing(self._view.work.running),
        )

    def _show(self, names: tuple[str, str], compared: Compared) -> None:
        comparison, tiles = compared
        table = comparison.table[["difference", "score", "adjusted p"]]
        self._view.show_outcome(comparison_words(*names, tiles, comparison), table, f"{names[0]} against {names[1]}")

    def _clear(self) -> None:
        self._view.work.cancel_all()
        self._view.show_outcome("", None)


def _same(a: list[FloatArray], b: list[FloatArray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def _compare(
    prediction_map: PredictedMap,
    outlines: tuple[list[FloatArray], list[FloatArray] | None],
    names: tuple[str, str],
    tell: Tell,
    cancelled: Cancelled,
) -> Compared:
    """Compare two regions, or one with all else. Not on the GUI thread."""
    from napari_nh2st.analysis.regions import compare, inside

    prediction = prediction_map.prediction()
    centres = prediction.places.centres
    first = inside(centres, outlines[0])
    second = ~first if outlines[1] is None else inside(centres, outlines[1])
    comparison = compare(prediction, first, second, names=names, tell=tell, cancelled=cancelled)
    both = first & second
    return comparison, (int((first & ~both).sum()), int((second & ~both).sum()), int(both.sum()))
