"""The leak alarm: expression guessed from the place of a spot, without any image.

Sections of one tumour have similar positions on the array. Whatever this baseline reaches, a split gives away without a
model; across patients it should be near 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.evaluation.baselines.baseline import Array, Baseline, Fitting, Predict, places
from napari_nh2st.evaluation.baselines.inner import groups, tuned
from napari_nh2st.model.card import Card
from napari_nh2st.training.sections.section import Section

NEIGHBOURS = (8, 3, 5, 12, 20, 35, 60, 100)  # the first where nothing tells them apart


def _on_slide(section: Section, card: Card) -> npt.NDArray[np.float64]:
    return places(section, card)


def _on_tissue(section: Section, card: Card) -> npt.NDArray[np.float64]:
    """Micrometres from the median spot, for sections at different places on their slides."""
    at = places(section, card)
    return np.asarray(at - np.median(at, axis=0))


# Which frame gives more away depends on how the sections were laid. The one that does so on the training sections is
# taken: a weaker alarm would be a false comfort.
FRAMES = (_on_slide, _on_tissue)


def _fit(fitting: Fitting) -> Predict:
    from sklearn.neighbors import KNeighborsRegressor

    parts, labels = groups(fitting), fitting.labels
    fewest = len(parts) - np.bincount(parts).max()
    grid = {"n_neighbors": [k for k in NEIGHBOURS if k <= fewest] or [1]}
    best: Any = None
    for frame in FRAMES:
        at = np.concatenate([frame(s, fitting.card) for s in fitting.sections])
        search = tuned(KNeighborsRegressor(), grid, at, labels, parts)
        if best is None or search.best_score_ > best[0].best_score_:
            best = search, frame

    def predict(section: Section) -> Array:
        model, frame = best
        return np.asarray(model.predict(frame(section, fitting.card)), dtype=np.float32)

    return predict


COORDINATES = Baseline(
    name="coordinates-knn",
    about="The mean of the training spots that lie at the nearest place, without any image: the leak alarm.",
    seeded=False,
    fit=_fit,
)
