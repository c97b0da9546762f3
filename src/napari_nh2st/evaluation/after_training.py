"""The outcome of a fine-tuning run: its model on the spots it has not learnt from, beside simpler models on the same.

Whole held-out sections are scored with the finished model, as by `nh2st evaluate`. For blocks, the figures are those on
the model's card: of the best epoch, which other blocks chose, before the model also learnt from any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.seen_sections import SeenSections
from napari_nh2st.evaluation.baselines.baseline import Baseline, Fitting, blind, places
from napari_nh2st.evaluation.baselines.colour import COLOUR
from napari_nh2st.evaluation.baselines.coordinates import COORDINATES
from napari_nh2st.evaluation.protocol import model_name, predict_spots, split_of, with_figures
from napari_nh2st.evaluation.scores import Truth, score
from napari_nh2st.evaluation.splits import kind_of
from napari_nh2st.expression.patients import patient_key, patient_keys, written_twice
from napari_nh2st.model.card import Card
from napari_nh2st.model.folder import load_model, save_card
from napari_nh2st.training.run.finished_run import FinishedRun
from napari_nh2st.training.run.held_out_prediction import HeldOutPrediction, section_prediction, write_held_out
from napari_nh2st.training.run.summary import Summary, SummaryLine, write_summary
from napari_nh2st.training.sections.section import Section, part_of

SIMPLER: dict[str, Baseline] = {"coordinates alone": COORDINATES, "colour ridge": COLOUR}
MINE = "this model", "What this run has trained."

Array = npt.NDArray[np.float32]
Spots = npt.NDArray[np.int64]


def summarise(ended: FinishedRun) -> Summary | None:
    """Score a finished run and write RUN/summary.json; held-out sections go on the model's card as well.

    Parameters
    ----------
    ended : FinishedRun

    Returns
    -------
    Summary or None
        None where nothing is held out to be scored: all sections are too small.
    """
    if not (ended.held_out.sections or ended.blocks):
        return None
    card = load_model(ended.model).card
    summary = _of_sections(ended, card) if ended.held_out.sections else _of_blocks(ended, card)
    write_summary(summary, ended.run)
    return summary


def _of_sections(ended: FinishedRun, card: Card) -> Summary:
    held_out, config = ended.held_out, ended.settings.config
    model, options = load_model(ended.model), PredictionOptions(device=config.device, cache=False)
    scored = [predict_spots(sample, model, options) for sample in held_out.samples]
    warnings: list[str] = []
    seen = SeenSections.of(card, ended.model)
    splits = [split_of(card, s, seen, warnings) for s in scored]
    card = with_figures(card, {"splits": splits})
    save_card(card, ended.model)
    predictions = []
    for section, s in zip(held_out.sections, scored, strict=True):
        columns = [s.genes.index(g) for g in held_out.genes]
        everything = np.arange(len(s.truth))
        predictions.append(section_prediction(section, card, everything, s.truth[:, columns], s.predicted[:, columns]))
    write_held_out(HeldOutPrediction(None, "sections", held_out.genes, card.unit, predictions), ended.run)
    fitting = Fitting(ended.sections, card, config, ended.settings.seed)
    measured = np.isin(card.genes, held_out.genes)
    truths = [
        Truth.of(s.name, np.where(measured, s.labels, np.float32(np.nan)), places(s, card), None)
        for s in held_out.sections
    ]
    lines = _simpler(fitting, held_out.sections, truths, card.genes)
    lines.append(_line(*MINE, [s["models"][model_name(card)] for s in splits], [s["n_spots"] for s in splits]))
    return _summary(ended, card, held_out.sections, lines, [s.name for s in held_out.sections], len(held_out.genes))


def _of_blocks(ended: FinishedRun, card: Card) -> Summary:
    train = [part_of(s, np.flatnonzero(learnt)) for s, learnt in zip(ended.sections, ended.learnt, strict=True)]
    blocks = list(ended.blocks.values())
    test = [part_of(ended.sections[i], block.spots) for i, block in ended.blocks.items()]
    fitting = Fitting(train, card, ended.settings.config, ended.settings.seed)
    truths = [Truth.of(s.name, b.measured, places(s, card), None) for s, b in zip(test, blocks, strict=True)]
    lines = _simpler(fitting, test, truths, card.genes)
    figures = [score([t], [[b.predicted]], card.genes, None) for t, b in zip(truths, blocks, strict=True)]
    lines.append(_line(*MINE, figures, [len(b.spots) for b in blocks]))
    return _summary(ended, card, test, lines, [f"{s.name} (block)" for s in test], len(card.genes))


def _simpler(
    fitting: Fitting, sections: Sequence[Section], truths: Sequence[Truth], genes: Sequence[str]
) -> list[SummaryLine]:
    lines = []
    for name, baseline in SIMPLER.items():
        predict = baseline.fit(fitting)
        predicted = [predict(blind(section)) for section in sections]
        figures = [score([t], [[p]], genes, None) for t, p in zip(truths, predicted, strict=True)]
        lines.append(_line(name, baseline.about, figures, [len(t.labels) for t in truths]))
    return lines


def _line(name: str, about: str, figures: Sequence[dict[str, Any]], spots: Sequence[int]) -> SummaryLine:
    """Average the figures of sections like a card, weighted by their spots."""
    each = [(f["pcc_mean"], *f["ci"]["pcc_mean"]) for f in figures]
    pcc, low, high = (round(float(v), 4) for v in np.average(each, axis=0, weights=spots))
    return SummaryLine(name=name, about=about, pcc=pcc, low=low, high=high)


def _summary(
    ended: FinishedRun, card: Card, scored: Sequence[Section], lines: list[SummaryLine], names: list[str], genes: int
) -> Summary:
    trained = [t.patient for t in card.seen]
    kind = "synthetic" if card.synthetic else kind_of(trained, [s.patient for s in scored])
    return Summary(
        kind=kind,
        held_out=names,
        spots=sum(len(s.labels) for s in scored),
        genes=genes,
        lines=lines,
        caveats=_caveats(ended, card, scored, lines, genes),
    )


def _caveats(
    ended: FinishedRun, card: Card, scored: Sequence[Section], lines: list[SummaryLine], genes: int
) -> list[str]:
    said = [f"{section.name}: {doubt}." for section in scored for doubt in section.doubts]
    trained = patient_keys(t.patient for t in card.seen)
    shared = sorted({s.patient for s in scored if patient_key(s.patient) in trained})
    new = sorted({s.patient for s in scored} - set(shared))
    said += written_twice([*(t.patient for t in card.seen), *(s.patient for s in scored)])
    if not ended.held_out.sections:
        said.append(
            "Blocks of its own training sections: they say how well it fills in, but little about another slide."
        )
        if ended.learnt_before:
            said.append(
                f"{', '.join(ended.learnt_before)}: the model from which this run started has learnt from all of it, "
                "the held-out block too; it does not count on the card."
            )
    elif shared:
        also = f", {', '.join(new)} is not" if new else ""
        said.append(f"Patient {', '.join(shared)} is among those trained on{also}: optimistic for a new patient.")
    alone, mine = lines[0], lines[-1]
    if alone.low > 0:
        part = f", {alone.pcc / mine.pcc:.0%} of this model's" if mine.pcc > 0 else ""
        said.append(f"Coordinates alone, without any image, reach {alone.pcc:.3f}{part}: that part needs no image.")
    if mine.pcc <= lines[1].pcc:
        said.append("Colours alone do as well: this model has learnt nothing beyond the stain.")
    if genes < len(card.genes):
        said.append(f"{len(card.genes) - genes} genes of the panel were not measured there and count as 0.")
    return said
