"""The time and memory that a run will take, as a person would say them. Quick to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    pass


# What is said is rounded to one of these: minutes up to an hour, then hours.
_MINUTES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 35, 40, 45, 50, 55)


class Estimate(BaseModel):
    """Time and memory that a run will take on this machine.

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
    warnings : list of str
        What to know of the sections that were read, a line each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float
    memory_mb: float
    device: str
    parts: dict[str, float]
    spots: int
    steps: int
    warnings: list[str] = []

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
    """Round a time to what is known of it, in words."""
    minutes = seconds / 60
    if seconds < 50:
        return "less than a minute"
    if minutes < 57.5:
        return f"about {min(_MINUTES, key=lambda m: abs(m - minutes))} min"
    hours = minutes / 60
    return f"about {hours:.1f} h".replace(".0 h", " h") if hours < 9.5 else f"about {hours:.0f} h"


def about_memory(megabytes: float) -> str:
    """Round an amount of memory to what is known of it, in words; empty if nothing is."""
    if megabytes <= 0:
        return ""
    gigabytes = megabytes / 1000
    return f"{gigabytes:.1f} GB" if gigabytes < 9.95 else f"{gigabytes:.0f} GB"


def _short(seconds: float) -> str:
    if seconds < 1:
        return "less than 1 s"
    return f"{seconds:.0f} s" if seconds < 120 else about_time(seconds).removeprefix("about ")
