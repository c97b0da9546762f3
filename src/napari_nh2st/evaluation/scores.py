"""The figures of a report: per gene across the spots of a section, then over genes, sections and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_nh2st import metrics
from napari_nh2st.targets import LN1P_CP10K, SpotCounts

N_VARIABLE = 50
RESAMPLES = 1000

# Correlations that are compared between models, draw by draw. The last two are free of depth.
PAIRED = ("pcc_mean", "pcc_given_depth", "pcc_residuals")

Array = npt.NDArray[np.floating[Any]]
FloatArray = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Figures = dict[str, FloatArray | None]
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Truth:
    """One section as measured.

    Attributes
    ----------
    name : str
    labels : (n, G) float32
        Raw labels of the model's target; NaN in the column of a gene that the section's table lacks.
    blocks : (n,) int64
        Spatial block of each spot; the bootstrap draws blocks.
    profile : (G,) float64 or None
        Mean of the training labels, if known.
    counted : SpotCounts or None
        The raw counts behind the labels; those of a gene that was not measured may be anything. Without them, there are
        no figures that are free of depth.
    """

    name: str
    labels: npt.NDArray[np.float32]
    blocks: npt.NDArray[np.int64]
    profile: FloatArray | None
    counted: SpotCounts | None = None

    @classmethod
    def of(
        cls,
        name: str,
        labels: npt.NDArray[np.float32],
        centres: Array,
        profile: Any,
        counted: SpotCounts | None = None,
    ) -> Truth:
        """Lay blocks over the spots' centres (n, 2)."""
        flat = None if profile is None else np.asarray(profile, dtype=np.float64)
        return cls(name, labels, metrics.spatial_blocks(centres), flat, counted)

    @cached_property
    def measured(self) -> Bools:
        """Genes that the section's table has, (G,)."""
        return np.asarray(~np.isnan(self.labels).all(axis=0))

    @cached_property
    def constant(self) -> Bools:
        """Measured genes that do not vary, (G,)."""
        return np.asarray(self.measured & (np.ptp(self.labels, axis=0) == 0))

    @cached_property
    def log_depth(self) -> FloatArray | None:
        """Logarithm of each spot's library size, (n,)."""
        return None if self.counted is None else np.log(self.counted.depth)

    @cached_property
    def residuals(self) -> FloatArray | None:
        """Pearson residuals of the measured genes' counts, (n, measured genes); shares are those of this section."""
        if self.counted is None:
            return None
        return metrics.pearson_residuals(self.counted.counts[:, self.measured], self.counted.depth)

    @cached_property
    def ln1p(self) -> npt.NDArray[np.float32] | None:
        """Labels of target ln1p-cp10k of the measured genes, (n, measured genes); None where `labels` are these."""
        if self.counted is None:
            return None
        made = LN1P_CP10K.make(self.counted, {})[:, self.measured]
        return None if np.allclose(made, self.labels[:, self.measured], atol=1e-4) else made


@dataclass(eq=False)
class _Agreement:
    """Figures of one model on the scored sections, averaged over them; `draws` are the same in every resample.

    A gene that a section lacks has correlations of 0, and no errors (NaN).
    """

    pcc: FloatArray  # (G,) or (resamples, G)
    mse: FloatArray
    mae: FloatArray
    reference: FloatArray | None  # MSE of the training mean profile
    given_depth: FloatArray | None
    residuals: FloatArray | None
    ln1p: FloatArray | None  # where the labels are of another target

    @classmethod
    def mean(cls, parts: Sequence[_Agreement]) -> _Agreement:
        def over(key: str) -> Any:
            values = [getattr(part, key) for part in parts]
            average = _mean_of_known if key in _ERRORS else np.mean
            return None if any(v is None for v in values) else average(np.stack(values), axis=0)

        return cls(*(over(figure.name) for figure in fields(cls)))

    def figures(self, variable: npt.NDArray[np.int64] | None) -> Figures:
        """Summarise over genes: a number, or one a resample."""
        mse = _mean_of_known(self.mse, axis=-1)
        return {
            "pcc_mean": self.pcc.mean(axis=-1),
            "pcc_median": np.median(self.pcc, axis=-1),
            "pcc_hvg50": None if variable is None else self.pcc[..., variable].mean(axis=-1),
            "pcc_given_depth": None if self.given_depth is None else self.given_depth.mean(axis=-1),
            "pcc_residuals": None if self.residuals is None else self.residuals.mean(axis=-1),
            "pcc_ln1p": None if self.ln1p is None else self.ln1p.mean(axis=-1),
            "mse": mse,
            "mae": _mean_of_known(self.mae, axis=-1),
            "mse_ratio": None if self.reference is None else mse / _mean_of_known(self.reference, axis=-1),
        }


_ERRORS = ("mse", "mae", "reference")


