"""Several models at the measured spots of one section: which of them is right where.

Predictions shrink towards the mean, each model's in its own way, and a model may answer in another unit than that of
the measurement. All are therefore standardised over the spots, z = (value - mean) / standard deviation, and a model is
right where its z lies near the measured one. The mean square of that distance is 2 (1 - PCC), so that the map of a gene
and its PCC say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st import metrics
from napari_nh2st.analysis.measured import Comparison, compare
from napari_nh2st.analysis.model_comparison import distinct_names, z_scores
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.errors import SampleError
from napari_nh2st.geometry import FloatArray, TileSet

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

    from napari_nh2st.engine.section_descriptor import SectionDescriptor

F32 = npt.NDArray[np.float32]
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class ModelsAtSpots:
    """One section as measured and as several models predict it.

    Attributes
    ----------
    section : str
    names : tuple of str
        The k models.
    genes : list of str
        Genes that were measured and that all of them predict.
    centres : (n, 2) float64
        The spots that all of them have predicted, level-0 pixels.
    truth : (n, G) float32
        Measured values, in the unit of the models' common target.
    predicted : (k, n, G) float32
        Each model's in its own unit.
    trained_as : tuple of str
        For each model, the training section that this one is; empty if it is none of them.
    doubts : tuple of str
        What to know of the section.
    """

    section: str
    names: tuple[str, ...]
    genes: list[str]
    centres: FloatArray
    truth: F32
    predicted: F32
    trained_as: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.truth)

    def __repr__(self) -> str:
        models = " and ".join(self.names)
        return f"ModelsAtSpots({models} in {self.section}: {len(self.genes):,} genes, {len(self):,} spots)"

    def distances(self, gene: str) -> F32:
        """How far each model's standardised prediction is from the measured one, (k, n), in standard deviations.

        NaN where the gene was measured, or is predicted, the same everywhere.

        Raises
        ------
        KeyError
            If the gene was not measured, or a model does not predict it.
        """
        column = self._columns[gene]
        both = z_scores(np.concatenate([self.truth[None, :, column], self.predicted[:, :, column]]))
        out: F32 = np.abs(both[1:] - both[0])
        return out

    def nearest(self, gene: str) -> tuple[npt.NDArray[np.int64], F32]:
        """Tell which model is right where, and by how much.

        Returns
        -------
        (n,) int64
            The model that is nearest to the measured value; -1 where that cannot be told.
        (n,) float32
            How much nearer it is than the next one, in standard deviations; NaN where that cannot be told.
        """
        away = self.distances(gene)
        known = np.isfinite(away).all(axis=0)
        order = np.sort(away, axis=0)
        return np.where(known, np.argmin(np.nan_to_num(away), axis=0), -1), np.where(known, order[1] - order[0], np.nan)

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {gene: i for i, gene in enumerate(self.genes)}

    def table(self) -> pd.DataFrame:
        """Return which model is right, one row a gene.

        Returns
        -------
        DataFrame
            A column of PCCs for each model. Of two: ``difference``, the second one's PCC less the first one's, with its
            95% interval ``low`` and ``high`` over blocks of spots, the same for both, and ``nearer``, the share of
            spots at which the second one is nearer to the measured value; the largest difference first. ``spots``.
        """
        import pandas as pd

        scores = [metrics.pcc(self.truth, each).per_gene for each in self.predicted]
        frame = pd.DataFrame(dict(zip(self.names, scores, strict=True)), index=pd.Index(self.genes, name="gene"))
        by = self.names[0]
        if len(self.names) == 2:
            by, blocks = "difference", metrics.spatial_blocks(self.centres)
            draws = [metrics.bootstrap(self.truth, p, blocks, resamples=RESAMPLES).pcc for p in self.predicted]
            frame["difference"] = scores[1] - scores[0]
            frame["low"], frame["high"] = metrics.interval(draws[1] - draws[0])
            frame["nearer"] = [self._second_nearer(gene) for gene in self.genes]
        frame["spots"] = len(self)
        return frame.sort_values(by, ascending=False, kind="stable")

    def _second_nearer(self, gene: str) -> float:
        nearest, _ = self.nearest(gene)
        return float((nearest == 1).mean()) if (nearest >= 0).all() else float("nan")


def models_at_spots(comparisons: Sequence[Comparison], names: Sequence[str] | None = None) -> ModelsAtSpots:
    """Join what several models predict at the spots of one section.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Of one section with each model, as `measured.compare` makes them. Only spots and genes that all have are kept.
    names : sequence of str, optional
        Of the models; those of their cards by default.

    Raises
    ------
    SampleError
        If no gene, or fewer than three spots, are common to all, or they are measured in different units.
    """
    named = distinct_names([c.card.name for c in comparisons]) if names is None else tuple(names)
    scored = [c.scored for c in comparisons]
    if len({c.card.target.name for c in comparisons}) > 1:
        units = ", ".join(f"{name} in {c.card.unit}" for name, c in zip(named, comparisons, strict=True))
        raise SampleError(f"no measured value is right for all of these models: they predict in other units ({units})")
    genes = [gene for gene in scored[0].genes if all(gene in other.genes for other in scored[1:])]
    section = comparisons[0].name
    if not genes:
        raise SampleError(f"no gene of {section} was measured and is predicted by {' and '.join(named)}")
    spots = [{tuple(place): i for i, place in enumerate(np.round(s.centres, 3))} for s in scored]
    common = [place for place in spots[0] if all(place in other for other in spots[1:])]
    if len(common) < 3:
        raise SampleError(f"{' and '.join(named)} have {len(common)} spots of {section} in common: too few to compare")
    rows = [np.array([own[place] for place in common]) for own in spots]
    columns = [[s.genes.index(gene) for gene in genes] for s in scored]
    return ModelsAtSpots(
        section,
        named,
        genes,
        scored[0].centres[rows[0]],
        scored[0].truth[rows[0]][:, columns[0]],
        np.stack([s.predicted[r][:, c] for s, r, c in zip(scored, rows, columns, strict=True)]),
        tuple(c.trained_as for c in comparisons),
        tuple(dict.fromkeys(doubt for c in comparisons for doubt in c.doubts)),
    )


def under_spots(prediction: Prediction, centres: FloatArray) -> Prediction:
    """Return a prediction at spots (n, 2): each has the hidden vector of the tile that holds it, NaN where none does.

    A spot may lie up to half a tile from the tile's centre: a model that is at hand predicts better at the spot itself.
    """
    index = prediction.places.holding(centres)
    hidden = prediction.hidden[np.maximum(index, 0)].copy()
    hidden[index < 0] = np.nan
    at = TileSet.at(centres, scale=prediction.places.scale, pitch=prediction.places.pitch)
    return Prediction(at, hidden, prediction.decoder, prediction.card, prediction.slide, prediction.provenance)


def compare_under_spots(
    name: str,
    data: ad.AnnData,
    predictions: Sequence[Prediction],
    names: Sequence[str] | None = None,
    *,
    descriptor: SectionDescriptor | None = None,
) -> ModelsAtSpots:
    """Hold predictions of one slide against its measurement, without the models: with the tile under each spot.

    Parameters
    ----------
    name : str
        Of the section.
    data : AnnData
        Raw counts over all measured genes, with ``obsm["spatial"]`` in level-0 pixels of the slide.
    predictions : sequence of Prediction
    descriptor : SectionDescriptor, optional
        Of this section, to look for among the sections that the models were trained on.

    Raises
    ------
    SampleError
        As `measured.compare` and `models_at_spots`; and if no spot lies on a predicted tile.
    """
    centres = np.asarray(data.obsm["spatial"], dtype=np.float64)
    at = [under_spots(prediction, centres) for prediction in predictions]
    bare = [p.card.name for p in at if not p.done.any()]
    if bare:
        raise SampleError(f"no spot of {name} lies on a tile that {' and '.join(bare)} predicted")
    return models_at_spots([compare(name, data, each, descriptor=descriptor) for each in at], names)
