"""Anchor spots: a few measured spots of a slide correct its prediction in closed form.

A Gaussian process predicts what the model leaves out (Rasmussen and Williams, *Gaussian Processes for Machine
Learning*, 2006, chapters 2 and 5). Two places are alike as far as their hidden vectors are, and as far as they lie near
each other:

    k(x, x') = LIKE exp(-GAMMA |z - z'|^2 / columns) + (1 - LIKE) exp(-|x - x'| / LENGTH)

z is a hidden vector in units of its spread over the slide. Of n anchors the residuals R (n, G), in units of each gene's
spread in training, first give each gene a shift, their mean shrunk towards 0. What is left is turned into its principal
directions between genes, since one cause, such as depth, moves many genes at once. Each direction u gets its weights
``(K + noise D)^-1 u``, averaged over NOISES by how well each explains it (its marginal likelihood). D is 1 for a spot
of median depth and falls with the root of depth. The correction ``k(x, anchors) M + shift`` is a product like the
prediction itself: hidden vectors and decoder get further columns, and whatever reads a prediction reads a corrected
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st import metrics
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Nh2stError, SampleError
from napari_nh2st.geometry import FloatArray, IntArray
from napari_nh2st.model.decoder import Decoder, ValuesDecoder

if TYPE_CHECKING:
    import anndata as ad

    from napari_nh2st.model.card import Card

KEY = "anchors"
"""In the provenance of a corrected prediction: which spots, and how many columns they added."""

# Chosen on inner splits of C2, C3 and C4, and on B4 (docs/results.md); the score is flat round them.
LIKE = 0.5
GAMMA = 0.6
LENGTH = 400.0  # micrometres
NOISES = (0.5, 1.0, 2.0, 4.0, 8.0)  # variance of a measured residual relative to what likeness explains
SHIFT = 2.0  # so many anchors take half of their mean for the shift
FEWEST, MOST = 3, 2000
JUDGED = 10  # with fewer spots, a correlation across them says nothing

_COLUMNS = 512  # of a hidden vector that are compared: those of the largest spread
_RANK = 128  # columns that are added at most, as many as a kernel head has
_AT_ONCE = 8192
_FLOOR = 1e-3  # of the largest spread of a column: below it lies rounding

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Anchors:
    """Measured spots of one slide.

    Attributes
    ----------
    source : str
        The section that they are of.
    names : list of str
        The n spots.
    centres : (n, 2) float64
        (x, y) in level-0 pixels.
    genes : list of str
        Genes of the model that were measured, by the model's names.
    values : (n, G) float32
        In the unit of the model's labels.
    depth : (n,) float64
        Counts over all genes.
    """

    source: str
    names: list[str]
    centres: FloatArray
    genes: list[str]
    values: F32
    depth: FloatArray

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, source: str, data: ad.AnnData, card: Card) -> Anchors:
        """Take the spots of a measured section.

        Parameters
        ----------
        source : str
            Its name.
        data : AnnData
            Raw counts over all measured genes, ``obsm["spatial"]`` in level-0 pixels: `SectionFindings.admit`.
        card : Card
            Of the model.

        Raises
        ------
        SampleError
            If the model's unit is not that of the labels, or none of its genes was measured.
        """
        from napari_nh2st.evaluation.protocol import measured_genes  # loads torch
        from napari_nh2st.expression import spot_counts

        if not card.answers_in_target:
            raise SampleError(
                f"{card.name} predicts {card.unit}, spots are measured in {card.target.unit}: anchors cannot correct "
                "another unit"
            )
        named, genes = measured_genes(source, data, card)
        names, centres = [str(name) for name in named.obs_names], np.asarray(named.obsm["spatial"], dtype=np.float64)
        counts = spot_counts(named, genes)
        depth = np.asarray(counts.depth, dtype=np.float64)
        return cls(source, names, centres, genes, card.only(genes).labels(counts), depth)

    def select(self, rows: npt.ArrayLike) -> Anchors:
        """Return some of the spots, by position or mask."""
        chosen = np.arange(len(self))[np.asarray(rows)]
        names = [self.names[i] for i in chosen]
        return replace(
            self, names=names, centres=self.centres[chosen], values=self.values[chosen], depth=self.depth[chosen]
        )

    def rows(self, names: Sequence[str]) -> IntArray:
        """Return the positions of the spots with these names, in this order.

        Raises
        ------
        SampleError
            If there is none of one of the names.
        """
        rows = {name: i for i, name in enumerate(self.names)}
        lacking = [name for name in names if name not in rows]
        if lacking:
            there = ", ".join(self.names[:3])
            raise SampleError(f"{self.source} has no spot {', '.join(lacking[:5])}; its spots are named {there}, ...")
        return np.array([rows[name] for name in dict.fromkeys(names)], dtype=np.int64)


@dataclass(frozen=True)
class Agreement:
    """How well the anchors are predicted before they are used, and after, each from the others alone.

    Attributes
    ----------
    error_before, error_after : float
        Mean squared error over spots and genes, in the square of the unit.
    pcc_before, pcc_after : float or None
        Mean over genes of the correlation across the spots; None of fewer than `JUDGED` spots.
    """

    error_before: float
    error_after: float
    pcc_before: float | None
    pcc_after: float | None


class Likeness:
    """Similarity of places of one slide, by hidden vector and by distance.

    Parameters
    ----------
    prediction : Prediction
        Of the slide; the spread of its hidden vectors is the unit in which they are compared.
    """

    def __init__(self, prediction: Prediction) -> None:
        self.mpp = mpp_of(prediction)
        hidden = own_columns(prediction)[prediction.done].astype(np.float32)
        if not len(hidden):
            raise Nh2stError("nothing is predicted on this slide yet: there is nothing to correct")
        std = hidden.std(axis=0)
        self._columns: IntArray = np.sort(np.argsort(-std, kind="stable")[:_COLUMNS])
        self._mean = hidden.mean(axis=0)[self._columns]
        self._std = np.maximum(std[self._columns], max(float(std.max()) * _FLOOR, 1e-12))

    def describe(self, prediction: Prediction) -> tuple[F32, F32]:
        """Return the places of a prediction of this slide as they are compared: vectors (n, k), micrometres (n, 2)."""
        hidden = own_columns(prediction)[:, self._columns].astype(np.float32)
        z = ((hidden - self._mean) / self._std).clip(-5, 5)
        return z, (prediction.places.centres * self.mpp).astype(np.float32)

    def between(self, a: tuple[F32, F32], b: tuple[F32, F32]) -> F32:
        """Return the similarity (n, m) of places that `describe` gave, 1 if equal."""
        alike = np.exp(-GAMMA / len(self._columns) * _squares(a[0], b[0]))
        out: F32 = LIKE * alike + (1 - LIKE) * np.exp(-np.sqrt(_squares(a[1], b[1])) / LENGTH)
        return out


def _squares(a: F32, b: F32) -> F32:
    """Return the squared distances (n, m)."""
    middle = np.nan_to_num(b).mean(axis=0)  # micrometres are far from 0
    a, b = a - middle, b - middle
    out: F32 = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * (a @ b.T)
    return np.maximum(out, 0)


def mpp_of(prediction: Prediction) -> float:
    """Return the micrometres per pixel of the slide that was predicted."""
    return prediction.places.scale and prediction.card.mpp / prediction.places.scale


def own_columns(prediction: Prediction) -> npt.NDArray[np.floating[Any]]:
    """Return the hidden vectors without the columns that anchors have added."""
    added = prediction.provenance.get(KEY, {}).get("columns", 0)
    return prediction.hidden[:, : prediction.hidden.shape[1] - added]


@dataclass(frozen=True, eq=False)
class Correction:
    """A correction of the prediction of one slide by anchors.

    Attributes
    ----------
    anchors : Anchors
    agreement : Agreement
    shift : (G,) float32
        Added to every place, of all genes of the model; 0 where a gene was not measured.
    """

    anchors: Anchors
    agreement: Agreement
    shift: F32
    _likeness: Likeness
    _at: tuple[F32, F32]
    _directions: F32  # (n, r)
    _loadings: F32  # (G, r)

    @property
    def facts(self) -> dict[str, Any]:
        """Facts about its anchors that a corrected prediction keeps."""
        return {
            "source": self.anchors.source,
            "count": len(self.anchors),
            "spots": self.anchors.names,
            "centres_px": np.round(self.anchors.centres, 1).tolist(),
            "genes": len(self.anchors.genes),
            "agreement": {key: value and round(value, 4) for key, value in vars(self.agreement).items()},
        }

    def apply(self, prediction: Prediction) -> Prediction:
        """Correct a prediction of the slide, at any places.

        Returns
        -------
        Prediction
            With further columns of hidden vectors and decoder; or with other values, where hidden vectors are values.
        """
        added = np.full((len(prediction), self._directions.shape[1]), np.nan, dtype=np.float32)
        done = np.flatnonzero(prediction.done)
        for start in range(0, len(done), _AT_ONCE):
            rows = done[start : start + _AT_ONCE]
            part = replace(prediction, places=prediction.places.select(rows), hidden=prediction.hidden[rows])
            added[rows] = self._likeness.between(self._likeness.describe(part), self._at) @ self._directions
        hidden, decoder = prediction.hidden, prediction.decoder
        columns = 0
        if isinstance(decoder, ValuesDecoder):
            hidden = (hidden + (added @ self._loadings.T + self.shift)).astype(hidden.dtype)
        else:
            columns = added.shape[1]
            hidden = np.concatenate([hidden, added.astype(hidden.dtype)], axis=1)
            weight = np.concatenate([decoder.weight, self._loadings], axis=1)
            decoder = Decoder(weight, decoder.bias + self.shift)
        provenance = {**prediction.provenance, KEY: {**self.facts, "columns": columns}}
        card = prediction.card.model_copy(update={"intervals": None})  # they were of what is not corrected
        return replace(prediction, hidden=hidden, decoder=decoder, card=card, provenance=provenance)


def correct(prediction: Prediction, at: Prediction, anchors: Anchors) -> Correction:
    """Fit a correction to anchors.

    Parameters
    ----------
    prediction : Prediction
        Of the slide.
    at : Prediction
        The same model's at the anchors, in their order; those where nothing was predicted are left out.

    Raises
    ------
    Nh2stError
        If the prediction is corrected already, or there are too few anchors, or too many.
    """
    if KEY in prediction.provenance:
        count = prediction.provenance[KEY].get("count")
        raise Nh2stError(f"this prediction is corrected with {count} spots already: correct the one it was made from")
    done = at.done
    anchors, at = anchors.select(done), at.only_done()
    if len(anchors) < FEWEST:
        raise Nh2stError(f"{len(anchors)} measured spots lie on predicted tissue: {FEWEST} or more are needed")
    if len(anchors) > MOST:
        raise Nh2stError(f"{len(anchors):,} spots: give at most {MOST:,}, or train with them (nh2st finetune)")
    likeness = Likeness(prediction)
    described = likeness.describe(at)
    similar = likeness.between(described, described).astype(np.float64)
    rows = prediction.gene_indices(anchors.genes)
    unit = _units(prediction.card, rows, anchors.values)
    predicted = at.decoder(at.hidden, rows).astype(np.float64)
    residuals = (anchors.values - predicted) / unit
    noise = np.sqrt(np.median(anchors.depth) / anchors.depth)
    shift = residuals.sum(axis=0) / (len(anchors) + SHIFT)
    process = ResidualProcess(similar, noise, residuals - shift)
    agreement = _agreement(anchors.values, predicted, unit * process.left_out(residuals), unit, residuals)
    left, sizes, right = np.linalg.svd(process.weights(), full_matrices=False)
    rank = min(_RANK, max(1, int((sizes > 1e-6 * sizes[0]).sum())))
    genes = len(prediction.genes)
    loadings, shifts = np.zeros((genes, rank), np.float32), np.zeros(genes, np.float32)
    loadings[rows] = (right[:rank].T * sizes[:rank]) * unit[:, None]
    shifts[rows] = shift * unit
    return Correction(anchors, agreement, shifts, likeness, described, left[:, :rank].astype(np.float32), loadings)


def _units(card: Card, rows: Sequence[int], values: F32) -> FloatArray:
    """Return each gene's spread: in training, or across the anchors where that is not known."""
    known = values.std(axis=0) if card.gene_stds is None else np.asarray(card.gene_stds)[list(rows)]
    return np.asarray(np.maximum(known, 1e-3), dtype=np.float64)


