"""Published recipes of scoring: one model's predictions, compared with labels made and averaged in different ways.

The predictions are the same in every row. Only the labels, the genes and the way in which correlations are taken
change, so the rows say how far the recipe alone moves a figure. Beside each figure stands what two predictors without
any skill reach, the training mean of each gene and the model's own answers given to other spots; and what one number a
spot reaches, as the depth of a spot is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from napari_nh2st import metrics
from napari_nh2st.errors import Nh2stError
from napari_nh2st.targets import SpotCounts
from napari_nh2st.training.sections.array_pitch import spacing_of

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Of the recipes that take a part of the genes or spots.
FEW = 50
SHUFFLES = 20
# Spots of the 3 x 3 neighbourhood of a square array lie up to 1.41 spot distances away, the six round a spot of a
# hexagonal one 1; the next ones 2 and 1.73.
_NEAR = 1.6
_TEN_THOUSAND = 1e4


@dataclass(frozen=True)
class LabelRecipe:
    """A row of the table: how labels are made, of which genes, and how correlations are taken.

    Attributes
    ----------
    name : str
    about : str
        What it is, a line.
    cite : str
        Where it is from.
    library : {"all", "panel", "none"}
        Counts are divided by the sum over all measured genes or over the panel's, per 10,000, or not at all.
    log : {"ln", "log10"}
        Of 1 + that.
    smoothed : bool
        Labels of test spots are means over the spot and its neighbours on the array.
    variable : bool
        Only the `FEW` genes whose labels vary most over the test spots.
    across : {"spots", "genes"}
        A correlation of each gene across spots, or of each spot across genes.
    best : bool
        Only the `FEW` highest correlations count, chosen on the test labels.
    pooled : bool
        The spots of all sections are taken together.
    warning : str
        What the figure owes to the recipe; empty where it owes nothing.
    """

    name: str
    about: str
    cite: str = "this project"
    library: Literal["all", "panel", "none"] = "all"
    log: Literal["ln", "log10"] = "ln"
    smoothed: bool = False
    variable: bool = False
    across: Literal["spots", "genes"] = "spots"
    best: bool = False
    pooled: bool = False
    warning: str = ""

    def labels(self, counted: SpotCounts, centres: npt.NDArray[np.float64]) -> FloatArray:
        """Make the labels (n, G) of spots at centres (n, 2) in any unit."""
        counts = counted.counts.astype(np.float64)
        if self.library != "none":
            size = counted.depth if self.library == "all" else counts.sum(axis=1)
            counts *= _TEN_THOUSAND / np.maximum(size, 1)[:, None]
        labels: FloatArray = np.log1p(counts) if self.log == "ln" else np.log10(1 + counts)
        return _smoothed(labels, centres) if self.smoothed else labels


RECIPES = {
    row.name: row
    for row in (
        LabelRecipe(
            "ours",
            "ln(1 + counts per 10,000 of the whole library), as measured; every gene of the panel, across the spots of "
            "each section",
        ),
        LabelRecipe(
            "smoothed",
            "ours, with test labels averaged over each spot and its neighbours",
            "as TRIPLEX and NH2ST do",
            smoothed=True,
            warning="the test set is not the measurement any more: noise that no image could explain is averaged away",
        ),
        LabelRecipe(
            "panel-library",
            "ours, with counts divided by the sum over the panel only",
            "as TRIPLEX and NH2ST do",
            library="panel",
            warning="labels of one gene depend on which others were chosen",
        ),
        LabelRecipe(
            "no-library",
            "ours, with ln(1 + counts): not divided by the library",
            "as the HEST-Benchmark does",
            library="none",
            warning="depth counts as skill: a larger library has more of every gene, so one number a spot scores",
        ),
        LabelRecipe(
            "variable-50",
            "ours, on the 50 genes of the panel that vary most among the test spots",
            variable=True,
            warning="the genes are chosen on the test labels",
        ),
        LabelRecipe(
            "best-50",
            "ours, averaged over the 50 genes with the highest correlation",
            "as TRIPLEX and NH2ST do",
            best=True,
            warning="the genes are chosen by the score itself: shuffled spots score too",
        ),
        LabelRecipe(
            "pooled",
            "ours, with the spots of all sections taken together",
            pooled=True,
            warning="differences between sections count as skill, and with one section there are none",
        ),
        LabelRecipe(
            "across-genes",
            "ours, each spot across genes instead of each gene across spots",
            across="genes",
            warning="that some genes are counted more than others everywhere is all it takes: look at the mean profile",
        ),
        LabelRecipe(
            "hest",
            "HEST-Benchmark's code: ln(1 + counts), 50 most variable genes, each gene across spots",
            "Jaume et al., NeurIPS 2024",
            library="none",
            variable=True,
            warning="depth counts as skill: one number a spot can do as well. The genes are chosen on the test labels",
        ),
        LabelRecipe(
            "triplex",
            "TRIPLEX: library of the panel, log10, smoothed; every gene across spots",
            "Chung et al., CVPR 2024",
            library="panel",
            log="log10",
            smoothed=True,
            warning="smoothed test labels",
        ),
        LabelRecipe(
            "triplex-best",
            "TRIPLEX: the same, averaged over the 50 genes with the highest correlation",
            "Chung et al., CVPR 2024",
            library="panel",
            log="log10",
            smoothed=True,
            best=True,
            warning="smoothed test labels, and the genes are chosen by the score itself",
        ),
        LabelRecipe(
            "released",
            "NH2ST's released code: labels as TRIPLEX's; each spot across genes, averaged over the 50 best spots",
            "Qu et al., MICCAI 2025",
            library="panel",
            log="log10",
            smoothed=True,
            across="genes",
            best=True,
            warning="the mean profile does nearly as well, and the spots are chosen by the score itself",
        ),
    )
}
"""The recipes by name: ours, then one change at a time, then the published ones."""


@dataclass(frozen=True, eq=False)
class MeasuredSpots:
    """The spots of one section as measured and as predicted.

    Attributes
    ----------
    counted : SpotCounts
        Counts (n, G), depth (n,).
    centres : (n, 2) float64
    predicted : (n, G) float
        In ln(1 + counts per 10,000); the recipes leave it as it is.
    """

    counted: SpotCounts
    centres: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.floating[Any]]


def recipes_named(text: str) -> list[str]:
    """Read names of recipes, separated by commas; ``all`` is every one.

    Raises
    ------
    Nh2stError
        If there is no such recipe.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in RECIPES and name != "all"]:
        raise Nh2stError(f"there is no recipe {', '.join(unknown)}: choose among {', '.join(RECIPES)}, or all")
    if not names:
        raise Nh2stError(f"name a recipe: {', '.join(RECIPES)}, or all")
    return list(RECIPES) if "all" in names else list(dict.fromkeys(names))


