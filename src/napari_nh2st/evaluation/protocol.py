"""Score a model on measured sections: PCC per gene across the spots of each section, on raw labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st import metrics
from napari_nh2st.engine.run import Job, provenance, run
from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, labels, read_expression, read_sheet
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.card import Card
from napari_nh2st.model.folder import Model, load_model
from napari_nh2st.slides import open_slide

N_VARIABLE = 50
RESAMPLES = 1000

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Scored:
    """One section as measured and as predicted.

    Attributes
    ----------
    genes : list of str
        Genes of the panel that were measured here.
    centres : (n, 2) float64
        Spots, level-0 pixels.
    truth, predicted : (n, G) float32
        In label units.
    """

    sample: Sample
    genes: list[str]
    centres: npt.NDArray[np.float64]
    truth: npt.NDArray[np.float32]
    predicted: npt.NDArray[np.float32]


def split_kind(card: Card, sample: Sample) -> str:
    """Tell from patient ids whether a section is of a patient that the model has seen."""
    return "same-patient" if sample.patient in {t.patient for t in card.training} else "cross-patient"


def evaluate(
    sheet: str | Path | Sequence[Sample],
    model: str | Path | Model,
    *,
    job: Job | None = None,
    seed: int = 0,
    progress: Callable[[str], Any] | None = None,
) -> dict[str, Any]:
    """Score a model on every section of a sheet.

    Parameters
    ----------
    sheet : path or list of Sample
    model : name, path or Model
    job : Job, optional
        Device and precision.
    seed : int
        Of the bootstrap.
    progress : callable, optional
        Called with a sentence before each section.

    Returns
    -------
    dict
        ``splits``, one per section with its kind from patient ids, ``warnings`` and ``provenance``.

    Raises
    ------
    SampleError, MppNeeded, ModelError
        One line that says what to do.
    """
    samples = read_sheet(sheet) if isinstance(sheet, (str, Path)) else list(sheet)
    model = model if isinstance(model, Model) else load_model(model)
    job = Job() if job is None else job
    splits, warnings = [], []
    for sample in samples:
        if progress is not None:
            progress(f"{sample.sample}: reading and predicting")
        scored = predict_spots(sample, model, job)
        lacking = len(model.card.genes) - len(scored.genes)
        if lacking:
            warnings.append(f"{sample.sample}: {lacking} genes of the panel were not measured and are left out")
        if sample.sample in {t.sample for t in model.card.training}:
            warnings.append(
                f"{sample.sample} was among the training sections: its figures say nothing about new slides"
            )
        splits.append(_split(model.card, scored, seed))
    return {"splits": splits, "warnings": warnings, "provenance": provenance(model, job)}


def predict_spots(sample: Sample, model: Model, job: Job) -> Scored:
    """Predict at the measured spots of a section, joined to the counts by spot id."""
    data = read_expression(sample)
    genes = [g for g in model.card.genes if g in data.var_names]
    if not genes:
        raise SampleError(f"sample {sample.sample}: none of the model's genes were measured: do the gene names match?")
    with open_slide(sample.slide, mpp=sample.mpp) as slide:
        card = model.card
        spots = TileSet.at(data.obsm["spatial"], scale=card.scale_on(slide.require_mpp()), pitch=card.pitch)
        prediction, _ = run(slide, model, spots, replace(job, store=None))
    done = prediction.done
    truth = labels(data, genes)
    assert len(truth) == len(prediction), "spots and predictions must be the same, in the same order"
    return Scored(sample, genes, spots.centres[done], truth[done], prediction.matrix(genes)[done])


def _split(card: Card, scored: Scored, seed: int) -> dict[str, Any]:
    rows = {g: i for i, g in enumerate(card.genes)}
    panel = [rows[g] for g in scored.genes]
    profile = np.asarray(card.gene_means, dtype=np.float32)[panel]
    spread = None if card.gene_stds is None else np.asarray(card.gene_stds)[panel]
    flat = np.broadcast_to(profile, scored.truth.shape)
    blocks = metrics.spatial_blocks(scored.centres)
    name = f"nh2st-{card.architecture.variant}"
    return {
        "train": [t.sample for t in card.training],
        "test": [scored.sample.sample],
        "kind": split_kind(card, scored.sample),
        "n_spots": len(scored.truth),
        "models": {
            name: score(scored, scored.predicted, profile, spread, blocks, seed),
            "mean-profile": score(scored, flat, profile, spread, blocks, seed),
        },
    }


def score(
    scored: Scored, predicted: Array, profile: Array, spread: Array | None, blocks: npt.NDArray[np.int64], seed: int
) -> dict[str, Any]:
    """Give one model's figures on one section.

    Parameters
    ----------
    scored : Scored
        The truth.
    predicted : (n, G)
    profile, spread : (G,)
        Mean and standard deviation of the training labels; the most variable genes are chosen by the latter.
    blocks : (n,)
        Spatial block of each spot, for the bootstrap.
    seed : int

    Returns
    -------
    dict
        pcc_mean, pcc_median, pcc_hvg50, mse, mae, mse_ratio, n_constant, seeds, ci and genes.
    """
    truth = scored.truth
    per = metrics.pcc(truth, predicted)
    draws = metrics.bootstrap(truth, predicted, blocks, resamples=RESAMPLES, seed=seed)
    low, high = metrics.interval(draws.pcc)
    variable = None if spread is None else np.argsort(-spread, kind="stable")[:N_VARIABLE]
    ci = {"pcc_mean": metrics.interval(draws.pcc.mean(axis=1)), "mse": metrics.interval(draws.mse.mean(axis=1))}
    genes = zip(scored.genes, per.per_gene, low, high, metrics.mse(truth, predicted), strict=True)
    return {
        "pcc_mean": _round(per.per_gene.mean()),
        "pcc_median": _round(np.median(per.per_gene)),
        "pcc_hvg50": None if variable is None else _round(per.per_gene[variable].mean()),
        "mse": _round(metrics.mse(truth, predicted).mean()),
        "mae": _round(metrics.mae(truth, predicted).mean()),
        "mse_ratio": _round(metrics.mse_ratio(truth, predicted, profile)),
        "n_constant": int((np.ptp(truth, axis=0) == 0).sum()),
        "seeds": [],
        "ci": {k: [_round(a), _round(b)] for k, (a, b) in ci.items()},
        "genes": {
            g: {"pcc": _round(p), "low": _round(a), "high": _round(b), "mse": _round(e)} for g, p, a, b, e in genes
        },
    }


def _round(value: Any) -> float:
    return round(float(value), 5)
