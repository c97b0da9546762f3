"""Measured beside predicted: propose how spots lie on a slide, and score the prediction at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st import metrics
from napari_nh2st.analysis.anchors import Anchors
from napari_nh2st.errors import SampleError
from napari_nh2st.expression import Sample, read_expression
from napari_nh2st.expression.detect import MeasurementFiles
from napari_nh2st.expression.transform import NOWHERE_ELSE, Transform
from napari_nh2st.geometry import Box, FloatArray, TileSet
from napari_nh2st.training.sections.image_frame import scale_to

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

    from napari_nh2st.analysis.anchors import Correction
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.engine.section_descriptor import SectionDescriptor
    from napari_nh2st.engine.seen_sections import SeenSections
    from napari_nh2st.evaluation.protocol import Scored
    from napari_nh2st.model.card import Card
    from napari_nh2st.slides import TissueMask

_FEWEST = 3  # spots that a correlation is computed across


@dataclass(frozen=True)
class Frame:
    """Position of spots on a slide: ``scale * spot + (x, y)``, level-0 pixels."""

    scale: float = 1.0
    x: float = 0.0
    y: float = 0.0

    @property
    def transform(self) -> Transform:
        """The same as a map."""
        return Transform.scaled(self.scale, self.x, self.y)


def read_measurement(files: MeasurementFiles, slide: Path, mpp: float | None = None) -> ad.AnnData:
    """Read a measurement like `expression.read_expression`, with the spots in pixels of their own image.

    `mpp` is micrometres per pixel of that image, where the slide tells it.

    Raises
    ------
    SampleError
        One line.
    """
    # A transform that was given goes before that of the assay; without any, a person moves the spots.
    own = None if files.transform is None else NOWHERE_ELSE
    place = (files.expression, files.format, files.spots, mpp)
    return read_expression(Sample(files.name, "", slide, *place, placed=True, transform=own))


def guess(spots: FloatArray, image: Mapping[str, Any], shape: tuple[int, int], tissue: TissueMask) -> Frame:
    """Propose a frame for spots on a slide: by the sizes of the two images, else by the extents of spots and tissue.

    Somebody must look at the proposal.

    Parameters
    ----------
    spots : (n, 2) float64
        Pixels (x, y) of the image on which they were placed.
    image : mapping
        Facts about that image: `expression.frame.frame_of`.
    shape : (height, width)
        Of the slide, level-0 pixels.
    tissue : TissueMask
    """
    if "shape" in image and (scale := scale_to(image, shape)) is not None:
        return Frame(scale)
    area = _tissue_box(tissue) or Box(0, 0, shape[1], shape[0])
    extent = np.ptp(spots, axis=0)
    if not extent.all():
        return Frame()
    scale = float(np.sqrt(area.area / extent.prod()))
    middle = scale * (spots.min(axis=0) + spots.max(axis=0)) / 2
    return Frame(scale, (area.x0 + area.x1) / 2 - float(middle[0]), (area.y0 + area.y1) / 2 - float(middle[1]))


def spot_diameter(spots: FloatArray, image: Mapping[str, Any]) -> float:
    """Return the spots' diameter in pixels of their own image: as recorded, else half the distance between them.

    For Spatial Transcriptomics that is right: spots of 100 um, 200 um apart.
    """
    if "spot_diameter" in image:
        return float(image["spot_diameter"])
    if len(spots) < 2:
        return 1.0
    from scipy.spatial import KDTree

    distance = KDTree(spots).query(spots, k=2)[0][:, 1]
    return float(np.median(distance)) / 2 or 1.0


def spots_of(data: ad.AnnData, card: Card, mpp: float) -> TileSet:
    """Return the places of a model's predictions at measured spots, as `nh2st evaluate` has them."""
    return TileSet.at(data.obsm["spatial"], scale=card.scale_on(mpp), pitch=card.pitch)