def score_recipe(
    recipe: LabelRecipe, sections: Sequence[MeasuredSpots], profile: npt.ArrayLike | None, *, seed: int = 0
) -> dict[str, Any]:
    """Score predictions under one recipe.

    Parameters
    ----------
    recipe : LabelRecipe
    sections : sequence of MeasuredSpots
        Of the same genes; they count alike, unless the recipe pools their spots.
    profile : (G,) or None
        Mean of each gene over the training spots.
    seed : int
        Of the shuffles and of the bootstrap.

    Returns
    -------
    dict
        ``figure``, with ``ci`` (95%, from resampled blocks of spots; genes or spots that were chosen stay chosen);
        ``mean_profile`` (None where `profile` is) and ``shuffled``, the mean over `SHUFFLES` orders of the spots;
        ``one_number``, where every gene gets the mean over genes of its spot's answer;
        ``averaged_over``, how many correlations are averaged.
    """
    truths = [recipe.labels(s.counted, s.centres) for s in sections]
    genes = _variable(truths) if recipe.variable else np.arange(truths[0].shape[1])
    truths, blocks = [t[:, genes] for t in truths], [metrics.spatial_blocks(s.centres) for s in sections]
    predicted = [np.asarray(s.predicted, dtype=np.float64)[:, genes] for s in sections]
    if recipe.pooled:
        first = np.cumsum([0, *(b.max() + 1 for b in blocks[:-1])])
        blocks = [np.concatenate([b + i for b, i in zip(blocks, first, strict=True)])]
        truths, predicted = [np.concatenate(truths)], [np.concatenate(predicted)]

    def mean_of(answers: Sequence[FloatArray]) -> float:
        return float(
            np.mean([_best(recipe, _correlations(recipe, t, p))[1] for t, p in zip(truths, answers, strict=True)])
        )

    rng = np.random.default_rng([seed, 8])
    shuffled = [mean_of([rng.permutation(p) for p in predicted]) for _ in range(SHUFFLES)]
    draws = [_draws(recipe, t, p, b, seed) for t, p, b in zip(truths, predicted, blocks, strict=True)]
    flat = None if profile is None else np.asarray(profile, dtype=np.float64)[genes]
    low, high = metrics.interval(np.mean(draws, axis=0))
    return {
        "figure": mean_of(predicted),
        "ci": [float(low), float(high)],
        "mean_profile": None if flat is None else mean_of([np.broadcast_to(flat, t.shape) for t in truths]),
        "shuffled": float(np.mean(shuffled)),
        "one_number": mean_of([np.broadcast_to(p.mean(axis=1, keepdims=True), p.shape) for p in predicted]),
        "averaged_over": [len(_best(recipe, _correlations(recipe, t, t))[0]) for t in truths],
    }