def _mean_of_known(values: FloatArray, axis: int) -> FloatArray:
    """Average what is not NaN; NaN where nothing is known."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _agreement(truth: Truth, predicted: Array) -> _Agreement:
    there = truth.measured
    labels, guess = truth.labels[:, there], predicted[:, there]
    flat = None if truth.profile is None else np.broadcast_to(truth.profile[there], labels.shape)
    depth, residuals = truth.log_depth, truth.residuals
    return _Agreement(
        placed(metrics.pcc(labels, guess).per_gene, there, 0.0),
        placed(metrics.mse(labels, guess), there, np.nan),
        placed(metrics.mae(labels, guess), there, np.nan),
        None if flat is None else placed(metrics.mse(labels, flat), there, np.nan),
        None if depth is None else placed(metrics.partial_pcc(labels, guess, depth).per_gene, there, 0.0),
        None if residuals is None else placed(metrics.pcc(residuals, guess).per_gene, there, 0.0),
        None if truth.ln1p is None else placed(metrics.pcc(truth.ln1p, guess).per_gene, there, 0.0),
    )


def _draws(truth: Truth, predicted: Array, seed: int) -> _Agreement:
    # The same seed for every model: their draws are of the same spots.
    there = truth.measured
    labels, guess = truth.labels[:, there], predicted[:, there]

    def drawn_for(values: Array, given: FloatArray | None = None, other: Array = guess) -> metrics.Bootstrap:
        return metrics.bootstrap(values, other, truth.blocks, given=given, resamples=RESAMPLES, seed=seed)

    drawn = drawn_for(labels, truth.log_depth)
    reference = None
    if truth.profile is not None:
        flat = np.broadcast_to(truth.profile[there], labels.shape)
        reference = placed(drawn_for(labels, other=flat).mse, there, np.nan)
    residuals = truth.residuals
    return _Agreement(
        placed(drawn.pcc, there, 0.0),
        placed(drawn.mse, there, np.nan),
        placed(drawn.mae, there, np.nan),
        reference,
        None if drawn.partial is None else placed(drawn.partial, there, 0.0),
        None if residuals is None else placed(drawn_for(residuals).pcc, there, 0.0),
        None if truth.ln1p is None else placed(drawn_for(truth.ln1p).pcc, there, 0.0),
    )


def placed(values: npt.NDArray[Number], there: Bools, otherwise: float) -> npt.NDArray[Number]:
    """Put the values of measured genes, (..., measured genes), among all genes, (..., G); their type stays."""
    out = np.full((*values.shape[:-1], len(there)), otherwise, dtype=values.dtype)
    out[..., there] = values
    return out


def score(
    truths: Sequence[Truth],
    predicted: Sequence[Sequence[Array]],
    genes: Sequence[str],
    spread: Array | None,
    *,
    seeds: Sequence[int] = (),
    bootstrap_seed: int = 0,
) -> dict[str, Any]:
    """Compute one model's figures on the scored sections: `score_with_draws` without the draws."""
    return score_with_draws(truths, predicted, genes, spread, seeds=seeds, bootstrap_seed=bootstrap_seed)[0]


def score_with_draws(
    truths: Sequence[Truth],
    predicted: Sequence[Sequence[Array]],
    genes: Sequence[str],
    spread: Array | None,
    *,
    seeds: Sequence[int] = (),
    bootstrap_seed: int = 0,
) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Compute one model's figures on the scored sections, and the draws by which it is compared with other models.

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
    figures : dict
        pcc_mean, pcc_median, pcc_hvg50, pcc_given_depth, pcc_residuals, pcc_ln1p (None where
        labels are these), mse, mae, mse_ratio (means over the runs),
        n_constant, n_lacking, seeds (each run's figures), averaged (those of the mean of the runs' predictions), ci
        (95%, from resampled blocks of spots, the mean over runs in each resample) and genes. Sections count alike. A
        gene that a section lacks counts as 0 in its correlations, and not at all in its errors; one that all lack is
        not in genes.
    draws : dict of str to (resamples,) float64
        Of each figure in `PAIRED` that is known; the same blocks are drawn for every model.
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
    anywhere = np.any([t.measured for t in truths], axis=0)
    figures = {
        **{k: _over(each, k, _round) for k in each[0]},
        "n_constant": int(sum(t.constant.sum() for t in truths)),
        "n_lacking": int(sum((~t.measured).sum() for t in truths)),
        "seeds": [{"seed": s, **{k: _round(v) for k, v in f.items()}} for s, f in zip(seeds, each, strict=False)],
        "averaged": averaged,
        "ci": {k: _over(resampled, k, _interval) for k in each[0]},
        "genes": {
            g: {"pcc": _round(p), "low": _round(a), "high": _round(b), "mse": _round(e)}
            for g, p, a, b, e, known in zip(genes, overall.pcc, low, high, overall.mse, anywhere, strict=True)
            if known
        },
    }
    paired = {k: drawn for k in PAIRED if (drawn := _over(resampled, k, lambda values: values)) is not None}
    return figures, paired


def _over(figures: Sequence[Figures], key: str, finish: Callable[[Any], Any]) -> Any:
    """Average a figure over runs, in each resample if there are any; None if it is not known."""
    values = [v for f in figures if (v := f[key]) is not None]
    return finish(np.mean(values, axis=0)) if len(values) == len(figures) else None


def _interval(draws: FloatArray) -> list[float]:
    low, high = metrics.interval(draws)
    return [float(_round(low)), float(_round(high))]


def _round(value: Any) -> Any:
    return None if value is None else round(float(value), 5)
