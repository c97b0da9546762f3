"""The sentences that the docks say. No Qt: they are tested as text."""

from __future__ import annotations

import shlex
from datetime import datetime
from math import isnan
from typing import TYPE_CHECKING, Any

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.card import Card
from napari_nh2st.training.job import Metrics as RunMetrics
from napari_nh2st.training.job import Status as RunStatus
from napari_nh2st.viewer.events import State, Status
from napari_nh2st.viewer.where import Region

if TYPE_CHECKING:
    from napari_nh2st.analysis.measured import Comparison
    from napari_nh2st.training.held_out import HeldOut, HeldOutSection
    from napari_nh2st.training.summary import Summary
    from napari_nh2st.viewer.gene_list import Meaning, Suggestion

NOTHING_OPEN = "Open a slide: drag it into the window, or take File > Open Sample > NH2ST."
NO_MPP = "This file does not say how large its pixels are: type it above (µm per pixel) and press Set."
_SHOWN = 12  # sections named before the rest is counted
_BLOCK = " (block)"  # after the name of a section of which only a part was held out
NO_MODEL = "Choose a model: press “folder…” and pick the folder that a fine-tuning run left."


def clock(seconds: float | None) -> str:
    """Write a duration as people read it, 0:07 or 1:02:40; nothing where it is not known."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def count(n: int, what: str) -> str:
    """Write a count: 1 tile, 1,200 tiles."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def mpp_words(mpp: float | None, source: str) -> str:
    """Write a pixel size and where it comes from."""
    if mpp is None:
        return "pixel size unknown"
    return f"{mpp:.4g} µm/px ({'typed in' if source == 'user' else source})"


def model_words(card: Card) -> str:
    """Say in one line what a model predicts and what it was trained on."""
    tissue = "synthetic tissue" if card.synthetic else card.tissue or ""
    parts = (count(len(card.genes), "gene"), card.trained_on or "training not recorded", tissue)
    return ", ".join(part for part in parts if part)


def model_details(card: Card) -> list[str]:
    """Say all that a person may want to know of a model before they choose it, a paragraph each."""
    samples = [t.sample for t in card.training]
    shown = ", ".join(samples[:_SHOWN]) + (f" and {len(samples) - _SHOWN} more" if len(samples) > _SHOWN else "")
    said = (
        card.description,
        f"Trained on {shown}." if samples else "",
        _held_out(card),
        f"Data: {card.citation}" if card.citation else "",
        f"Licence: {card.licence}. Predictions, not measurements: for research use only.",
    )
    return [paragraph for paragraph in said if paragraph]


def _held_out(card: Card) -> str:
    if card.evaluation is None:
        return "Not evaluated on held-out tissue."
    e = card.evaluation
    return f"Mean held-out PCC {e.pcc_mean:.2f} over {count(len(e.genes), 'gene')}, {e.kind_words}."


def status_sentence(status: Status) -> str:
    """Say where the job stands, what to do next where that is not plain."""
    if status.follow:
        return _following(status)
    if status.state is State.RUNNING:
        return _running(status)
    if status.state is State.DONE:
        return _done(status)
    if status.state is State.CANCELLED:
        kept = f"{count(status.done, 'tile')} of {status.total:,} are kept; " if status.done else ""
        return f"Stopped. {kept}Predict goes on from there." if kept else "Stopped."
    if status.state is State.FAILED:
        return f"That did not work: {error_words(status.error)}"
    return "Ready: press Predict."


def _running(status: Status) -> str:
    if status.step == "predicting":
        known = f" ({status.known:,} were there already)" if status.known else ""
        return f"Predicting: {status.done:,} of {count(status.total, 'tile')}{known}."
    return f"{status.step.capitalize()}…"


def _done(status: Status) -> str:
    if status.known == status.total:
        text = "Nothing was missing here."
    else:
        text = f"Done: {count(status.total - status.known, 'tile')} in {clock(status.seconds)}."
    if status.share < 0.995:
        text += f" {_share(status)}% of the slide's tissue is predicted."
    return text


def _share(status: Status) -> int:
    return max(1, int(100 * status.share))