def _smoothed(labels: FloatArray, centres: npt.NDArray[np.float64]) -> FloatArray:
    """Average labels (n, G) over each spot and those that are next to it on the array."""
    near = cKDTree(centres).query_ball_point(centres, _NEAR * spacing_of(centres))
    return np.stack([labels[spots].mean(axis=0) for spots in near])


def _variable(truths: Sequence[FloatArray]) -> IntArray:
    """Choose the genes of the highest variance over the spots of all sections."""
    spread = np.concatenate(truths).var(axis=0)
    return np.sort(np.argsort(-spread, kind="stable")[:FEW])


def _correlations(recipe: LabelRecipe, truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Correlate each gene across spots, (G,), or each spot across genes, (n,)."""
    if recipe.across == "genes":
        truth, predicted = truth.T, predicted.T
    return metrics.pcc(truth, predicted).per_gene


def _best(recipe: LabelRecipe, correlations: FloatArray) -> tuple[IntArray, float]:
    """Choose the correlations that count, and average them."""
    order = np.argsort(-correlations, kind="stable")
    chosen = order[:FEW] if recipe.best else order
    return chosen, float(correlations[chosen].mean())


def _draws(
    recipe: LabelRecipe, truth: FloatArray, predicted: FloatArray, blocks: IntArray, seed: int, resamples: int = 1000
) -> FloatArray:
    """Draw the figure again over blocks of spots, (resamples,)."""
    each = _correlations(recipe, truth, predicted)
    chosen, _ = _best(recipe, each)
    if recipe.across == "spots":
        drawn = metrics.bootstrap(truth[:, chosen], predicted[:, chosen], blocks, resamples=resamples, seed=seed)
        means: FloatArray = drawn.pcc.mean(axis=1)
        return means
    _, block = np.unique(blocks[chosen], return_inverse=True)
    count = int(block.max()) + 1
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    total, spots = (times @ np.bincount(block, weights=w) for w in (each[chosen], np.ones(len(chosen))))
    return np.asarray(total / spots, dtype=np.float64)
