"""Agreement of a prediction with a measurement, gene by gene. NumPy only.

Every matrix is (n, G): spots in rows, genes in columns, truth and prediction in the same unit and with the
same rows. Correlations are taken per gene across the spots of one section, never across genes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# A column is constant if its spread is this small beside its largest value: the rounding of float32.
_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class Pcc:
    """Pearson correlation of every gene across spots.

    Attributes
    ----------
    per_gene : (G,) float64
        In [-1, 1]; 0 where the truth or the prediction of a gene does not vary.
    constant : (G,) bool
        Genes whose truth or prediction does not vary.
    """

    per_gene: FloatArray
    constant: npt.NDArray[np.bool_]

    @property
    def mean(self) -> float:
        """Mean over all genes, constant ones counted as 0."""
        return float(self.per_gene.mean())

    @property
    def median(self) -> float:
        """Median over all genes, constant ones counted as 0."""
        return float(np.median(self.per_gene))

    @property
    def n_constant(self) -> int:
        """Number of genes that count as 0 because they do not vary."""
        return int(self.constant.sum())


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Scores of every gene in every resample of the spots' blocks.

    Attributes
    ----------
    pcc, mse, mae : (resamples, G) float64
        Summarise each row, then take `interval`: ``interval(draws.pcc.mean(axis=1))``.
    partial : (resamples, G) float64 or None
        Partial correlations given the covariate of each spot, where there is one.
    """

    pcc: FloatArray
    mse: FloatArray
    mae: FloatArray
    partial: FloatArray | None = None


