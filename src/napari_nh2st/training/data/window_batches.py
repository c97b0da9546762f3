"""Batches of windows, for training that passes through the encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_nh2st.geometry import SELF
from napari_nh2st.model.card import Card
from napari_nh2st.training.data.batches import Batches, StepPlan
from napari_nh2st.training.data.windows import Window, WindowCutter, spots_a_window, turn
from napari_nh2st.training.sections.section import FloatArray, Section

# Steps whose windows are sorted by size together: more leave less to be filled up, but mix sizes and sections less.
SORTED_STEPS = 32


@dataclass(frozen=True, eq=False)
class Block:
    """The place of a training window, and the way it is then turned.

    Attributes
    ----------
    section : Section
    low, high : (2,) float64
        First and last (x, y) of its targets, in pixels of the crop.
    size : tuple of int
        Of a window that holds them whole, as it lies after turning: (width, height), the width never the smaller.
    quarter : int
    mirror : bool
    slack : (2,) float64
        In [0, 1): the part of the remaining room that lies before the targets.
    """

    section: Section
    low: FloatArray
    high: FloatArray
    size: tuple[int, int]
    quarter: int
    mirror: bool
    slack: FloatArray


class WindowBatches(Batches):
    """Batches of windows round randomly chosen training spots, cropped to the patches that fit in whole.

    Nothing is encoded that no target needs: round the spots of a window as it was drawn lies a margin of half its area.
    The windows of a step are of about the same size, so that little has to be added to make them equal.

    Parameters
    ----------
    side : int
        Of a window before it is cropped, model pixels; more where a patch needs more.
    """

    def __init__(
        self,
        sections: Sequence[Section],
        cutter: WindowCutter,
        card: Card,
        side: int,
        step: StepPlan,
    ) -> None:
        super().__init__(step)
        self.sections, self.cutter = sections, cutter
        stride = self.stride = card.architecture.stride
        # What a window has to hold before and beyond a spot. A map's cells stand on the first pixel of their stride.
        dense = card.architecture.row.dense
        self.margins = np.array([3 * stride, 4 * stride] if dense else [card.patch // 2] * 2)
        self.side = max(side, 4 * int(self.margins.max()))  # the spot that it is drawn round fits in wherever it lies

    def whole(self) -> float:
        """Count the windows that hold as many spots as there are."""
        return sum(float((~s.held_out).sum()) / spots_a_window(s, self.side) for s in self.sections)

    def draw(self, rng: np.random.Generator) -> Iterator[Block]:
        """Draw the blocks of some steps at once, and give those of like size to the same step."""
        weight = np.array([(~s.held_out).sum() for s in self.sections], dtype=float)
        each = self.batch * self.processes
        while True:
            drawn = [self._draw(rng, weight / weight.sum()) for _ in range(SORTED_STEPS * each)]
            drawn.sort(key=lambda block: block.size)
            for step in rng.permutation(SORTED_STEPS).tolist():
                yield from drawn[step * each : (step + 1) * each]

    def _draw(self, rng: np.random.Generator, weight: FloatArray) -> Block:
        section = self.sections[int(rng.choice(len(self.sections), p=weight))]
        spots = section.centres[~section.held_out, SELF]
        corner = rng.choice(spots) - self.side / 2 + rng.uniform(-0.25, 0.25, 2) * self.side
        whole = (spots >= corner + self.margins[0]) & (spots <= corner + self.side - self.margins[1])
        low, high = (f(spots[whole.all(axis=1)], axis=0) for f in (np.min, np.max))
        needed = high - low + self.margins.sum() + 1  # a pixel, because corners are whole ones
        width, height = (int(v) for v in np.ceil(needed / self.stride) * self.stride)
        # Turned so that it lies: windows of like size then fit together whichever way they lay in the tissue.
        quarter = int(rng.integers(4)) if width == height else 2 * int(rng.integers(2)) + (width < height)
        size = (max(width, height), min(width, height))
        return Block(section, low, high, size, quarter, bool(rng.integers(2)), rng.random(2))

    def make(self, drawn: list[Block]) -> list[Window]:
        """Cut the windows, all as large as the largest."""
        width, height = (max(block.size[i] for block in drawn) for i in (0, 1))
        return [self._cut(block, (height, width) if block.quarter % 2 else (width, height)) for block in drawn]

    def _cut(self, block: Block, size: tuple[int, int]) -> Window:
        section = block.section
        spots = section.centres[:, SELF]
        flipped = np.array([block.quarter in (1, 2), block.quarter in (2, 3)])
        flipped[block.quarter % 2] ^= block.mirror  # the axis that lies across after turning
        before, beyond = np.where(flipped, self.margins[::-1, None], self.margins[:, None])
        room = size - (block.high - block.low) - before - beyond - 1
        corner = np.floor(block.low - before - block.slack * room).astype(np.int64)
        inside = ((spots >= corner) & (spots < corner + size)).all(axis=1) & ~section.held_out
        window = self.cutter.cut(section, corner, size, np.flatnonzero(inside))
        return turn(window, block.quarter, block.mirror)