@dataclass(frozen=True, eq=False)
class Comparison:
    """One section as measured and as predicted by one model.

    Attributes
    ----------
    name : str
    card : Card
    scored : Scored
        ``genes`` that both know, ``centres`` (n, 2) level-0 pixels, ``truth`` and ``predicted`` (n, G): measured values
        are in the unit of the card's target, predicted ones in the card's unit.
    figures : dict
        As `evaluation.scores.score` gives them, over the genes that were measured.
    missing : list of str
        Genes of the panel that were not measured.
    left_out : int
        Number of spots without a prediction: not on the slide, or where the file is damaged.
    trained_as : str
        The training section that this one is; empty if it is none of them.
    disagrees : str
        That measured and predicted values hardly agree, a clause; empty where they do.
    doubts : tuple of str
        What to know of the section: `training.sections.findings`.
    spots, at : Anchors, Prediction or None
        The spots of `scored` as measured, and the hidden vectors at them.
    correction : Correction or None
        With which `scored` is predicted; its anchors are not among the spots.
    uncorrected : float or None
        Mean PCC of the same spots without the correction.
    """

    name: str
    card: Card
    scored: Scored
    figures: dict[str, Any]
    missing: list[str]
    left_out: int
    trained_as: str
    disagrees: str = ""
    doubts: tuple[str, ...] = ()
    spots: Anchors | None = None
    at: Prediction | None = None
    correction: Correction | None = None
    uncorrected: float | None = None
    _columns: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_columns", {g: i for i, g in enumerate(self.scored.genes)})

    @property
    def same_unit(self) -> bool:
        """True if values can be compared, not only correlations."""
        return self.card.answers_in_target

    def values(self, gene: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None:
        """Return a gene's measured and predicted values, each (n,); None if it is not in both."""
        column = self._columns.get(gene)
        return None if column is None else (self.scored.truth[:, column], self.scored.predicted[:, column])

    def table(self) -> pd.DataFrame:
        """Return one row a gene, best first: PCC with its interval, the card's PCC, MSE, mean measured value.

        There is no MSE if the units differ, and no card's PCC if the card has none.
        """
        import pandas as pd

        genes = self.figures["genes"]
        frame = pd.DataFrame(
            {
                "PCC": {g: f["pcc"] for g, f in genes.items()},
                "low": {g: f["low"] for g, f in genes.items()},
                "high": {g: f["high"] for g, f in genes.items()},
            }
        )
        evaluated = self.card.evaluation.genes if self.card.evaluation else {}
        if evaluated:
            frame["card"] = [evaluated[g].pcc if g in evaluated else np.nan for g in frame.index]
        if self.same_unit:
            frame["MSE"] = [genes[g]["mse"] for g in frame.index]
        frame["measured"] = self.scored.truth.mean(axis=0, dtype=np.float64)
        frame.index.name = "gene"
        return frame.sort_values("PCC", ascending=False, kind="stable")


def compare(
    name: str,
    data: ad.AnnData,
    prediction: Prediction,
    *,
    left_out: int = 0,
    seen: SeenSections | None = None,
    descriptor: SectionDescriptor | None = None,
) -> Comparison:
    """Score a prediction at measured spots with the code of `nh2st evaluate`.

    Parameters
    ----------
    name : str
        Of the section.
    data : AnnData
        Raw counts over all measured genes, in the order of the prediction's places.
    prediction : Prediction
    left_out : int
        Number of spots that were left out before.
    seen : SeenSections, optional
        Training sections of the model; those that the card names otherwise.
    descriptor : SectionDescriptor, optional
        Of this section, to look for among them; otherwise its slide's fingerprint must do.

    Raises
    ------
    SampleError
        If none of the model's genes was measured, or nothing could be predicted.
    """
    from napari_nh2st.engine.section_descriptor import SectionDescriptor
    from napari_nh2st.engine.seen_sections import SeenSections
    from napari_nh2st.evaluation.agreement import disagreement
    from napari_nh2st.evaluation.protocol import figures_of, measured_genes, model_name, scored_at  # loads torch

    card = prediction.card
    named, genes = measured_genes(name, data, card)
    sample = Sample(name, "", Path(str(prediction.slide.get("path") or name)), Path(name), "")
    scored = scored_at(sample, named, genes, prediction)
    if not len(scored.truth):
        raise SampleError(f"nothing could be predicted at the spots of {name}: the slide's file is damaged there")
    figures = figures_of(card, scored, whole_panel=False)[model_name(card)]
    panel = set(genes)
    missing = [g for g in card.genes if g not in panel]
    left_out += len(prediction) - len(scored.truth)
    seen = SeenSections.of(card) if seen is None else seen
    descriptor = SectionDescriptor(prediction.slide.get("fingerprint")) if descriptor is None else descriptor
    trained_as = seen.find(descriptor, name)
    seen_as = "" if trained_as is None else trained_as.section.sample
    at, counted, disagrees = prediction.only_done(), scored.counted, disagreement(card, figures)
    names = [str(spot) for spot in named.obs_names[prediction.done]]
    assert counted is not None
    spots = Anchors(name, names, scored.centres, genes, scored.truth, np.asarray(counted.depth, dtype=np.float64))
    return Comparison(name, card, scored, figures, missing, left_out, seen_as, disagrees, spots=spots, at=at)


def corrected(comparison: Comparison, correction: Correction) -> Comparison | None:
    """Score a corrected prediction at the spots that did not correct it.

    Returns
    -------
    Comparison or None
        None where fewer than three spots are left.
    """
    from napari_nh2st.evaluation.protocol import figures_of, model_name  # loads torch

    spots, at, card, was = comparison.spots, comparison.at, comparison.card, comparison.scored
    assert spots is not None
    assert at is not None
    assert was.counted is not None
    used = set(correction.anchors.names)
    rest = np.array([i for i, spot in enumerate(spots.names) if spot not in used], dtype=np.int64)
    if len(rest) < _FEWEST:
        return None
    there = replace(at, places=at.places.select(rest), hidden=at.hidden[rest])
    scored = replace(
        was,
        centres=was.centres[rest],
        truth=was.truth[rest],
        predicted=correction.apply(there).matrix(was.genes),
        counted=replace(was.counted, counts=was.counted.counts[rest], depth=was.counted.depth[rest]),
        half_widths=None,  # they are of the prediction itself
    )
    figures = figures_of(card, scored, whole_panel=False)[model_name(card)]
    before = float(metrics.pcc(scored.truth, was.predicted[rest]).per_gene.mean())
    return replace(comparison, scored=scored, figures=figures, correction=correction, uncorrected=before)


def _tissue_box(tissue: TissueMask) -> Box | None:
    rows, columns = (np.flatnonzero(tissue.mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    y, x = tissue.steps
    return Box(columns[0] * x, rows[0] * y, (columns[-1] + 1) * x, (rows[-1] + 1) * y)
