"""The section *Measured* as its presenter sees it: what it shows, and what it offers. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy.typing as npt

from napari_nh2st.analysis.measured import Comparison, Frame
from napari_nh2st.viewer.kit.long_work import LongWork
from napari_nh2st.viewer.measured.anchors import AnchorsView
from napari_nh2st.viewer.measured.landmarks import LandmarksView


@dataclass(frozen=True)
class Offer:
    """Actions that are possible now.

    Attributes
    ----------
    hint : str
        What to do next; empty where nothing is to be said.
    why_not_load : str
        Why nothing can be loaded; empty where it can.
    remove, positions, compare, lay : bool
        Whether there is something to remove, a file of positions to choose, a comparison to make, spots to lay anew.
    """

    hint: str
    why_not_load: str
    remove: bool
    positions: bool
    compare: bool
    lay: bool = False


@dataclass(frozen=True, eq=False)
class GeneDots:
    """A dot a spot for one gene: measured and predicted values, each (n,); `unit` is that of what was measured."""

    measured: npt.ArrayLike
    predicted: npt.ArrayLike
    title: str
    unit: str
    same_unit: bool


class MeasuredView(Protocol):
    """Shows what the presenter decides."""

    @property
    def work(self) -> LongWork:
        """Reading and comparing."""

    @property
    def landmarks(self) -> LandmarksView:
        """The part that lays the spots by landmarks."""

    @property
    def anchors(self) -> AnchorsView:
        """The part that corrects the map."""

    @property
    def in_sight(self) -> bool:
        """True if a person sees the section: nothing is compared behind their back."""

    def show_offer(self, offer: Offer) -> None:
        """Offer what can be done now."""

    def show_frame(self, doubt: str, frame: Frame | None) -> None:
        """Ask how the spots lie; None asks nothing."""

    def show_result(self, comparison: Comparison | None) -> None:
        """Show the figures of a comparison, or none."""

    def show_table(self, comparison: Comparison | None) -> None:
        """Show the table of genes of another comparison, or none."""

    def show_gene(self, note: str, dots: GeneDots | None) -> None:
        """Show one gene."""

    def show_layers(self, spots: bool, difference: bool) -> None:
        """Tick the layers that are in sight."""

    def show_difference_offer(self, tip: str, *, on: bool) -> None:
        """Offer the layer of differences."""

    def colour_soon(self) -> None:
        """Call `colour` within a moment; asking again until then changes nothing."""
