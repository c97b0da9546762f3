"""The chapters of a report: facts and figures of a prediction, in words."""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.engine.places import limits_of, problems_of
from napari_nh2st.errors import one_line
from napari_nh2st.formats.table import means_nothing, slide_mpp, slide_name
from napari_nh2st.model.trust_words import figures_explained, held_out_words, novelty_words
from napari_nh2st.provenance import DISTRIBUTION, versions
from napari_nh2st.report.content import Picture, Report, Section, Table
from napari_nh2st.report.pictures import draw_map, draw_overview
from napari_nh2st.report.regions import region_section
from napari_nh2st.slides.mpp import SOURCES

if TYPE_CHECKING:
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.report.choices import Choices

_NOT_KNOWN = "not known"
_VERSIONS = (DISTRIBUTION, "torch", "numpy")


def report_of(choices: Choices) -> Report:
    """Return everything that a report says."""
    prediction = choices.prediction
    sections = [_slide(choices), _maps(choices), _trust(choices), _to_know(choices)]
    if choices.regions:
        sections.append(region_section(prediction, choices.regions, choices.display.genes))
    sections += [_model(prediction), _origin(choices)]
    subtitle = f"Predicted gene expression, not a measurement. Model {prediction.card.name}; for research use only."
    return Report(one_line(slide_name(prediction)), subtitle, means_nothing(prediction), sections)


def _slide(choices: Choices) -> Section:
    prediction = choices.prediction
    mpp, (height, width) = slide_mpp(prediction), prediction.slide["shape"]
    side_um = prediction.places.pitch * prediction.card.mpp
    tiles, source = len(prediction), str(prediction.slide.get("mpp_source", _NOT_KNOWN))
    area = tiles * side_um**2 * 1e-6
    facts = [
        ("File", Path(str(prediction.slide.get("path") or _NOT_KNOWN)).name),
        ("Size", f"{width:,} x {height:,} pixels, {width * mpp / 1000:.3g} x {height * mpp / 1000:.3g} mm"),
        ("Pixel size", f"{mpp:.4g} µm ({SOURCES.get(source, source)})"),
        ("Predicted", f"{tiles:,} tiles {side_um:.0f} µm apart, {area:.3g} mm²; at the edge they hold background, too"),
    ]
    if choices.slide is not None:
        tissue = choices.slide.tissue().fraction * width * height * mpp**2 * 1e-6
        facts.insert(3, ("Tissue", f"{tissue:.3g} mm²"))
    caption = "The line surrounds what was predicted."
    if choices.away:
        caption += f" Drawn without tissue: {choices.away}."
    return Section("Slide", [Picture(partial(draw_overview, choices), "The whole slide", caption)], facts)


def _maps(choices: Choices) -> Section:
    card = choices.prediction.card
    words = [f"Values are in {card.unit}. All maps have the same scale; each has its own colour bar."]
    if not choices.chosen:
        best = "that the model predicts best in held-out tissue" if card.evaluation else "that come first in its panel"
        words.append(f"No genes were named: these are the {len(choices.display.genes)} {best}.")
    pictures = [Picture(partial(draw_map, choices, gene), gene, card.trust(gene)) for gene in choices.display.genes]
    return Section("Maps", pictures, paragraphs=words)


def _trust(choices: Choices) -> Section:
    prediction = choices.prediction
    card = prediction.card
    figures = card.evaluation.genes if card.evaluation else {}
    rows: list[tuple[str, ...]] = []
    for gene in choices.display.genes:
        values = prediction.gene(gene)
        low, high = np.percentile(values, (1, 99))
        known = figures.get(gene)
        interval = _NOT_KNOWN if known is None or known.low is None else f"{known.low:z.2f} to {known.high:z.2f}"
        pcc = "not evaluated" if known is None else f"{known.pcc:z.2f}"
        chance = "" if known is None or known.low is None else "no" if known.chance else "yes"
        rows.append((gene, pcc, interval, chance, f"{values.mean():z.2f}", f"{low:z.2f} to {high:z.2f}"))
    columns = ("Gene", "Held-out PCC", "95% interval", "Better than chance", "Mean here", "1st to 99th percentile")
    words = [held_out_words(card)]
    if card.evaluation is not None:
        words.append(f"Held-out tissue: {', '.join(card.evaluation.samples)}.")
    notes = [line for line in figures_explained(card) if not line.startswith("In brackets")]
    return Section("How far to trust each gene", paragraphs=words, table=Table(columns, rows), notes=notes)


def _to_know(choices: Choices) -> Section:
    """Say what limits this prediction: how like the training tissue it is, and what is odd about the slide."""
    prediction, likeness = choices.prediction, choices.likeness
    if isinstance(likeness, str):
        words = [f"Is this tissue like the training tissue? {likeness}"]
    else:
        words = [novelty_words(likeness.tiles, likeness.unusual, likeness.unlike)]
        if likeness.tiles < likeness.of:
            words.append(f"They were drawn by chance from {likeness.of:,} predicted tiles.")
        words.append("The check does not say whether a prediction is right.")
    if choices.slide is not None:
        said = means_nothing(prediction)
        sentences = [*problems_of(choices.slide, prediction.card), *limits_of(choices.slide, prediction.card)]
        words += [sentence for sentence in sentences if sentence not in said]
    return Section("What to know of this slide", paragraphs=words)


def _model(prediction: Prediction) -> Section:
    card = prediction.card
    facts = [
        ("Name", card.name),
        ("Description", card.description),
        ("Tissue", card.tissue or ""),
        ("Trained on", card.trained_on),
        ("Panel", f"{len(card.genes):,} genes in {card.unit}"),
        ("Variant", card.variant if card.predictor is None else ""),
        ("Version", "" if card.predictor is None else card.predictor.version),
        ("Licence", card.licence),
        ("Cite", card.citation or ""),
        ("Identity", str(prediction.provenance.get("model_hash", ""))),
    ]
    return Section("Model", facts=[(name, value) for name, value in facts if value])


def _origin(choices: Choices) -> Section:
    prediction = choices.prediction
    origin: dict[str, Any] = prediction.provenance
    recorded = origin.get("versions")
    used = recorded if isinstance(recorded, dict) else {}
    facts = [
        ("Slide", str(prediction.slide.get("path") or "")),
        ("Slide's identity", str(prediction.slide.get("fingerprint") or "")),
        ("Part of it", str(origin.get("region", ""))),
        ("Computed", ", ".join(str(origin[key]) for key in ("device", "precision") if origin.get(key))),
        ("Predicted with", ", ".join(f"{name} {used[name]}" for name in _VERSIONS if name in used)),
        ("This report", f"{date.today():%Y-%m-%d}, {DISTRIBUTION} {versions().get(DISTRIBUTION, '')}".strip()),
    ]
    commands = [str(origin.get("command") or ""), *map(str, origin.get("later_commands") or ()), choices.command]
    return Section(
        "How this was made",
        facts=[(name, value) for name, value in facts if value],
        notes=["These commands make the prediction, and this report, again:"],
        commands=[command for command in dict.fromkeys(commands) if command],
    )
