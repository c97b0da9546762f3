"""A frozen encoder, PCA and ridge regression: the recipe of HEST-Benchmark.

Jaume et al., "HEST-1k: A Dataset for Spatial Transcriptomics and Histology Image Analysis", NeurIPS 2024: embeddings
are standardised, reduced to 256 principal components, and ridge regression takes them to expression. Their code
(github.com/mahmoodlab/HEST, src/hest/bench/trainer.py, `train_test_reg`) sets the strength to 100 / (components x
genes) and fits no intercept. For a few hundred spots that is plain least squares with half as many unknowns as spots,
and worse than the mean profile. Here that strength is one of several, chosen on the training sections, and the mean
profile is the intercept, so that the bar is not low by accident.
"""

from __future__ import annotations

import numpy as np

from napari_nh2st.evaluation.baselines.baseline import Array, Baseline, Fitting, Predict
from napari_nh2st.evaluation.baselines.frozen import embed
from napari_nh2st.evaluation.baselines.inner import STRENGTHS, groups, tuned
from napari_nh2st.training.sections.section import Section

COMPONENTS = 256


def hest_strength(components: int, genes: int) -> float:
    """Return HEST-Benchmark's ridge strength."""
    return 100 / (components * genes)


def _fit(fitting: Fitting) -> Predict:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.concatenate([embed(s, fitting) for s in fitting.sections]).astype(np.float64)
    parts, labels = groups(fitting), fitting.labels
    # With a part left out there must still be more spots than components.
    fewest = len(x) - np.bincount(parts).max() if parts.any() else len(x)
    components = int(max(1, min(COMPONENTS, x.shape[1], fewest - 1)))
    model = make_pipeline(StandardScaler(), PCA(components, svd_solver="full"), Ridge())
    strengths = [hest_strength(components, labels.shape[1]), *STRENGTHS]
    ridge = tuned(model, {"ridge__alpha": strengths}, x, labels, parts)

    def predict(section: Section) -> Array:
        return np.asarray(ridge.predict(embed(section, fitting).astype(np.float64)), dtype=np.float32)

    return predict


ENCODER_RIDGE = Baseline(
    name="encoder-ridge",
    about=(
        "A frozen encoder, PCA(256) and ridge regression (HEST-Benchmark's recipe, its strength chosen on the training "
        "sections); the encoder is pretrained by contrast on the training sections' tiles, without labels, where no "
        "encoder file is given."
    ),
    seeded=True,
    fit=_fit,
    uses_encoder=lambda config: True,
)