def _pair(truth: npt.ArrayLike, prediction: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return both as (n, G) float64; raise ValueError if they do not fit."""
    t, p = (np.asarray(a, dtype=np.float64) for a in (truth, prediction))
    if t.shape != p.shape or t.ndim != 2:
        raise ValueError(f"truth {t.shape} and prediction {p.shape} must be the same spots x genes")
    if not t.size:
        raise ValueError("there are no spots or no genes to score")
    if not (np.isfinite(t).all() and np.isfinite(p).all()):
        raise ValueError("truth or prediction holds values that are not finite: score predicted spots only")
    return t, p


def _flat(values: FloatArray) -> npt.NDArray[np.bool_]:
    """Return a mask (G,) of the columns of (n, G) that do not vary."""
    return np.asarray(np.ptp(values, axis=0) <= _FLAT * np.abs(values).max(axis=0))


def pcc(truth: npt.ArrayLike, prediction: npt.ArrayLike) -> Pcc:
    """Correlate each gene across spots.

    Parameters
    ----------
    truth, prediction : (n, G) arrays

    Returns
    -------
    Pcc
        A gene that is constant in the truth or in the prediction counts as 0.

    Raises
    ------
    ValueError
        If the shapes differ, there are no spots or genes, or a value is not finite.
    """
    t, p = _pair(truth, prediction)
    constant = _flat(t) | _flat(p)
    t, p = t - t.mean(axis=0), p - p.mean(axis=0)
    norm = np.sqrt((t * t).sum(axis=0) * (p * p).sum(axis=0))
    constant |= norm == 0
    r = (t * p).sum(axis=0) / np.where(constant, 1.0, norm)
    return Pcc(np.where(constant, 0.0, np.clip(r, -1.0, 1.0)), constant)


def partial_pcc(truth: npt.ArrayLike, prediction: npt.ArrayLike, given: npt.ArrayLike) -> Pcc:
    """Correlate each gene across spots, given a covariate: what is left of truth and prediction without it.

    The partial correlation ``(r_tp - r_tz r_pz) / sqrt((1 - r_tz^2)(1 - r_pz^2))``, which is the correlation of the
    residuals of both, each regressed on the covariate with an intercept.

    Parameters
    ----------
    truth, prediction : (n, G) arrays
    given : (n,) array
        The covariate z of each spot, such as the logarithm of its library size.

    Returns
    -------
    Pcc
        A gene whose truth or prediction does not vary, or follows from the covariate alone, counts as 0. A covariate
        that does not vary takes nothing away.

    Raises
    ------
    ValueError
        As `pcc`, or if the covariate does not fit.
    """
    t, p = _pair(truth, prediction)
    z = _covariate(given, len(t))
    constant, floors = _flat(t) | _flat(p), [(_FLAT * np.abs(v).max(axis=0)) ** 2 for v in (t, p)]
    t, p, z = t - t.mean(axis=0), p - p.mean(axis=0), z - z.mean()
    moments = [(a * b).mean(axis=0) for a, b in ((t, t), (p, p), (t, p), (t, z), (p, z), (z, z))]
    r, found = _partial(*moments, *floors)
    return Pcc(np.where(constant, 0.0, r), constant | found)


def _covariate(given: npt.ArrayLike, spots: int) -> FloatArray:
    """Return a covariate as (n, 1) float64, or raise ValueError."""
    z = np.asarray(given, dtype=np.float64)
    if z.shape != (spots,) or not np.isfinite(z).all():
        raise ValueError(f"the covariate must be one finite number for each of {spots} spots, got shape {z.shape}")
    return z[:, None]


def _partial(
    tt: FloatArray,
    pp: FloatArray,
    tp: FloatArray,
    tz: FloatArray,
    pz: FloatArray,
    zz: FloatArray,
    floor_t: FloatArray,
    floor_p: FloatArray,
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Compute partial correlations from (co)variances, (..., G); also a mask of those that count as 0.

    These leave no more variance than `floor_t` and `floor_p`, (G,), without the covariate z.
    """
    known = zz > 0
    over = np.where(known, zz, 1.0)
    tz, pz = np.where(known, tz, 0.0), np.where(known, pz, 0.0)
    left_t, left_p = tt - tz * tz / over, pp - pz * pz / over
    constant = (left_t <= floor_t) | (left_p <= floor_p)
    r = (tp - tz * pz / over) / np.sqrt(np.where(constant, 1.0, left_t * left_p))
    return np.where(constant, 0.0, np.clip(r, -1.0, 1.0)), constant


def pearson_residuals(
    counts: npt.ArrayLike,
    depth: npt.ArrayLike,
    *,
    share: npt.ArrayLike | None = None,
    theta: float = 100.0,
    clip: float | None = None,
) -> FloatArray:
    """Take from counts what the depth of each spot explains.

    Analytic Pearson residuals (Lause, Berens and Kobak, Genome Biology 2021, doi:10.1186/s13059-021-02451-7) of a
    negative binomial: ``(x - mu) / sqrt(mu + mu^2 / theta)`` with mu = depth times the gene's share, clipped.

    Parameters
    ----------
    counts : (n, G) array
        Raw counts x.
    depth : (n,) array
        Library size of each spot: the sum over ALL measured genes.
    share : (G,) array, optional
        Each gene's part of all counts; by default, over these spots.
    theta : float
        Overdispersion.
    clip : float, optional
        Largest absolute value; by default, the root of n.

    Returns
    -------
    (n, G) float64
        0 for a gene without any count, and in a spot without any.

    Raises
    ------
    ValueError
        If shapes do not fit, or shares are to be taken where there is no count at all.
    """
    x, size = np.asarray(counts, dtype=np.float64), np.asarray(depth, dtype=np.float64)
    if x.ndim != 2 or size.shape != x.shape[:1]:
        raise ValueError(f"counts {x.shape} must be spots x genes, and depth {size.shape} one number for each spot")
    if share is None and not size.sum() > 0:
        raise ValueError("without any count the genes have no shares")
    part = x.sum(axis=0) / size.sum() if share is None else np.asarray(share, dtype=np.float64)
    mu = size[:, None] * part
    limit = np.sqrt(len(x)) if clip is None else clip
    return np.clip((x - mu) / np.sqrt(np.where(mu > 0, mu + mu * mu / theta, 1.0)), -limit, limit)


def mse(truth: npt.ArrayLike, prediction: npt.ArrayLike) -> FloatArray:
    """Mean squared error of each gene over the spots, (G,), in the unit squared."""
    t, p = _pair(truth, prediction)
    return np.asarray(((t - p) ** 2).mean(axis=0))


def mae(truth: npt.ArrayLike, prediction: npt.ArrayLike) -> FloatArray:
    """Mean absolute error of each gene over the spots, (G,), in the unit of the matrices."""
    t, p = _pair(truth, prediction)
    return np.asarray(np.abs(t - p).mean(axis=0))


def mse_ratio(truth: npt.ArrayLike, prediction: npt.ArrayLike, profile: npt.ArrayLike) -> float:
    """Mean squared error over all genes, divided by that of one given profile for every spot.

    Parameters
    ----------
    truth, prediction : (n, G) arrays
    profile : (G,) array
        Usually the mean over the training spots. Below 1, the prediction knows more than this profile.

    Returns
    -------
    float
        Infinite if the profile makes no error and the prediction does.
    """
    t, p = _pair(truth, prediction)
    guess = np.broadcast_to(np.asarray(profile, dtype=np.float64), t.shape)
    error, reference = float(mse(t, p).mean()), float(mse(t, guess).mean())
    if reference == 0:
        return 1.0 if error == 0 else float("inf")
    return error / reference


def spatial_blocks(centres: npt.ArrayLike, *, side: float | None = None, count: int = 30) -> IntArray:
    """Put places into square blocks, so that neighbours are resampled together.

    Neighbouring spots are alike: resampling them one by one would make intervals too narrow.

    Parameters
    ----------
    centres : (n, 2) array
        Places (x, y), in any one unit of length.
    side : float, optional
        Side of a block in that unit. By default, about `count` blocks cover the places' bounding box.
    count : int

    Returns
    -------
    (n,) int64
        Block of each place, numbered from 0 without gaps.
    """
    c = np.asarray(centres, dtype=np.float64).reshape(-1, 2)
    if not len(c) or not np.isfinite(c).all():
        raise ValueError("blocks need at least one place, all of them finite")
    origin, extent = c.min(axis=0), np.ptp(c, axis=0)
    if side is None:
        area = float(extent.prod())
        side = float(np.sqrt(area / count)) if area > 0 else float(extent.max()) / count
    if side <= 0:
        return np.zeros(len(c), dtype=np.int64)
    # The farthest place lies on the box's border: a millionth more keeps it in the last block.
    cell = np.floor((c - origin) / (side * (1 + 1e-6))).astype(np.int64)
    _, block = np.unique(cell, axis=0, return_inverse=True)
    return np.asarray(block, dtype=np.int64).reshape(-1)


def _block_sums(values: FloatArray, blocks: IntArray, count: int) -> FloatArray:
    """Sum the rows of (n, G) that share a block: (count, G)."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, blocks, values)
    return sums


def bootstrap(
    truth: npt.ArrayLike,
    prediction: npt.ArrayLike,
    blocks: npt.ArrayLike,
    *,
    given: npt.ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Bootstrap:
    """Score the genes many times, over blocks of spots drawn with replacement.

    Each draw takes as many blocks as there are. The scores follow from sums per block, so a thousand resamples are
    one matrix product. The same `blocks`, `resamples` and `seed` give the same draws for every prediction, so models
    can be compared draw by draw.

    Parameters
    ----------
    truth, prediction : (n, G) arrays
    blocks : (n,) ints
        Block of each spot, as from `spatial_blocks`.
    given : (n,) array, optional
        A covariate of each spot: partial correlations given it are drawn as well.
    resamples, seed : int

    Returns
    -------
    Bootstrap
        If a gene does not vary in a draw, its PCC is 0.
    """
    t, p = _pair(truth, prediction)
    _, block = np.unique(np.asarray(blocks), return_inverse=True)
    if block.shape != (len(t),):
        raise ValueError(f"{len(t)} spots but blocks of shape {block.shape}")
    count = int(block.max()) + 1
    error = t - p
    t, p = t - t.mean(axis=0), p - p.mean(axis=0)
    z = np.zeros((len(t), 1)) if given is None else _covariate(given, len(t))
    z = z - z.mean()
    flat_t, flat_p, flat_z = ((_FLAT * np.abs(v).max(axis=0)) ** 2 for v in (t, p, z))
    columns = [np.ones((len(t), 1)), z, z * z, t, p, t * t, p * p, t * p, error**2, np.abs(error)]
    columns += [] if given is None else [t * z, p * z]
    stacked = _block_sums(np.concatenate(columns, axis=1), block, count)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    sums = drawn.astype(np.float64) @ stacked  # (resamples, 3 + 7 G or 9 G)
    means = sums[:, 1:] / sums[:, :1]
    mz, zz = means[:, :1], means[:, 1:2]
    mt, mp, tt, pp, tp, squared, absolute, *crossed = np.split(means[:, 2:], len(columns) - 3, axis=1)
    vt, vp, both = tt - mt * mt, pp - mp * mp, tp - mt * mp
    constant = (vt <= flat_t) | (vp <= flat_p) | pcc(truth, prediction).constant
    r = np.where(constant, 0.0, np.clip(both / np.sqrt(np.where(constant, 1.0, vt * vp)), -1.0, 1.0))
    if given is None:
        return Bootstrap(r, squared, absolute)
    tz, pz = (crossed[i] - m * mz for i, m in enumerate((mt, mp)))
    vz = zz - mz * mz
    partial, _ = _partial(vt, vp, both, tz, pz, np.where(vz <= flat_z, 0.0, vz), flat_t, flat_p)
    constant = constant | partial_pcc(truth, prediction, given).constant
    return Bootstrap(r, squared, absolute, np.where(constant, 0.0, partial))


def interval(draws: npt.NDArray[np.floating[Any]], level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Lower and upper end of the percentile interval over the first axis of `draws`.

    Parameters
    ----------
    draws : (resamples, ...) array
    level : float
        Between 0 and 1.

    Returns
    -------
    low, high : arrays of shape ``draws.shape[1:]``
    """
    if not 0 < level < 1:
        raise ValueError(f"an interval's level lies between 0 and 1, got {level}")
    tail = 50 * (1 - level)
    low, high = np.percentile(np.asarray(draws, dtype=np.float64), [tail, 100 - tail], axis=0)
    return np.asarray(low), np.asarray(high)
