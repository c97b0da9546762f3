"""Colour statistics of the patch and ridge regression: a prediction without any shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.evaluation.baselines.baseline import Array, Baseline, Fitting, Predict, patches
from napari_nh2st.evaluation.baselines.inner import STRENGTHS, groups, tuned
from napari_nh2st.training.sections.section import Section

PERCENTILES = (10, 25, 50, 75, 90)
_AT_ONCE = 64


def colour_features(tiles: npt.NDArray[np.uint8]) -> Array:
    """Describe the colours of patches.

    Parameters
    ----------
    tiles : (n, S, S, 3) uint8

    Returns
    -------
    (n, 56) float32
        Mean, standard deviation and five percentiles of red, green, blue, mean optical density, saturation,
        haematoxylin, eosin and the residual stain. Stains are separated with the matrix of Ruifrok and Johnston,
        Anal. Quant. Cytol. Histol. 23, 2001, as in scikit-image.
    """
    out = [_features(tiles[i : i + _AT_ONCE]) for i in range(0, len(tiles), _AT_ONCE)]
    return np.concatenate(out) if out else np.zeros((0, 8 * (2 + len(PERCENTILES))), np.float32)


def _features(tiles: npt.NDArray[np.uint8]) -> Array:
    from skimage.color import rgb2hed

    rgb = tiles.reshape(len(tiles), -1, 3).astype(np.float32) / 255
    density = -np.log(np.maximum(rgb, 1 / 255)).mean(axis=2, keepdims=True)
    highest, lowest = rgb.max(axis=2, keepdims=True), rgb.min(axis=2, keepdims=True)
    saturation = (highest - lowest) / np.maximum(highest, 1 / 255)
    channels = np.concatenate([rgb, density, saturation, rgb2hed(rgb)], axis=2)  # (n, S * S, 8)
    columns: list[Any] = [channels.mean(axis=1), channels.std(axis=1)]
    columns += list(np.percentile(channels, PERCENTILES, axis=1))
    return np.concatenate(columns, axis=1).astype(np.float32)


def _fit(fitting: Fitting) -> Predict:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    side = fitting.card.patch
    x = np.concatenate([colour_features(patches(s, side)) for s in fitting.sections]).astype(np.float64)
    model = tuned(
        make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": STRENGTHS}, x, fitting.labels, groups(fitting)
    )

    def predict(section: Section) -> Array:
        features = colour_features(patches(section, side)).astype(np.float64)
        return np.asarray(model.predict(features), dtype=np.float32)

    return predict


COLOUR = Baseline(
    name="colour-ridge",
    about="Colour statistics of the patch and ridge regression, its strength chosen on the training sections.",
    seeded=False,
    fit=_fit,
)