class ResidualProcess:
    """The Gaussian process of the residuals' principal directions, its noise averaged by evidence.

    Parameters
    ----------
    similar : (n, n)
        Kernel between the anchors.
    noise : (n,)
        Variances relative to one another.
    residuals : (n, G)
        Less their shift.
    """

    def __init__(self, similar: FloatArray, noise: FloatArray, residuals: FloatArray) -> None:
        self._kernel = similar
        left, sizes, right = np.linalg.svd(residuals, full_matrices=False)
        kept = max(1, int((sizes > 1e-8 * sizes[0]).sum()))
        self._directions, self._right = left[:, :kept] * sizes[:kept], right[:kept]
        # One decomposition answers for every noise: (K + a D)^-1 = B (V + a)^-1 B'.
        root = 1 / np.sqrt(noise)
        values, vectors = np.linalg.eigh(root[:, None] * similar * root)
        self._values, self._basis = np.maximum(values, 0), root[:, None] * vectors
        turned = self._basis.T @ left[:, :kept]
        evidence = np.array([self._evidence(a, turned) for a in NOISES])  # (noises, directions)
        share = np.exp(evidence - evidence.max(axis=0))
        self._share: FloatArray = share / share.sum(axis=0)

    def _evidence(self, noise: float, turned: FloatArray) -> FloatArray:
        """Log marginal likelihood of each direction, up to a constant, at the scale that suits it best."""
        spread = self._values + noise
        fit = (turned**2 / spread[:, None]).sum(axis=0)
        out: FloatArray = -0.5 * len(spread) * np.log(np.maximum(fit, 1e-300)) - 0.5 * np.log(spread).sum()
        return out

    def weights(self) -> FloatArray:
        """Return M (n, G): the correction is ``k(x, anchors) M``."""
        turned = self._basis.T @ self._directions
        out = sum(
            (self._basis / (self._values + a)) @ (turned * share) for a, share in zip(NOISES, self._share, strict=True)
        )
        weights: FloatArray = out @ self._right
        return weights

    def left_out(self, residuals: FloatArray) -> FloatArray:
        """Return what the others alone say of each anchor's residual, without the shift, (n, G).

        The others' shift is taken off, not that of all: else each anchor would pull its own answer the other way.
        """
        n = len(residuals)
        turned = residuals @ self._right.T
        shifts = (turned.sum(axis=0) - turned) / (n - 1 + SHIFT)
        out = np.zeros_like(turned)
        for a, share in zip(NOISES, self._share, strict=True):
            hat = self._kernel @ (self._basis / (self._values + a)) @ self._basis.T
            own = np.diag(hat).copy()
            np.fill_diagonal(hat, 0)
            hat /= (1 - own)[:, None]
            out += share * (hat @ turned - hat.sum(axis=1)[:, None] * shifts)
        said: FloatArray = out @ self._right
        return said


def _agreement(
    values: F32, predicted: FloatArray, said: FloatArray, unit: FloatArray, residuals: FloatArray
) -> Agreement:
    n = len(values)
    shifted = predicted + said + unit * (residuals.sum(axis=0) - residuals) / (n - 1 + SHIFT)
    before, after = (float(((values - p) ** 2).mean()) for p in (predicted, shifted))
    if n < JUDGED:
        return Agreement(before, after, None, None)
    pcc = [float(metrics.pcc(values, p).per_gene.mean()) for p in (predicted, predicted + said)]
    return Agreement(before, after, *pcc)
