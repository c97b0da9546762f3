"""A meter for spots that somebody is laying on a slide: how well a model predicts them where they lie now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st import metrics

if TYPE_CHECKING:
    import anndata as ad

    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.model.card import Card

MOST = 20
"""Genes that the meter reads: those that the model predicts best on tissue that it has not seen."""
FEWEST = 10
"""Spots across which a correlation tells one place from another."""


@dataclass(frozen=True)
class Reading:
    """Mean PCC across `spots` spots of `genes` genes."""

    pcc: float
    genes: int
    spots: int


def best_genes(card: Card, measured: list[str]) -> list[str]:
    """Return the measured genes that a model predicts best by its card; without figures, those with most counts."""
    trust = card.evaluation.genes if card.evaluation is not None else {}
    known = [gene for gene in measured if gene in trust]
    if known:
        return sorted(known, key=lambda gene: -trust[gene].pcc)[:MOST]
    means = dict(zip(card.genes, card.gene_means or np.zeros(len(card.genes)), strict=True))
    return sorted(measured, key=lambda gene: -float(means.get(gene, 0.0)))[:MOST]


def read_meter(name: str, data: ad.AnnData, prediction: Prediction) -> Reading | None:
    """Score a prediction at spots, as `nh2st evaluate` does, for the model's best genes and without intervals.

    Parameters
    ----------
    name : str
        Of the section.
    data : AnnData
        Raw counts over all measured genes, in the order of the prediction's places.
    prediction : Prediction

    Returns
    -------
    Reading or None
        None where fewer than `FEWEST` spots are predicted.

    Raises
    ------
    SampleError
        If none of the model's genes was measured.
    """
    from pathlib import Path

    from napari_nh2st.evaluation.protocol import measured_genes, scored_at  # loads torch
    from napari_nh2st.expression import Sample

    card = prediction.card
    named, genes = measured_genes(name, data, card)
    chosen = best_genes(card, genes)
    scored = scored_at(Sample(name, "", Path(name), Path(name), ""), named, chosen, prediction)
    if len(scored.truth) < FEWEST:
        return None
    return Reading(float(metrics.pcc(scored.truth, scored.predicted).per_gene.mean()), len(chosen), len(scored.truth))
