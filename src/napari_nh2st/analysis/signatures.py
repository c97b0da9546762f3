"""Signatures: the score of a set of genes at each place, as scanpy's `score_genes` computes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.model.card import Card
from napari_nh2st.model.decoder import Decoder
from napari_nh2st.reading import read_lines

CONTROLS = 50  # scanpy's defaults: control genes per level of expression,
LEVELS = 25  # levels into which the panel is cut,
SEED = 0  # and what draws the control genes
_PER_LEVEL = 10  # genes per level: a small panel is cut into fewer levels
_WIDEST = 5_000  # length of a hidden vector: scanpy gets a table of twice as many rows
_CHUNK = 16_384  # hidden vectors that are scored at once

_BETWEEN = re.compile(r"[\s,;|\"'()\[\]{}]+")
_GMT = "a line is a name, a description and the genes, with tabs between them"


@dataclass(frozen=True)
class GeneSet:
    """A named set of genes, as written."""

    name: str
    genes: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """Genes of a set that a panel has, and those that it lacks.

    Attributes
    ----------
    genes : tuple of str
        As the panel spells them.
    missing : tuple of str
        As the set spells them.
    """

    genes: tuple[str, ...]
    missing: tuple[str, ...]


def parse_genes(text: str) -> tuple[str, ...]:
    """Read the genes in a text, each once: names between blanks, commas, semicolons, quotes or line ends.

    Raises
    ------
    Nh2stError
        If there are none.
    """
    words = _BETWEEN.split(re.sub(r"\bc\(", " ", text))  # c("A", "B") is how R writes it
    genes = _once(word for word in words if word)
    if not genes:
        raise Nh2stError("there are no genes in the text: paste their names, with blanks or commas between them")
    return genes


def read_gmt(path: str | Path) -> list[GeneSet]:
    """Read a file of gene sets, one a line: its name, a description and the genes, with tabs between them.

    A weight behind a comma ("ERBB2,1.0") is left out. The format: Broad Institute, "GMT: Gene Matrix Transposed".

    Raises
    ------
    Nh2stError
        It names the line that has another form.
    """
    path = Path(path)
    lines = read_lines(path, "the gene sets")
    sets: dict[str, GeneSet] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *rest = (field.strip() for field in line.split("\t"))
        genes = _once(gene.split(",")[0].strip() for gene in rest[1:] if gene)
        if not name or not genes:
            raise Nh2stError(f"line {number} of {path.name} has no {'genes' if name else 'name'}: {_GMT}")
        if name in sets:
            raise Nh2stError(f"line {number} of {path.name} names the set {name} a second time")
        sets[name] = GeneSet(name, genes)
    if not sets:
        raise Nh2stError(f"{path.name} holds no gene set: {_GMT}")
    return list(sets.values())


def match(genes: Iterable[str], panel: Sequence[str]) -> Match:
    """Find genes in a panel, ignoring case."""
    spelt = {gene.casefold(): gene for gene in panel}
    in_panel = _once(spelt[gene.casefold()] for gene in genes if gene.casefold() in spelt)
    return Match(in_panel, _once(gene for gene in genes if gene.casefold() not in spelt))


def mean_trust(card: Card, genes: Sequence[str]) -> tuple[float, int] | None:
    """Return the mean held-out PCC of the genes that have one, and their number; None if none has."""
    evaluated = card.evaluation.genes if card.evaluation else {}
    figures = [evaluated[gene].pcc for gene in genes if gene in evaluated]
    return (float(np.mean(figures)), len(figures)) if figures else None


def levels_for(panel: int) -> int:
    """Return the number of expression levels for a panel: scanpy's 25, fewer if it has few genes."""
    return max(2, min(LEVELS, panel // _PER_LEVEL + 1))


def score(
    prediction: Prediction,
    genes: Sequence[str],
    *,
    controls: int = CONTROLS,
    levels: int | None = None,
    seed: int = SEED,
    tell: Callable[[int, int], None] = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> npt.NDArray[np.float32]:
    """Score a set of genes at each place: its mean minus the mean of control genes with similar expression.

    The method is that of Satija et al., "Spatial reconstruction of single-cell gene expression data", 2015, by
    `scanpy.tl.score_genes`: it ranks the panel by mean prediction over all places, cuts the ranking into levels, and
    draws the controls from the levels in which the set has genes, without the set itself.

    Parameters
    ----------
    prediction : Prediction
    genes : sequence of str
        Of the model's panel.
    controls, levels, seed : int
        `ctrl_size`, `n_bins` and `random_state` of scanpy; the levels are `levels_for` the panel by default.
    tell, cancelled : callable
        `tell` counts places.

    Returns
    -------
    (n,) float32, NaN where nothing is predicted

    Raises
    ------
    Nh2stError
        If no control gene is left.
    Cancelled
        Soon after `cancelled()` has turned true.
    """
    hidden, done, total = prediction.hidden, np.zeros(len(prediction), dtype=bool), 2 * len(prediction)
    summed = np.zeros(prediction.decoder.width)
    for part in _parts(len(hidden), cancelled):
        done[part] = np.isfinite(hidden[part, 0])
        summed += hidden[part][done[part]].astype(np.float64).sum(axis=0)
        tell(part.stop, total)
    if not done.any():
        raise Nh2stError("nothing is predicted yet: there is nothing to score")
    mean = summed / done.sum()
    weight, level = _as_one_gene(
        prediction.decoder, prediction.genes, genes, mean, controls, levels or levels_for(len(prediction.genes)), seed
    )
    out = np.empty(len(hidden), dtype=np.float32)
    for part in _parts(len(hidden), cancelled):
        out[part] = (hidden[part].astype(np.float32) - mean.astype(np.float32)) @ weight.astype(np.float32) + level
        tell(len(hidden) + part.stop, total)
    return out


def _as_one_gene(
    decoder: Decoder,
    panel: Sequence[str],
    genes: Sequence[str],
    mean: npt.NDArray[np.float64],
    controls: int,
    levels: int,
    seed: int,
) -> tuple[npt.NDArray[np.float64], float]:
    """Let scanpy choose the controls; return the score as weights (h,) of a hidden vector minus `mean`, and its level.

    Predictions are linear in the hidden vector, and so is the score. scanpy scores a few made-up places, one step
    along each direction and one back from the mean. Their genes have the slide's means, so the controls are the
    slide's, and no matrix of all places by all genes is needed, however large the slide is.
    """
    import pandas as pd
    import scanpy as sc
    from anndata import AnnData

    if decoder.width > _WIDEST:
        raise Nh2stError(f"signatures are for models of at most {_WIDEST:,} genes: this one predicts {len(panel):,}")
    at_mean = decoder.weight.astype(np.float64) @ mean + decoder.bias
    steps = decoder.weight.T.astype(np.float64)
    made_up = np.concatenate([at_mean[None], at_mean + steps, at_mean - steps])
    adata = AnnData(made_up, var=pd.DataFrame(index=pd.Index(panel)))
    adata.obs_names = [str(i) for i in range(len(made_up))]
    try:
        sc.tl.score_genes(adata, list(genes), ctrl_size=controls, n_bins=levels, random_state=seed, ctrl_as_ref=True)
    except RuntimeError as error:  # "No control genes found in any cut."
        raise Nh2stError(
            "the model has no other genes with similar expression, so there is nothing to compare the set with: "
            "take fewer genes, or a model with more of them"
        ) from error
    level, ahead, back = np.split(adata.obs["score"].to_numpy(), [1, 1 + len(mean)])
    return (ahead - back) / 2, float(level[0])


def _parts(n: int, cancelled: Callable[[], bool]) -> Iterator[slice]:
    for start in range(0, n, _CHUNK):
        if cancelled():
            raise Cancelled("stopped")
        yield slice(start, min(n, start + _CHUNK))


def _once(words: Iterable[str]) -> tuple[str, ...]:
    """Keep the first of each, ignoring case."""
    kept: dict[str, str] = {}
    for word in words:
        kept.setdefault(word.casefold(), word)
    return tuple(kept.values())
