"""Batches that follow from seed and epoch alone, and how large they are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import distributed as dist
from torch.utils.data import IterableDataset

# Optimiser steps of an epoch: as many as it takes to meet each spot once, within these bounds. A few hundred spots so
# get enough steps to learn from, and of many thousand an epoch is still soon over.
FEWEST_STEPS, MOST_STEPS = 30, 1000


def spots_a_step(spots: int) -> int:
    """Choose the targets of an optimiser step: 16 for 500 spots, growing with the square root of the spots."""
    return int(np.clip(round(16 * (spots / 500) ** 0.5), 12, 256))


def embedded_a_step(spots: int) -> int:
    """Choose the embedded targets of an optimiser step: 128 for 500 spots. Many are cheap, and contrast needs them.

    Eights, so that a spot more or less in training makes no other step.
    """
    return int(np.clip(8 * round(16 * (spots / 500) ** 0.5), 32, 512))


def windows_a_step(spots: int, each: float) -> int:
    """Choose the windows that hold so many targets: an even number, so that two threads take as many each."""
    return max(2, 2 * round(spots / each / 2))


@dataclass(frozen=True)
class StepPlan:
    """Size of a step, and its shares.

    Attributes
    ----------
    batch : int
        Spots, or windows, that one process draws for a step.
    seed : int
    processes : int
        Processes that train together.
    parts : int
        Pieces in which a process takes its share, one after another, where memory does not hold it at once.
    """

    batch: int
    seed: int
    processes: int = 1
    parts: int = 1


class Batches(IterableDataset[Any]):
    """The batches of an epoch, at random but always the same.

    Deterministic in (seed, epoch): a resumed run meets the batches it would have met. Several processes draw the same
    and each takes its share.
    """

    def __init__(self, step: StepPlan) -> None:
        super().__init__()
        self.batch, self.seed, self.processes = step.batch, step.seed, step.processes
        self.parts = min(step.parts, step.batch)
        self.epoch = 0

    @property
    def steps(self) -> int:
        """Optimiser steps of an epoch."""
        return int(np.clip(round(self.whole() / self.batch / self.processes), FEWEST_STEPS, MOST_STEPS))

    def __len__(self) -> int:
        return self.steps * self.parts

    @abstractmethod
    def whole(self) -> float:
        """Count what is drawn until each spot has been met once."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Iterator[Any]:
        """Draw without end."""

    @abstractmethod
    def make(self, drawn: list[Any]) -> Any:
        """Turn what was drawn into a batch."""

    def __iter__(self) -> Iterator[Any]:
        rng = np.random.default_rng([self.seed, 2, self.epoch])
        self.epoch += 1
        source = self.draw(rng)
        rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
        for _ in range(self.steps):
            share = [next(source) for _ in range(self.batch * self.processes)][rank :: self.processes]
            for part in range(self.parts):
                yield self.make(share[part :: self.parts])
