"""Choices for a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nh2st.formats.display import Display

if TYPE_CHECKING:
    from napari_nh2st.analysis.outlines import Parts
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.report.tissue import Likeness
    from napari_nh2st.slides import Slide

_GENES = 6  # shown where none is named


@dataclass(frozen=True, eq=False)
class Choices:
    """The subject of a report, and how its maps are drawn.

    Attributes
    ----------
    prediction : Prediction
        At predicted places alone.
    display : Display
        Genes, colours and limits.
    slide : Slide or None
    away : str
        Why there is no slide.
    regions : dict
        Polygons of each region by name, level-0 pixels.
    likeness : Likeness or str
        How much of the tissue is like that of the training, or why that is not known.
    command : str
        What makes this report again.
    chosen : bool
        The genes were named, not taken by default.
    """

    prediction: Prediction
    display: Display
    slide: Slide | None
    away: str
    regions: dict[str, Parts]
    likeness: Likeness | str
    command: str
    chosen: bool


def usual_genes(prediction: Prediction) -> tuple[str, ...]:
    """Return the genes of a report in which none was named: those that the model predicts best."""
    return tuple(prediction.card.by_trust()[:_GENES])


Progress = Callable[[float], None]  # receives the share that is done, 0 to 1; what it raises stops the report
