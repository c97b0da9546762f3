"""The interface of a baseline: it is fitted to training sections, then predicts a section it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card
from napari_nh2st.model.intervals import Intervals
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.sections.section import Section

if TYPE_CHECKING:
    from napari_nh2st.model.encoder import ResNet18

Array = npt.NDArray[np.float32]

Predict = Callable[[Section], Array]
"""A section, its labels hidden, to (n, G) labels at its spots."""


@dataclass(eq=False)
class Fitting:
    """Material for fitting a baseline: training sections, and nothing of the test section.

    Attributes
    ----------
    sections : list of Section
        Pixels at the model's mpp, spots and raw labels (n, G) of the panel.
    card : Card
        Geometry and panel; `gene_means` and `gene_stds` are those of the training labels.
    config : TrainingConfig
        Of the models that are trained.
    seed : int
    quick : bool
        True for the smaller budget.
    cancelled : callable
        Asked between steps; if it returns True, raise `Cancelled`.
    encoder : ResNet18 or None
        The frozen encoder, where somebody has made it already with the same material.
    """

    sections: list[Section]
    card: Card
    config: TrainingConfig
    seed: int
    quick: bool = False
    cancelled: Callable[[], bool] = lambda: False
    encoder: ResNet18 | None = None

    @property
    def labels(self) -> Array:
        """All training labels, (n, G), sections one after another."""
        return np.concatenate([s.labels for s in self.sections])


@dataclass(frozen=True)
class Baseline:
    """One line of a report.

    Attributes
    ----------
    name : str
        Its key in the report.
    about : str
        One sentence for the report.
    seeded : bool
        True if another seed gives another result.
    fit : callable
        From a `Fitting` to a `Predict`.
    uses_encoder : callable
        Tells for settings whether `fit` asks for the frozen encoder.
    intervals : callable
        From a `Fitting` that has been through `fit` to the `Intervals` of what it predicts; None where there are none.
    fitted_with : str
        Name of the baseline whose fit gives this one too, where a `Fitting` has been through it; empty for none.
    """

    name: str
    about: str
    seeded: bool
    fit: Callable[[Fitting], Predict]
    uses_encoder: Callable[[TrainingConfig], bool] = lambda config: False
    intervals: Callable[[Fitting], Intervals | None] = lambda fitting: None
    fitted_with: str = ""


def blind(section: Section) -> Section:
    """Copy a section without its labels and depths, so that no predictor can read them."""
    return replace(section, labels=np.full_like(section.labels, np.nan), depth=np.full_like(section.depth, np.nan))


def patches(section: Section, side: int) -> npt.NDArray[np.uint8]:
    """Cut the square around every spot, (n, side, side, 3), in model pixels; white beyond the crop."""
    out = np.empty((len(section.centres), side, side, 3), dtype=np.uint8)
    for patch, (x, y) in zip(out, np.round(section.centres[:, SELF] - side / 2).astype(int).tolist(), strict=True):
        patch[:] = section.cut(x, y, side, side)
    return out


def places(section: Section, card: Card) -> npt.NDArray[np.float64]:
    """Return each spot's place on its slide, (n, 2), micrometres (x, y)."""
    on_slide: Any = section.centres[:, SELF] + section.corner
    return np.asarray(on_slide * card.mpp, dtype=np.float64)
