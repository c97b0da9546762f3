"""What a fine-tuning run will take, said before it is started: from a short trial of the very steps of a run.

Nothing heavy is loaded before `estimate` is called, so that a window can read what another process has found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from napari_nh2st.expression import Sample
    from napari_nh2st.training.config import TrainingConfig

# What is said is rounded to one of these: minutes up to an hour, then hours.
_MINUTES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 35, 40, 45, 50, 55)


class Estimate(BaseModel):
    """What a run will take on this machine.

    Attributes
    ----------
    seconds : float
        Of the whole run, if it is not ended early because it gets no better.
    memory_mb : float
        The most that the process takes, MB; of the graphics card where that is the device. 0 where it is not known.
    device : str
    parts : dict of str to float
        Seconds by stage, in the order of a run; they add up to `seconds`.
    spots, steps : int
        Spots that are trained on, and optimiser steps in all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float
    memory_mb: float
    device: str
    parts: dict[str, float]
    spots: int
    steps: int

    @property
    def takes(self) -> str:
        """Time and memory as a person would say them: "about 6 min, 1.9 GB"."""
        memory = about_memory(self.memory_mb)
        return f"{about_time(self.seconds)}, {memory}" if memory else about_time(self.seconds)

    @property
    def stages(self) -> list[str]:
        """The stages with their time, "training 24 s"; those of no length are left out."""
        return [f"{name} {_short(seconds)}" for name, seconds in self.parts.items() if seconds >= 0.05]

    def __str__(self) -> str:
        memory = about_memory(self.memory_mb)
        beside = f" and {memory}" if memory else ""
        return f"{about_time(self.seconds)}{beside} on this machine ({self.device}): {', '.join(self.stages)}"


def about_time(seconds: float) -> str:
    """Say a time no more exactly than it is known."""
    minutes = seconds / 60
    if seconds < 50:
        return "less than a minute"
    if minutes < 57.5:
        return f"about {min(_MINUTES, key=lambda m: abs(m - minutes))} min"
    hours = minutes / 60
    return f"about {hours:.1f} h".replace(".0 h", " h") if hours < 9.5 else f"about {hours:.0f} h"


def about_memory(megabytes: float) -> str:
    """Say an amount of memory no more exactly than it is known; nothing where it is not."""
    if megabytes <= 0:
        return ""
    gigabytes = megabytes / 1000
    return f"{gigabytes:.1f} GB" if gigabytes < 9.95 else f"{gigabytes:.0f} GB"


def _short(seconds: float) -> str:
    if seconds < 1:
        return "less than 1 s"
    return f"{seconds:.0f} s" if seconds < 120 else about_time(seconds).removeprefix("about ")


def estimate(
    sheet: str | Path | Sequence[Sample],
    *,
    base: str | Path | None = None,
    config: TrainingConfig | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[str], Any] = lambda stage: None,
) -> Estimate:
    """Estimate the time and memory of `finetune` with the same sections, base and settings.

    Counts are read, one section is loaded, and on a part of it some steps of each stage are made and timed; what a
    stage takes is taken to grow with what it works on: tissue with its pixels, pretraining with its steps, training
    with steps, epochs and the second training. Nothing is written. Memory is told best in a process of its own: what
    the process has taken before counts as well.

    Memory, in bytes, of a run on the processor::

        max(peak of the trial, resident after it + slope * pixels of the largest window) + rest
        slope = peak rise from a small window to a larger one / difference of their pixels
        rest  = 3 * pixels of the sections that the trial has not loaded
                + 9 * (4 * embedding + 2 * views * channels) * spots    (the head alone: what the encoder has seen)
                + 24 * (inputs + landmarks) * spots                     (the kernel head's fit)

    On a graphics card only the first line counts, of what is allocated there.

    Parameters
    ----------
    sheet, base, config
        As for `finetune`.
    cancelled : callable
        Asked between steps.
    progress : callable
        Told what is being tried.

    Raises
    ------
    SampleError, MppNeeded, ModelError
        As `finetune` would.
    Cancelled
    """
    begin = time.perf_counter()
    import torch

    from napari_nh2st.expression import read_sheet
    from napari_nh2st.model.folder import load_model
    from napari_nh2st.training.config import TrainingConfig
    from napari_nh2st.training.forecast import forecast
    from napari_nh2st.training.held_out_sections import split_samples
    from napari_nh2st.training.quiet_lightning import quiet
    from napari_nh2st.training.timing_probe import try_out

    starting = time.perf_counter() - begin
    config = TrainingConfig() if config is None else config
    samples = read_sheet(sheet) if isinstance(sheet, (str, Path)) else list(sheet)
    start = None if base is None else load_model(base)
    with quiet(), torch.random.fork_rng(devices=[]):
        trial = try_out(*split_samples(samples, config), config, start, cancelled, progress)
    trial.starting = starting
    return forecast(trial, config)
