"""Settings of a baseline, chosen on training sections alone: leave each out in turn and predict it from the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st import metrics
from napari_nh2st.evaluation.baselines.baseline import Array, Fitting
from napari_nh2st.geometry import SELF

FloatArray = npt.NDArray[np.floating[Any]]

# Ridge strengths for standardised features: from nearly plain least squares to nearly the mean profile.
STRENGTHS = tuple(float(10.0**e) for e in range(0, 7))
BLOCKS = 4


def groups(fitting: Fitting) -> npt.NDArray[np.int64]:
    """Return the part with which each training spot is left out, (n,).

    The part is its section. If there is only one section, it is one of about four square blocks of that section:
    single spots could be guessed from their neighbours.
    """
    if len(fitting.sections) > 1:
        return np.repeat(np.arange(len(fitting.sections)), [len(s.labels) for s in fitting.sections])
    return metrics.spatial_blocks(fitting.sections[0].centres[:, SELF], count=BLOCKS)


# Settings are chosen by squared error: PCC ignores scale, so it would let a ridge shrink to almost nothing.
def tuned(estimator: Any, grid: Mapping[str, Sequence[Any]], x: FloatArray, y: Array, parts: Any) -> Any:
    """Fit a regressor with the settings that predict left-out parts best.

    Parameters
    ----------
    estimator
        A scikit-learn regressor.
    grid : mapping
        The values of each setting; the first of equally good ones is taken.
    x : (n, F)
    y : (n, G)
    parts : (n,)
        From `groups`.

    Returns
    -------
    GridSearchCV
        Fitted to all spots. `best_score_` is minus the mean squared error, over genes and then over parts.
    """
    from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut

    if len(np.unique(parts)) < 2:  # a handful of spots in one place: nothing to leave out, so the first settings stay
        grid = {name: values[:1] for name, values in grid.items()}
        folds: Any = [(np.arange(len(x)), np.arange(len(x)))]
    else:
        folds = list(LeaveOneGroupOut().split(x, y, parts))
    return GridSearchCV(estimator, dict(grid), scoring="neg_mean_squared_error", cv=folds, error_score="raise").fit(
        x, y
    )
