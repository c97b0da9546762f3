"""Batches that follow from seed and epoch alone, and how large they are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import distributed as dist
from torch.utils.data import IterableDataset

# Optimiser steps of an epoch: as many as it takes to meet each spot once, within these bounds. A few hundred spots so
# get enough steps to learn from, and of many thousand an epoch is still soon over.
FEWEST_STEPS, MOST_STEPS = 30, 1000


def spots_a_step(spots: int) -> int:
    """How many targets an optimiser step takes: 16 of 500 spots, more of more, with their square root."""
    return int(np.clip(round(16 * (spots / 500) ** 0.5), 12, 256))


def windows_a_step(spots: int, each: float) -> int:
    """How many windows hold so many targets: an even number, of which two threads take as many each."""
    return max(2, 2 * round(spots / each / 2))


class Batches(IterableDataset[Any]):
    """What the steps of an epoch are made of, in any order but always the same one.

    Deterministic in (seed, epoch): a resumed run meets the batches it would have met. Several processes draw the same
    and each takes its share.

    Parameters
    ----------
    batch : int
        What one process draws for a step.
    seed : int
    processes : int
        How many train together.
    parts : int
        A step's share is handed out in so many pieces, one after another, where memory does not hold it at once.
    """

    def __init__(self, batch: int, seed: int, processes: int = 1, parts: int = 1) -> None:
        super().__init__()
        self.batch, self.seed, self.processes, self.parts = batch, seed, processes, min(parts, batch)
        self.epoch = 0

    @property
    def steps(self) -> int:
        """Optimiser steps of an epoch."""
        return int(np.clip(round(self.whole() / self.batch / self.processes), FEWEST_STEPS, MOST_STEPS))

    def __len__(self) -> int:
        return self.steps * self.parts

    @abstractmethod
    def whole(self) -> float:
        """How much there is to draw until each spot has been met once."""

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
