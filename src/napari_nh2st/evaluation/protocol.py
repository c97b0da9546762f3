"""Score a model on measured sections: PCC per gene across the spots of each section, on raw labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.predict import predict_places, provenance
from napari_nh2st.engine.section_descriptor import UNDESCRIBED, SectionDescriptor, describe_section
from napari_nh2st.engine.seen_sections import SeenSections
from napari_nh2st.errors import SampleError
from napari_nh2st.evaluation.agreement import disagreement
from napari_nh2st.evaluation.coverage import coverage
from napari_nh2st.evaluation.scores import Truth, placed, score
from napari_nh2st.evaluation.seen_in_training import seen_warning, settle_kinds, unchecked
from napari_nh2st.evaluation.splits import kind_of
from napari_nh2st.expression import Sample, read_expression, samples_of, spot_counts
from napari_nh2st.expression.panel_match import MATCH, match_panel, match_words, none_found
from napari_nh2st.geometry import TileSet
from napari_nh2st.model.card import Card, Evaluation, GeneTrust
from napari_nh2st.model.folder import Model
from napari_nh2st.model.gene_names import other_symbols
from napari_nh2st.model.models import AnyModel, load_model
from napari_nh2st.model.predictor import Predictor
from napari_nh2st.model.predictor_model import PredictorModel
from napari_nh2st.slides import open_slide
from napari_nh2st.targets import LN1P_CP10K, SpotCounts
from napari_nh2st.training.sections.examine import examine

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

    from napari_nh2st.engine.prediction import Prediction


@dataclass(frozen=True, eq=False)
class Scored:
    """One section as measured and as predicted.

    Attributes
    ----------
    genes : list of str
        Genes of the panel that were measured here; the figures count the others as 0.
    centres : (n, 2) float64
        Spots, level-0 pixels.
    truth, predicted : (n, G) float32
        In label units.
    counted : SpotCounts or None
        The counts behind the truth.
    left_out : dict of str to int
        Measured spots that are not among them: `SectionFindings.left_out`, and ``damaged`` parts of the slide's file.
    doubts : tuple of str
        What to know of the section, a line each.
    panel : dict
        How the model's genes were found among the measured ones: `PanelMatch.figures`.
    descriptor : SectionDescriptor
        By which the section is known again.
    half_widths : (n, G) float32 or None
        Of the intervals round `predicted`, in label units; None where the model has no intervals.
    """

    sample: Sample
    genes: list[str]
    centres: npt.NDArray[np.float64]
    truth: npt.NDArray[np.float32]
    predicted: npt.NDArray[np.float32]
    counted: SpotCounts | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    panel: dict[str, Any] = field(default_factory=dict)
    descriptor: SectionDescriptor = UNDESCRIBED
    half_widths: npt.NDArray[np.float32] | None = None


def split_kind(card: Card, sample: Sample) -> str:
    """Return the kind of a split: by patient ids, whether the model has seen the section's patient."""
    return kind_of([t.patient for t in card.seen], [sample.patient])


