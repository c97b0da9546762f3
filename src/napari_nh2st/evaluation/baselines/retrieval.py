"""The mean expression of the training spots that look most alike: the recipe of BLEEP.

Xie et al., "Spatially Resolved Gene Expression Prediction from H&E Histology Images via Bi-modal Contrastive Learning",
NeurIPS 2023: the 50 nearest by cosine similarity, averaged, each weighted by exp(-(d^2 - d_0^2)) where d is its
distance and d_0 that of the nearest (github.com/bowang-lab/BLEEP, BLEEP_inference.ipynb). BLEEP trains its embedding by
contrast with expression; here it is the frozen encoder's, standardised on training, because the channels of an encoder
that was not trained so are all positive and every two spots would look alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_nh2st.evaluation.baselines.baseline import Array, Baseline, Fitting, Predict
from napari_nh2st.evaluation.baselines.frozen import embed
from napari_nh2st.training.sections.section import Section

NEAREST = 50


def retrieve(query: npt.ArrayLike, keys: npt.ArrayLike, labels: npt.ArrayLike, nearest: int = NEAREST) -> Array:
    """Average the labels of the keys that point the same way.

    Parameters
    ----------
    query : (m, C) array
    keys : (n, C) array
    labels : (n, G) array
    nearest : int
        At most n are taken.

    Returns
    -------
    (m, G) float32
        Between unit vectors d^2 = 2 - 2 cos, so a key's weight is exp(2 (cos - cos of the nearest)).
    """
    q, k = (_unit(np.asarray(a, dtype=np.float64)) for a in (query, keys))
    similar = q @ k.T
    most_alike = np.argsort(-similar, axis=1, kind="stable")[:, :nearest]
    cosine = np.take_along_axis(similar, most_alike, axis=1)
    weight = np.exp(2 * (cosine - cosine[:, :1]))
    weight /= weight.sum(axis=1, keepdims=True)
    values = np.asarray(labels, dtype=np.float64)
    return np.stack([w @ values[i] for w, i in zip(weight, most_alike, strict=True)]).astype(np.float32)


def _unit(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))


def _fit(fitting: Fitting) -> Predict:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    keys = scaler.fit_transform(np.concatenate([embed(s, fitting) for s in fitting.sections]).astype(np.float64))
    labels = fitting.labels

    def predict(section: Section) -> Array:
        return retrieve(scaler.transform(embed(section, fitting).astype(np.float64)), keys, labels)

    return predict


RETRIEVAL = Baseline(
    name="retrieval",
    about=(
        "The weighted mean of the 50 training spots nearest by cosine similarity in a frozen encoder's embedding "
        "(BLEEP's recipe); the encoder is pretrained by contrast on the training sections' tiles, without labels, "
        "where no encoder file is given."
    ),
    seeded=True,
    fit=_fit,
    uses_encoder=lambda config: True,
)
