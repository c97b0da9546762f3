"""Depth alone: the library size of a spot, predicted from the image, and given to every gene.

In labels that are not free of depth, a gene rises or falls with the number of molecules that were counted in a spot at
all. Whatever this baseline reaches, a model reaches without knowing anything of a single gene.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_nh2st.evaluation.baselines.baseline import Array, Baseline, Fitting, Predict
from napari_nh2st.evaluation.baselines.frozen import frozen_encoder
from napari_nh2st.evaluation.baselines.nh2st import kernel_alone
from napari_nh2st.training.sections.section import Section


def slopes(depths: list[npt.NDArray[np.float64]], labels: list[Array]) -> npt.NDArray[np.float64]:
    """Regress each gene on log depth within the sections.

    Parameters
    ----------
    depths : list of (n,) arrays
        Logarithm of each spot's library size, section by section.
    labels : list of (n, G) arrays

    Returns
    -------
    (G,) float64
        The slope that all sections share, each with a mean of its own: sections differ in depth for other reasons than
        their tissue. 0 where depth does not vary.
    """
    x = np.concatenate([d - d.mean() for d in depths])
    y = np.concatenate([values - values.mean(axis=0, dtype=np.float64) for values in labels])
    squares = float(x @ x)
    return np.asarray(x @ y / squares if squares > 0 else np.zeros(y.shape[1]))


def _fit(fitting: Fitting) -> Predict:
    depths = [np.log(section.depth) for section in fitting.sections]
    sections = [
        replace(section, labels=depth[:, None].astype(np.float32))
        for section, depth in zip(fitting.sections, depths, strict=True)
    ]
    slope = slopes(depths, [section.labels for section in fitting.sections])
    mean, middle = fitting.labels.mean(axis=0, dtype=np.float64), np.concatenate(depths).mean()
    card = fitting.card.model_copy(
        update={"genes": ["depth"], "ensembl": None, "gene_means": [float(middle)], "gene_stds": None}
    )
    encoder = frozen_encoder(fitting) if fitting.config.pretrain_steps else None
    predict_depth = kernel_alone(replace(fitting, sections=sections, card=card, encoder=encoder))

    def predict(section: Section) -> Array:
        return np.asarray(mean + slope * (predict_depth(section) - middle), dtype=np.float32)

    return predict


DEPTH_ONLY = Baseline(
    name="depth-only",
    about=(
        "The spot's library size alone, predicted from the image by the kernel head, and given to every gene with its "
        "training slope: what a model scores that knows no gene."
    ),
    seeded=True,
    fit=_fit,
    uses_encoder=lambda config: bool(config.pretrain_steps),
)
