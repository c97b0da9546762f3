"""The figures of a report: per gene across the spots of a section, then over genes, sections and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st import metrics

N_VARIABLE = 50
RESAMPLES = 1000

Array = npt.NDArray[np.floating[Any]]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Truth:
    """One section as measured.

    Attributes
    ----------
    name : str
    labels : (n, G) float32
        Raw labels.
    blocks : (n,) int64
        Spatial block of each spot; the bootstrap draws blocks.
    profile : (G,) float64 or None
        Mean of the training labels, if known.
    """

    name: str
    labels: npt.NDArray[np.float32]
    blocks: npt.NDArray[np.int64]
    profile: FloatArray | None

    @classmethod
    def of(cls, name: str, labels: npt.NDArray[np.float32], centres: Array, profile: Any) -> Truth:
        """Lay blocks over the spots' centres (n, 2)."""
        flat = None if profile is None else np.asarray(profile, dtype=np.float64)
        return cls(name, labels, metrics.spatial_blocks(centres), flat)


@dataclass(eq=False)
class _Agreement:
    """Figures of one model on the scored sections, averaged over them; `draws` are the same in every resample."""

    pcc: FloatArray  # (G,) or (resamples, G)
    mse: FloatArray
    mae: FloatArray
    reference: FloatArray | None  # MSE of the training mean profile

    @classmethod
    def mean(cls, parts: Sequence[_Agreement]) -> _Agreement:
        references = [p.reference for p in parts if p.reference is not None]
        return cls(
            np.mean([p.pcc for p in parts], axis=0),
            np.mean([p.mse for p in parts], axis=0),
            np.mean([p.mae for p in parts], axis=0),
            np.mean(references, axis=0) if len(references) == len(parts) else None,
        )

    def figures(self, variable: npt.NDArray[np.int64] | None) -> dict[str, FloatArray | None]:
        """Summarise over genes: a number, or one a resample."""
        mse = self.mse.mean(axis=-1)
        return {
            "pcc_mean": self.pcc.mean(axis=-1),
            "pcc_median": np.median(self.pcc, axis=-1),
            "pcc_hvg50": None if variable is None else self.pcc[..., variable].mean(axis=-1),
            "mse": mse,
            "mae": self.mae.mean(axis=-1),
            "mse_ratio": None if self.reference is None else mse / self.reference.mean(axis=-1),
        }


def _agreement(truth: Truth, predicted: Array) -> _Agreement:
    flat = None if truth.profile is None else np.broadcast_to(truth.profile, truth.labels.shape)
    return _Agreement(
        metrics.pcc(truth.labels, predicted).per_gene,
        metrics.mse(truth.labels, predicted),
        metrics.mae(truth.labels, predicted),
        None if flat is None else metrics.mse(truth.labels, flat),
    )


def _draws(truth: Truth, predicted: Array, seed: int) -> _Agreement:
    # The same seed for every model: their draws are of the same spots.
    drawn = metrics.bootstrap(truth.labels, predicted, truth.blocks, resamples=RESAMPLES, seed=seed)
    reference = None
    if truth.profile is not None:
        flat = np.broadcast_to(truth.profile, truth.labels.shape)
        reference = metrics.bootstrap(truth.labels, flat, truth.blocks, resamples=RESAMPLES, seed=seed).mse
    return _Agreement(drawn.pcc, drawn.mse, drawn.mae, reference)


def score(
    truths: Sequence[Truth],
    predicted: Sequence[Sequence[Array]],
    genes: Sequence[str],
    spread: Array | None,
    *,
    seeds: Sequence[int] = (),
    bootstrap_seed: int = 0,
) -> dict[str, Any]:
    """Compute one model's figures on the scored sections.

    Parameters
    ----------
    truths : sequence of Truth
        One a section.
    predicted : sequence of sequences of (n, G) arrays
        For each run of the model, usually one a seed, its predictions for each section.
    genes : sequence of str
        Names of the G genes.
    spread : (G,) or None
        Standard deviation of the training labels, by which the most variable genes are chosen.
    seeds : sequence of int
        Of the runs; empty for a model without one.
    bootstrap_seed : int

    Returns
    -------
    dict
        pcc_mean, pcc_median, pcc_hvg50, mse, mae, mse_ratio (means over the runs), n_constant, seeds (each run's
        figures), averaged (those of the mean of the runs' predictions), ci (95%, from resampled blocks of spots, the
        mean over runs in each resample) and genes. Sections count alike.
    """
    variable = None if spread is None else np.argsort(-np.asarray(spread), kind="stable")[:N_VARIABLE]
    runs = [_Agreement.mean([_agreement(t, p) for t, p in zip(truths, run, strict=True)]) for run in predicted]
    draws = [_Agreement.mean([_draws(t, p, bootstrap_seed) for t, p in zip(truths, r, strict=True)]) for r in predicted]
    each = [run.figures(variable) for run in runs]
    resampled = [d.figures(variable) for d in draws]
    overall = _Agreement.mean(runs)
    low, high = metrics.interval(np.mean([d.pcc for d in draws], axis=0))
    averaged = None
    if len(predicted) > 1:
        together = [np.mean(parts, axis=0) for parts in zip(*predicted, strict=True)]
        both = _Agreement.mean([_agreement(t, p) for t, p in zip(truths, together, strict=True)])
        averaged = {k: _round(v) for k, v in both.figures(variable).items()}
    return {
        **{k: _over(each, k, _round) for k in each[0]},
        "n_constant": int(sum((np.ptp(t.labels, axis=0) == 0).sum() for t in truths)),
        "seeds": [{"seed": s, **{k: _round(v) for k, v in f.items()}} for s, f in zip(seeds, each, strict=False)],
        "averaged": averaged,
        "ci": {k: _over(resampled, k, _interval) for k in each[0]},
        "genes": {
            g: {"pcc": _round(p), "low": _round(a), "high": _round(b), "mse": _round(e)}
            for g, p, a, b, e in zip(genes, overall.pcc, low, high, overall.mse, strict=True)
        },
    }


def _over(figures: Sequence[dict[str, FloatArray | None]], key: str, finish: Callable[[Any], Any]) -> Any:
    """Average a figure over runs, in each resample if there are any; None if it is not known."""
    values = [v for f in figures if (v := f[key]) is not None]
    return finish(np.mean(values, axis=0)) if len(values) == len(figures) else None


def _interval(draws: FloatArray) -> list[float]:
    low, high = metrics.interval(draws)
    return [float(_round(low)), float(_round(high))]


def _round(value: Any) -> Any:
    return None if value is None else round(float(value), 5)
