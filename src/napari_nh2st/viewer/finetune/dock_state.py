"""The state of a run in the fine-tune dock: where it stands, and what can be done with it. No Qt."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from psygnal import SignalGroupDescriptor

from napari_nh2st.training.run.run_process import RunStatus
from napari_nh2st.viewer.finetune.messages import progress_words

START = "Start the run. It continues when you close napari"


@dataclass(frozen=True)
class StartOffer:
    """The button that starts a run."""

    text: str = "Start"
    tip: str = START
    reason_off: str = ""


@dataclass(frozen=True)
class Progress:
    """Progress of a run: steps of its stage or epochs done, of how many (0 if not known), and the same in words."""

    done: int = 0
    total: int = 0
    words: str = ""


@dataclass(eq=False)
class FinetuneState:
    """The state of the dock. It tells its listeners what changes.

    Attributes
    ----------
    folder : str
        Of the run, as it was typed.
    status : RunStatus
        Of the run in that folder.
    sentence : str
        Where the run stands, or what is missing before it can be started.
    start : StartOffer
    settings_off, pause_off, stop_off : str
        Why the settings cannot be edited, the run not held, not stopped; empty where they can.
    held : bool
        Whether the run is held, or will be after its current step.
    progress : Progress or None
        None while no run is at work.
    log : str
        The end of what the run printed.
    model : Path or None
        Of a run that has ended.
    choosing : bool
        Whether sections and choices are in sight; a run at work needs the room.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    folder: str = ""
    status: RunStatus = field(default_factory=lambda: RunStatus("empty"))
    sentence: str = ""
    start: StartOffer = StartOffer()
    settings_off: str = ""
    pause_off: str = ""
    stop_off: str = ""
    held: bool = False
    progress: Progress | None = None
    log: str = ""
    model: Path | None = None
    choosing: bool = True


def progress_of(status: RunStatus) -> Progress:
    """Say how far a run at work is."""
    metrics, words = status.metrics, progress_words(status)
    if metrics.total:  # of what it does before, between or after the epochs
        return Progress(min(metrics.done or 0, metrics.total), metrics.total, words)
    return Progress(metrics.epoch or 0, (metrics.total_epochs or 0) if metrics.training else 0, words)