def evaluate(
    sheet: str | Path | pd.DataFrame | Sequence[Sample],
    model: str | Path | AnyModel | Predictor,
    *,
    options: PredictionOptions | None = None,
    progress: Callable[[str], Any] | None = None,
) -> dict[str, Any]:
    """Score a model on every section of a sheet.

    Parameters
    ----------
    sheet : path, DataFrame or list of Sample
    model : name, path, Model or Predictor
    options : PredictionOptions, optional
        Device and cache; scores are computed in `engine.device.SCORING`, whatever its precision.
    progress : callable, optional
        Called with a sentence before each section.

    Returns
    -------
    dict
        ``unit`` of labels and errors; ``splits``, one per section with its kind and the training section that it is, if
        any; ``warnings`` and ``provenance``.

    Raises
    ------
    SampleError, MppNeeded, ModelError
        One line that says what to do.

    Examples
    --------
    >>> report = evaluate("test.csv", "RUN/model")  # doctest: +SKIP
    >>> report["splits"][0]["models"]  # doctest: +SKIP
    """
    samples = samples_of(sheet)
    model = model if isinstance(model, Model | PredictorModel) else load_model(model)
    options = (PredictionOptions() if options is None else options).for_scoring()
    seen = SeenSections.of_model(model)
    splits: list[dict[str, Any]] = []
    descriptors: list[SectionDescriptor] = []
    warnings: list[str] = []
    if not model.card.answers_in_target:
        warnings.append(
            f"{model.card.name} answers in {model.card.unit}, the truth is in {model.card.target.unit}: "
            "its correlations can be compared, its errors cannot"
        )
    elif model.card.target is not LN1P_CP10K:
        warnings.append(
            f"{model.card.name} is scored in what it predicts, {model.card.unit}; pcc_ln1p is its correlation with "
            f"{LN1P_CP10K.unit}, by which it can be compared with models that predict that"
        )
    for sample in samples:
        if progress is not None:
            progress(f"{sample.sample}: reading and predicting")
        scored = predict_spots(sample, model, options)
        warnings += [f"{sample.sample}: {doubt}" for doubt in scored.doubts]
        if damaged := scored.left_out["damaged"]:
            warnings.append(f"{sample.sample}: the slide's file is damaged at {damaged} spots: they are left out")
        lacking = len(model.card.genes) - len(scored.genes)
        if lacking:
            warnings.append(f"{sample.sample}: {lacking} genes of the panel were not measured: they count as 0")
        if len(model.card.genes) > scored.panel["by_symbol"]:
            warnings.append(f"{sample.sample}: genes of the panel: {match_words(scored.panel)}")
        split = split_of(model.card, scored, seen, warnings)
        if doubt := disagreement(model.card, split["models"][model_name(model.card)]):
            split["doubts"].append(doubt)
            warnings.append(f"{sample.sample}: {doubt}")
        splits.append(split)
        descriptors.append(scored.descriptor)
    warnings += settle_kinds(samples, descriptors, splits, seen)
    warnings += unchecked(model.card, samples, splits, seen)
    warnings = list(dict.fromkeys(warnings))
    return {
        "unit": model.card.target.unit,
        "splits": splits,
        "warnings": warnings,
        "provenance": provenance(model, options),
    }


def predict_spots(sample: Sample, model: AnyModel, options: PredictionOptions) -> Scored:
    """Predict at the measured spots of a section, joined to the counts by spot id, in the precision of scores."""
    card = model.card
    counts = read_expression(sample)
    data, genes = measured_genes(sample.sample, counts, card)
    with open_slide(sample.slide, mpp=sample.mpp) as slide:
        findings = examine(sample, data, slide)
        data = findings.admit(sample.sample, data)
        descriptor = describe_section(slide, counts)
        spots = TileSet.at(data.obsm["spatial"], scale=card.scale_on(slide.require_mpp()), pitch=card.pitch)
        prediction, _ = predict_places(slide, model, spots, options.for_scoring())
    scored = scored_at(sample, data, genes, prediction)
    damaged = len(prediction) - len(scored.truth)
    left_out = {**findings.left_out, "damaged": damaged}
    return replace(scored, left_out=left_out, doubts=findings.doubts, descriptor=descriptor)


def measured_genes(name: str, data: ad.AnnData, card: Card) -> tuple[ad.AnnData, list[str]]:
    """Give the measured genes the model's names, and list those of its panel, in the panel's order.

    Raises
    ------
    SampleError
        If none of them was measured.
    """
    named, match = match_panel(data, card.genes, card.ensembl, other_symbols)
    genes = [g for g in card.genes if g in named.var_names]
    if not genes:
        raise SampleError(f"sample {name}: none of the model's genes were measured: {none_found(data, card.genes)}")
    named = named.copy() if named is data else named
    named.uns["nh2st"] = {**named.uns.get("nh2st", {}), MATCH: match.figures()}
    return named, genes


def scored_at(sample: Sample, data: ad.AnnData, genes: list[str], prediction: Prediction) -> Scored:
    """Put measured and predicted values side by side: the same spots, in the same order."""
    done = prediction.done
    counts = spot_counts(data, genes)
    truth = prediction.card.only(genes).labels(counts)
    assert len(truth) == len(prediction), "spots and predictions must be the same, in the same order"
    panel = data.uns.get("nh2st", {}).get(MATCH, {})
    predicted = prediction.matrix(genes)[done]
    counted = SpotCounts(counts.counts[done], counts.depth[done])
    widths = None if prediction.card.intervals is None else prediction.half_width(genes)[done]
    centres = prediction.places.centres[done]
    return Scored(sample, genes, centres, truth[done], predicted, counted, panel=panel, half_widths=widths)