def _following(status: Status) -> str:
    """Say where a view that is followed stands."""
    rest = "All of the tissue is predicted."
    if status.share < 0.995:
        rest = f"{_share(status)}% of the tissue predicted; the rest follows the view."
    if status.state is State.RUNNING:
        if status.step == "around":
            return f"All in sight is predicted; going on around it. {rest}"
        if status.step != "predicting":
            return f"{status.step.capitalize()}…"
        quick = "Quick preview, refining" if status.preview else "Predicting what you see"
        return f"{quick}: {status.done:,} of {count(status.total, 'tile')}."
    if status.state is State.DONE:
        return f"All in sight is predicted. {rest}" if status.total else f"No tissue in sight. {rest}"
    if status.state is State.FAILED:
        why = error_words(status.error)
        return f"That did not work: {why}{'' if why[-1] in '.?!' else '.'} The view is no longer followed."
    kept = f" {_share(status)}% of the tissue is predicted." if status.share else ""
    return f"Stopped.{kept} Press Predict to follow the view again."


def error_words(error: Exception | None) -> str:
    """Write an error for a person: ours are sentences, others are named."""
    if isinstance(error, Nh2stError):
        return str(error)
    if isinstance(error, MemoryError):
        return "the machine ran out of memory; close other programs, or predict a smaller part"
    if error is None:
        return "no reason was given"
    return f"{type(error).__name__}: {error} (see Details)"


def result_words(card: Card) -> str:
    """Say how good the model of a run is, as far as the run itself can tell."""
    said = [_held_out(card)]
    if card.evaluation is not None and card.evaluation.genes:
        better = sum(not trust.chance for trust in card.evaluation.genes.values())
        said.append(f"{better} of them better than chance.")
        if card.evaluation.kind == "same-patient":
            blocks = all(name.endswith(_BLOCK) for name in card.evaluation.samples)
            what = "Parts of the sections it trained on were held out" if blocks else "It has learnt from that patient"
            said.append(f"{what}: on another patient it is lower.")
    return " ".join(said)


_RUN_STATES = {
    "empty": "not begun",
    "queued": "waits",
    "cancelled": "stopped",
    "failed": "ended early",
}


def run_state(state: str) -> str:
    """Name a run's state for a list."""
    return _RUN_STATES.get(state, state)


def when(moment: float | None, now: float) -> str:
    """Write a moment (seconds since 1970) as people say it, today 09:40; nothing where it is not known."""
    if moment is None:
        return ""
    then, today = datetime.fromtimestamp(moment), datetime.fromtimestamp(now).date()
    days = (today - then.date()).days
    day = {0: "today", 1: "yesterday"}.get(days, f"{then.day} {then:%b}" if 0 < days < 300 else f"{then:%Y-%m-%d}")
    return f"{day} {then:%H:%M}"


def run_sentence(status: RunStatus) -> str:
    """Say where a fine-tuning run stands."""
    best, at = status.metrics.best(), stage_words(status.metrics)
    what = "PCC on inner blocks" if status.metrics.curve("test_pcc") else "held-out PCC"
    figure = f" Best {what} so far: {best:.3f}." if best is not None else ""
    if status.state == "failed":
        return f"The run ended early: {status.message}"
    doing = "" if not at or at == "training" else f": {at}"
    return {
        "empty": "Add sections and choose a new folder for the run.",
        "queued": "Waiting for the runs before it; napari may be closed meanwhile.",
        "starting": f"Preparing{doing}; napari may be closed meanwhile." if at else "Starting: reading the sections…",
        "running": f"Running{doing}; napari may be closed meanwhile.{figure}",
        "paused": f"Paused: it holds its memory and uses no processor time. Go on takes it up where it stands.{figure}",
        "stopping": "Stopping after the current step; the best model is kept.",
        "done": f"Done.{figure.replace(' so far', '')} To train again, choose another folder.",
        "cancelled": f"Stopped; the best model is kept.{figure.replace(' so far', '')}"
        if status.model
        else "Stopped before there was a model.",
    }[status.state]


def stage_words(metrics: RunMetrics) -> str:
    """Say what a run does just now and how far it is with that: "pretraining the encoder, 12 of 60"."""
    if metrics.stage is None:
        return ""
    far = f", {metrics.done:,} of {metrics.total:,}" if metrics.done is not None and metrics.total else ""
    return f"{metrics.stage}{far}"


