"""Sentences about a fine-tuning run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nh2st.model.card import Card
from napari_nh2st.model.trust_words import held_out_words
from napari_nh2st.training.run.run_metrics import RunMetrics
from napari_nh2st.training.run.run_process import RunStatus
from napari_nh2st.viewer.kit.phrases import clock, count, short

if TYPE_CHECKING:
    from napari_nh2st.training.run.held_out_prediction import HeldOutPrediction, SectionPrediction
    from napari_nh2st.training.run.summary import Summary

_SHOWN = 12  # sections named before the rest is counted
_BLOCK = " (block)"  # after the name of a section of which only a part was held out
_RUN_STATES = {
    "empty": "not begun",
    "queued": "waits",
    "cancelled": "stopped",
    "failed": "ended early",
}
# Stages of a run whose names in its files say less to a person.
_STAGES = {
    "looking at the tissue": "encoding the tissue",
    "working out intervals": "working out how far predictions are off",
    "training on the held-out blocks too": "training again, now with the held-out blocks",
    "scoring beside simpler models": "comparing with simpler models",
}
_CLOSE = "You can close napari."
_KINDS = {"cross-patient": "cross-patient", "same-patient": "same patient", "synthetic": "synthetic tissue"}
_NAMED = ("colour ridge", "this model")  # lines of a summary that are told in a sentence


def run_state(state: str, stage: str = "") -> str:
    """Name a run's state for a list; `stage` says what it does just now, where it tells."""
    return "preparing" if state == "starting" and stage else _RUN_STATES.get(state, state)


def run_sentence(status: RunStatus) -> str:
    """Say where a fine-tuning run stands."""
    best, at = status.metrics.best(), stage_words(status.metrics)
    figure = f" Best PCC on inner blocks so far: {best:z.3f}." if best is not None else ""
    if status.state == "failed":
        return f"The run ended early: {status.message}"
    return {
        "empty": "Add sections and choose a new folder for the run.",
        "queued": f"Waiting for earlier runs to end. {_CLOSE}",
        "starting": f"Preparing: {at or 'loading the program'}. {_CLOSE}",
        "running": f"{_sentence(at or 'running')} {_CLOSE}{figure}",
        "paused": f"Paused. The run keeps its memory but uses no processor time. Press Resume to continue.{figure}",
        "stopping": "Stopping after the current step. The best model so far is kept.",
        "done": f"Done.{figure.replace(' so far', '')} To train again, choose another folder.",
        "cancelled": f"Stopped. The best model is kept.{figure.replace(' so far', '')}"
        if status.model
        else "Stopped before there was a model.",
    }[status.state]


def progress_words(status: RunStatus) -> str:
    """Say how far a run is: "epoch 3 of 8   0:12 left"; before the first epoch, how far its preparations are."""
    metrics, left = status.metrics, clock(status.seconds_left)
    if metrics.total:
        return stage_words(metrics)
    epoch = "" if metrics.epoch is None else f"epoch {metrics.epoch + 1} of {metrics.total_epochs}"
    return "   ".join(part for part in (epoch, f"{left} left" if left else "") if part)


def stage_words(metrics: RunMetrics) -> str:
    """Say what a run does just now and how far it is with that: "encoding the tissue, 48 of 60"."""
    if metrics.stage is None:
        return ""
    far = f", {metrics.done:,} of {metrics.total:,}" if metrics.done is not None and metrics.total else ""
    return f"{_STAGES.get(metrics.stage, metrics.stage)}{far}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def run_facts(metrics: RunMetrics) -> str:
    """Say on what a run computes, with how much memory and how fast: "cpu, 1.4 GB, 310 spots/s"."""
    device, memory, speed = (metrics.last(name) for name in ("device", "memory_mb", "spots_per_second"))
    said = (
        str(device or ""),
        "" if not memory else f"{memory / 1000:z.1f} GB" if memory >= 1000 else f"{memory:z.0f} MB",
        "" if not speed else f"{speed:z,.0f} spots/s" if speed >= 10 else f"{speed:z.1f} spots/s",
    )
    return ", ".join(part for part in said if part)


def result_words(card: Card) -> str:
    """Say how good the model of a run is, as far as the run itself can tell."""
    said = [held_out_words(card)]
    if card.evaluation is not None and card.evaluation.genes:
        better = sum(not trust.chance for trust in card.evaluation.genes.values())
        said.append(f"{better} of them better than chance.")
        if card.evaluation.kind == "same-patient":
            blocks = all(name.endswith(_BLOCK) for name in card.evaluation.samples)
            what = "Parts of the sections it trained on were held out" if blocks else "It has learnt from that patient"
            said.append(f"{what}: on another patient it is lower.")
    return " ".join(said)


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


def map_words(gene: str, found: HeldOutPrediction, section: SectionPrediction, pcc: float | None) -> str:
    """Say what a map of held-out spots shows and how well it agrees; `pcc` is None where a side does not vary."""
    where = section.name if found.what == "sections" else f"block of {section.name}"
    when = "finished model" if found.epoch is None else f"epoch {found.epoch + 1}"
    agrees = "the same in every spot, no PCC" if pcc is None else f"PCC {pcc:z.2f}"
    return f"{gene}, {where}, {when}: {agrees} across {count(len(section.xy), 'spot')}"