def figures_of(card: Card, scored: Scored, *, whole_panel: bool = True) -> dict[str, dict[str, Any]]:
    """Score one section: the figures, by name, of the model and, if its card has means, of the mean profile.

    Genes of the panel that were not measured count as 0; not at all where `whole_panel` is False.
    """
    genes = card.genes if whole_panel else scored.genes
    rows, there = [card.genes.index(g) for g in genes], np.isin(genes, scored.genes)
    profile, spread = (None if v is None else np.asarray(v)[rows] for v in (card.gene_means, card.gene_stds))
    counted = (
        None if scored.counted is None else replace(scored.counted, counts=placed(scored.counted.counts, there, 0))
    )
    truth = Truth.of(scored.sample.sample, placed(scored.truth, there, np.nan), scored.centres, profile, counted)
    models = {model_name(card): placed(scored.predicted, there, np.nan)}
    if profile is not None:
        models["mean-profile"] = np.broadcast_to(profile.astype(np.float32), truth.labels.shape)
    figures = {name: score([truth], [[p]], genes, spread) for name, p in models.items()}
    if scored.half_widths is not None and card.intervals is not None:
        limits = card.intervals.spread([card.genes.index(g) for g in scored.genes])
        depth = None if scored.counted is None else scored.counted.depth
        at, target = card.intervals.depth, card.target if card.answers_in_target else None
        values = scored.truth, scored.predicted, scored.half_widths
        found = coverage(*values, limits, depth=depth, calibrated_at=at, target=target)
        figures[model_name(card)]["intervals"] = {**found, "held_out": card.intervals.held_out}
    return figures


def model_name(card: Card) -> str:
    """Name a model in a report."""
    return card.name if card.predictor is not None else f"nh2st-{card.architecture.variant}"


def split_of(card: Card, scored: Scored, seen: SeenSections, warnings: list[str]) -> dict[str, Any]:
    """Make a report's split of one section, and add to `warnings`."""
    trained_as = seen.find(scored.descriptor, scored.sample.sample, scored.sample.patient)
    if trained_as is not None:
        warnings.append(seen_warning(scored.sample, trained_as))
    if card.gene_means is None:
        warnings.append(f"the card of {card.name} has no gene means: there is no mean profile to compare with")
    return {
        "train": [t.sample for t in card.training],
        "test": [scored.sample.sample],
        "kind": split_kind(card, scored.sample) if trained_as is None else "same-patient",
        "training_section": None if trained_as is None else trained_as.section.sample,
        "n_spots": len(scored.truth),
        "left_out": scored.left_out,
        "doubts": list(scored.doubts),
        "panel": scored.panel,
        "models": figures_of(card, scored),
    }


def with_figures(card: Card, report: dict[str, Any]) -> Card:
    """Replace the figures on a model's card by those of a report of `evaluate`.

    If some sections are of patients that the model has not seen, only those count, and the figures are cross-patient.
    Training sections never count, and one section under two names counts once.

    Returns
    -------
    Card

    Raises
    ------
    SampleError
        If the model was trained on every section of the report.
    """
    splits = [s for s in report["splits"] if s["training_section"] is None and "same_as" not in s]
    if not splits:
        also = [f"{s['test'][0]} is {s['training_section']}" for s in report["splits"]]
        raise SampleError(
            f"every section was among the model's training sections ({', '.join(also)}): nothing here says how good it "
            "is, and the card stays as it was"
        )
    new = [s for s in splits if s["kind"] == "cross-patient"]
    evaluation = evaluation_of(new or splits, model_name(card))
    evaluation = evaluation.model_copy(update={"kind": "synthetic"}) if card.synthetic else evaluation
    return card.model_copy(update={"evaluation": evaluation})


def evaluation_of(splits: Sequence[dict[str, Any]], model: str) -> Evaluation:
    """Average one model's figures over splits of one kind, weighted by spots, for a card.

    Parameters
    ----------
    splits : sequence of dict
        Of a report; a gene's interval is the mean of its intervals, a little wide if there are several splits.
    model : str
        The model's name in them.
    """
    scores = [(s["models"][model], s["n_spots"]) for s in splits]
    genes: dict[str, list[tuple[float, float, float, int]]] = {}
    for figures, spots in scores:
        for gene, g in figures["genes"].items():
            genes.setdefault(gene, []).append((g["pcc"], g["low"], g["high"], spots))
    trust = {}
    for gene, rows in genes.items():
        table = np.asarray(rows, dtype=float)
        pcc, low, high = np.average(table[:, :3], axis=0, weights=table[:, 3])
        trust[gene] = GeneTrust(pcc=round(float(pcc), 3), low=round(float(low), 3), high=round(float(high), 3))
    kinds = {s["kind"] for s in splits}
    return Evaluation(
        kind="cross-patient" if kinds == {"cross-patient"} else "same-patient",
        samples=[name for s in splits for name in s["test"]],
        pcc_mean=round(float(np.average([f["pcc_mean"] for f, _ in scores], weights=[n for _, n in scores])), 4),
        genes=trust,
    )