def run_facts(metrics: RunMetrics) -> str:
    """Say on what a run computes, with how much memory and how fast: "cpu, 1.4 GB, 310 spots/s"."""
    device, memory, speed = (metrics.last(name) for name in ("device", "memory_mb", "spots_per_second"))
    said = (
        str(device or ""),
        "" if not memory else f"{memory / 1000:.1f} GB" if memory >= 1000 else f"{memory:.0f} MB",
        "" if not speed else f"{speed:,.0f} spots/s" if speed >= 10 else f"{speed:.1f} spots/s",
    )
    return ", ".join(part for part in said if part)


_KINDS = {"cross-patient": "cross-patient", "same-patient": "same patient", "synthetic": "synthetic tissue"}
_NAMED = ("colour ridge", "this model")  # lines of a summary that are told in a sentence


def short(figure: float) -> str:
    """Write a correlation in three digits: .291, -.012."""
    return f"{round(figure, 3) + 0.0:.3f}".replace("0.", ".", 1)


def summary_words(summary: Summary) -> str:
    """Say how a run's model does beside the simplest one that sees the image."""
    blocks = all(name.endswith(_BLOCK) for name in summary.held_out)
    names = [name.removesuffix(_BLOCK) for name in summary.held_out]
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    what = "Held-out blocks of" if blocks else f"Held-out section{'' if len(names) == 1 else 's'}"
    lines = {line.name: line for line in summary.lines}
    figures = [f"{name} {short(lines[name].pcc)}" for name in _NAMED if name in lines]
    across = f"Mean PCC of {count(summary.genes, 'gene')} across {count(summary.spots, 'spot')}"
    return f"{what} {shown} ({_KINDS[summary.kind]}): {', '.join(figures)}. {across}."


def map_words(gene: str, found: HeldOut, section: HeldOutSection, pcc: float | None) -> str:
    """Say what a map of held-out spots shows and how well it agrees; `pcc` is None where a side does not vary."""
    where = section.name if found.what == "sections" else f"block of {section.name}"
    when = "finished model" if found.epoch is None else f"epoch {found.epoch + 1}"
    agrees = "the same in every spot, no PCC" if pcc is None else f"PCC {pcc:.2f}"
    return f"{gene}, {where}, {when}: {agrees} across {count(len(section.xy), 'spot')}"


def trust_words(card: Card, gene: str) -> str:
    """Say how far to trust one gene of a model."""
    if gene not in card.genes:
        return f"{card.name} does not predict {gene}" if gene else ""
    return card.trust(gene)


def gene_words(card: Card, gene: str, variability: float | None = None) -> str:
    """Write a gene for the list: with its held-out PCC, whether that was better than chance, and its Moran's I."""
    found = card.evaluation.genes.get(gene) if card.evaluation else None
    parts = [gene]
    if variability is not None:
        parts.append("constant" if isnan(variability) else f"I {variability:.2f}")
    if found is not None:
        interval = "" if found.low is None or found.high is None else f" ({found.low:.2f} to {found.high:.2f})"
        parts.append(f"PCC {found.pcc:.2f}{interval}{', chance' if found.chance else ''}")
    return "   ".join(parts)


def suggestion_words(card: Card, suggestion: Suggestion, variability: float | None = None) -> str:
    """Write a line of the suggestions: a gene as in the list, with the other name by which it was found."""
    gene = suggestion.gene
    named = f"{gene} ({suggestion.via})" if suggestion.via else gene
    if not suggestion.predicted:
        return f"{named}   not predicted"
    recent = "   recent" if suggestion.recent else ""
    return f"{named}{gene_words(card, gene, variability).removeprefix(gene)}{recent}"


def name_words(meaning: Meaning) -> str:
    """Say which gene another name stands for; empty where it was called by its symbol."""
    if not meaning.via or meaning.gene is None:
        return ""
    if len(meaning.symbols) < 2:
        return f"{meaning.via} is {meaning.gene}: "
    return f"{meaning.via} stands for {', '.join(meaning.symbols[:-1])} and {meaning.symbols[-1]}. {meaning.gene}: "


def absent_words(card: Card, meaning: Meaning, said: str) -> str:
    """Say that a model does not predict what was asked for."""
    symbols = " or ".join(meaning.symbols) or said
    via = f" ({meaning.via})" if meaning.via and meaning.via.casefold() != symbols.casefold() else ""
    return f"{card.name} does not predict {symbols}{via}"


