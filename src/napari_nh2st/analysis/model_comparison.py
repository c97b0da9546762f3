"""Several models on one slide: where they disagree about a gene, and how far they agree about each.

Models shrink their predictions each in its own way, and may answer in different units. They are therefore compared in
units of each one's own spread: z = (value - mean) / standard deviation, over the tissue that all have predicted
(`common_places`). The mean square of the difference of two such maps is 2 (1 - r), where r is their Pearson
correlation: the table of genes and the map of one gene say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st import metrics
from napari_nh2st.analysis.common_places import CommonPlaces, common_places
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.model.card import Card
from napari_nh2st.model.find_genes import find_genes

if TYPE_CHECKING:
    import pandas as pd

    from napari_nh2st.analysis.models_at_spots import ModelsAtSpots

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

APART = 1.0  # standard deviations: tiles at which models differ by more are counted
_FLAT = 1e-6  # of a map's largest value: the rounding of float32
_CHUNK = 2**24  # values that are decoded at once


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """Several models on one slide.

    Attributes
    ----------
    names : tuple of str
        The k models.
    predictions : tuple of Prediction
    common : CommonPlaces
        The m places at which all have predicted, ``common.places.centres`` in level-0 pixels.
    rows : dict of str to tuple of int
        The genes that all of them predict, in the first one's order, each with its row in each decoder.
    measured : ModelsAtSpots or None
        Which model is right where, if the section was measured.
    """

    names: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    common: CommonPlaces
    rows: dict[str, tuple[int, ...]]
    measured: ModelsAtSpots | None = None

    def __len__(self) -> int:
        return len(self.common)

    def __repr__(self) -> str:
        return f"ModelComparison({' and '.join(self.names)}: {len(self.genes):,} genes, {len(self):,} common tiles)"

    @property
    def genes(self) -> list[str]:
        """Genes that all models predict, in the first one's order."""
        return list(self.rows)

    def find(self, gene: str) -> str:
        """Return a gene's symbol as the first model has it, by any of its names.

        Raises
        ------
        Nh2stError
            If one of the models does not predict it.
        """
        if gene in self.rows:
            return gene
        (symbol,) = find_genes(self.predictions[0].card, [gene])
        if symbol not in self.rows:
            raise Nh2stError(f"not all of {', '.join(self.names)} predict {symbol}")
        return symbol

    def values(self, gene: str) -> F32:
        """Predictions (k, m) of a gene, each model's in its own unit."""
        rows = self.rows[self.find(gene)]
        # of_finite makes numbers of what is not predicted: those places have no weight
        decoded = (p.decoder.of_finite(p.hidden, row) for p, row in zip(self.predictions, rows, strict=True))
        return np.stack([self.common.lay(i, values) for i, values in enumerate(decoded)])

    def z_scores(self, gene: str) -> F32:
        """Predictions (k, m) of a gene in units of each model's spread; NaN if a model predicts it the same everywhere.

        z = (value - mean) / standard deviation, both over the common places (n in the denominator).
        """
        return z_scores(self.values(gene))

    def disagreement(self, gene: str) -> F32:
        """How far the models disagree about a gene at each common place, (m,), in standard deviations.

        Of two models, the second one's z-score less the first one's: above 0 the second one predicts more there,
        measured by what is usual for it on this slide. Of more models, the highest z-score less the lowest.
        """
        return disagreement_of(self.values(gene))

    def table(
        self,
        *,
        tell: Callable[[int, int], object] = lambda done, total: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> pd.DataFrame:
        """Return how far the models agree, one row a gene, the best agreement first.

        Returns
        -------
        DataFrame
            ``PCC``: Pearson's r of two models across the common tiles, NaN if one predicts the gene the same
            everywhere; of more models, the mean over all pairs, and ``lowest``, that of the pair that agrees least.
            ``apart``: share of tiles at which they differ by more than one standard deviation. ``tiles``: how many
            there are. Neighbouring tiles are alike: that is no number of independent observations.

        Raises
        ------
        Cancelled
        """
        import pandas as pd

        pairs = list(combinations(range(len(self.names)), 2))
        correlations, apart = [], []
        done = 0
        for genes in self._chunks():
            if cancelled():
                raise Cancelled("stopped")
            laid = self._laid(genes)
            correlations.append([_pcc(laid[a], laid[b]) for a, b in pairs])
            z = z_scores(laid)
            far = z.max(axis=0) - z.min(axis=0)
            apart.append(np.where(np.isnan(far).any(axis=0), np.nan, (far > APART).mean(axis=0)))
            tell(done := done + len(genes), len(self.genes))
        by_pair = np.concatenate(correlations, axis=1)
        frame = pd.DataFrame({"PCC": by_pair.mean(axis=0)}, index=pd.Index(self.genes, name="gene"))
        if len(pairs) > 1:
            frame["lowest"] = by_pair.min(axis=0)
        frame["apart"], frame["tiles"] = np.concatenate(apart), len(self)
        return frame.sort_values("PCC", ascending=False, kind="stable")

    def tiles(self, genes: str | Iterable[str] | None = None) -> pd.DataFrame:
        """Return the disagreement at each common tile: centres ``x_px``, ``y_px`` in level-0 pixels, then the genes.

        Parameters
        ----------
        genes : str or iterable of str, optional
            All by default.
        """
        import pandas as pd

        wanted = self.genes if genes is None else [genes] if isinstance(genes, str) else list(genes)
        named = [self.find(gene) for gene in wanted]
        x, y = self.common.places.centres.T
        return pd.DataFrame({"x_px": x, "y_px": y, **{gene: self.disagreement(gene) for gene in named}})

    def _chunks(self) -> Iterator[list[str]]:
        """Yield genes, some at a time: all of many tiles would not fit into memory."""
        size = max(1, _CHUNK // max(len(p) for p in self.predictions) // len(self.predictions))
        for start in range(0, len(self.genes), size):
            yield self.genes[start : start + size]

    def _laid(self, genes: Sequence[str]) -> F32:
        """Predictions (k, m, G) of genes on the common places."""
        laid = []
        for i, prediction in enumerate(self.predictions):
            rows = [self.rows[gene][i] for gene in genes]
            laid.append(self.common.lay(i, prediction.decoder(prediction.hidden, rows)))
        return np.stack(laid)


def disagreement_of(values: F32) -> F32:
    """Return how far predictions (k, m) of k models disagree, (m,), as `ModelComparison.disagreement` has it."""
    z = z_scores(values)
    out: F32 = z[1] - z[0] if len(z) == 2 else z.max(axis=0) - z.min(axis=0)
    return out


def compare_predictions(predictions: Sequence[Prediction], names: Sequence[str] | None = None) -> ModelComparison:
    """Compare what several models predict on one slide.

    Parameters
    ----------
    predictions : sequence of Prediction
        Of one slide; their lattices may differ.
    names : sequence of str, optional
        Of the models; those of their cards by default.

    Raises
    ------
    Nh2stError
        If there is only one, they have no gene in common, or as `common_places`.
    """
    if len(predictions) < 2:
        raise Nh2stError("compare at least two predictions of one slide, each of another model")
    named = distinct_names([p.card.name for p in predictions]) if names is None else tuple(names)
    rows = common_genes([p.card for p in predictions])
    if not rows:
        raise Nh2stError(f"{' and '.join(named)} have no gene in common")
    return ModelComparison(named, tuple(predictions), common_places(predictions, named), rows)


def common_genes(cards: Sequence[Card]) -> dict[str, tuple[int, ...]]:
    """Find the genes that all models predict, by symbol, then by Ensembl id where both have ids.

    Returns
    -------
    dict of str to tuple of int
        In the first card's order, each with its place in each card's panel.
    """
    lookups = [_rows_of(card) for card in cards[1:]]
    found = {}
    for i, gene in enumerate(cards[0].genes):
        ensembl = cards[0].ensembl[i] if cards[0].ensembl else None
        others = [lookup.get(gene, lookup.get(_bare(ensembl))) for lookup in lookups]
        if None not in others:
            found[gene] = (i, *(row for row in others if row is not None))
    return found


def _rows_of(card: Card) -> dict[str | None, int]:
    """Return the row of each gene by its symbol, and by its id."""
    ids = {_bare(ensembl): i for i, ensembl in enumerate(card.ensembl or []) if ensembl}
    return {**ids, **{gene: i for i, gene in enumerate(card.genes)}}


def _bare(ensembl: str | None) -> str | None:
    """Return an Ensembl id without its version."""
    return ensembl.partition(".")[0] if ensembl else None


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """Give names that are there more than once a number: a, a (2)."""
    return tuple(
        name if names[:i].count(name) == 0 else f"{name} ({names[:i].count(name) + 1})"
        for i, name in enumerate(list(names))
    )


def z_scores(values: npt.NDArray[np.floating]) -> F32:
    """Standardise values (k, m) or (k, m, G) over m; NaN where they are the same everywhere."""
    exact = values.astype(np.float64)
    spread = exact.std(axis=1, keepdims=True)
    flat = spread <= _FLAT * np.abs(exact).max(axis=1, keepdims=True)
    out: F32 = ((exact - exact.mean(axis=1, keepdims=True)) / np.where(flat, np.nan, spread)).astype(np.float32)
    return out


def _pcc(a: F32, b: F32) -> F64:
    """Correlate each gene of (m, G) across places; NaN where one does not vary."""
    found = metrics.pcc(a, b)
    return np.where(found.constant, np.nan, found.per_gene)