def command_line(
    slide: Any, model: str, region: Region, *, edited_tissue: bool, device: str = "auto", pitch: int | None = None
) -> str:
    """Return the `nh2st predict` line that does the same as the dock.

    A drawn outline is given by its bounding box: the command line has no outlines. `pitch` is None at coarse detail.
    """
    words = ["nh2st", "predict", str(slide.path), "--model", model, "--out", "predictions"]
    if region.box is not None:
        box = region.box
        words += ["--region", ",".join(str(round(v)) for v in (box.x0, box.y0, box.width, box.height))]
    if pitch is not None:
        words += ["--pitch", str(pitch)]
    if slide.mpp_source == "user":
        words += ["--mpp", f"{slide.mpp:.6g}"]
    if device != "auto":
        words += ["--device", device]
    notes = [note for note, said in (("outline", region.polygons), ("edited tissue mask", edited_tissue)) if said]
    line = shlex.join(words)
    return f"{line}  # without the {' and the '.join(notes)}" if notes else line


def measured_summary(found: Comparison) -> str:
    """Say how well a measurement and a prediction of one section agree."""
    figures, scored = found.figures, found.scored
    low, high = figures["ci"]["pcc_mean"]
    genes, spots = count(len(scored.genes), "gene"), count(len(scored.truth), "spot")
    return f"{found.name}: mean PCC {figures['pcc_mean']:.3f} ({low:.3f} to {high:.3f}) over {genes}, across {spots}."


def measured_training(found: Comparison) -> str:
    """Say that the section was among those that the model was trained on; empty where it was not."""
    if not found.trained_as:
        return ""
    return (
        f"{found.trained_as} was among this model's training sections: these figures say what it has learnt, "
        "not how well it predicts."
    )


def measured_caveats(found: Comparison) -> list[str]:
    """Say what to know of the figures of one section, a sentence each."""
    card, constant = found.card, found.figures["n_constant"]
    missing, names = len(found.missing), ", ".join(found.missing[:_SHOWN])
    more = f" and {missing - _SHOWN} more" if missing > _SHOWN else ""
    were = "was" if missing == 1 else "were"
    said = (
        f"{missing} of the model's {count(len(card.genes), 'gene')} {were} not measured: {names}{more}."
        if missing
        else "",
        f"{count(found.left_out, 'spot')} without a prediction left out." if found.left_out else "",
        f"{count(constant, 'gene')} measured the same in every spot: PCC 0." if constant else "",
        ""
        if found.same_unit
        else f"{card.name} predicts {card.unit}; the measurement is ln(1 + counts per 10,000): correlations can be "
        "compared, values cannot.",
        "PCC is taken per gene across the spots of this one section, on values that are not smoothed; its interval "
        "(95%) comes from drawing blocks of neighbouring spots again and again.",
        ""
        if found.trained_as
        else "The file does not name the patient: whether the patient is new to the model is not known.",
    )
    return [sentence for sentence in said if sentence]


NEIGHBOURS = ("above left", "above", "above right", "left", "this tile", "right", "below left", "below", "below right")
CLICK_A_TILE = "Click a tile of the heatmap: its neighbouring tiles appear here, and what they change."
OPEN_ITS_SLIDE = "Open the slide from which this heatmap was made: its tiles are looked at again."
NOT_PREDICTED = "Nothing is predicted here yet: click a coloured tile."
ALONE_ANYWAY = "This model looks at each tile by itself: its surroundings change nothing."


def signed(change: float) -> str:
    """Write a change with its sign; what rounds to nothing is +0.00, never -0.00."""
    return f"{round(change, 2) + 0.0:+.2f}"


def surroundings_words(gene: str, unit: str, here: float, change: float) -> str:
    """Say what a tile's surroundings change in one gene."""
    return f"{gene} {here:.2f} {unit}. Without all of its surroundings: {here + change:.2f} ({signed(change)})."


def neighbour_tip(index: int, gene: str, here: float, change: float) -> str:
    """Say what one neighbour of a tile changes; `index` is that of `geometry.NEIGHBOUR_STEPS`."""
    name = NEIGHBOURS[index]
    return f"{name.capitalize()}. Without it {gene} is {here + change:.2f} ({signed(change)})"


def effect_words(gene: str, new: int) -> str:
    """Say how to read the layer of what the surroundings change, and how much of it is still to be computed."""
    said = f"Orange: the surroundings raise {gene}; blue: they lower it."
    return f"{said} {count(new, 'tile')} not computed yet." if new else said
