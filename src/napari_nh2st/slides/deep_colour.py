"""Colour of 16 bits, shown by 8: one rule for every reader, and a sentence that says how it was applied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

# Bits that cameras use of 16. A picture whose brightest samples fit fewer would be nearly black if 65,535 were white.
DEPTHS = (8, 10, 12, 14, 16)
LOOKED_AT = 16  # tiles in which the brightest sample is looked for


@dataclass(frozen=True)
class Depth:
    """The bits of a sample that a picture uses: 0 is black, ``2**bits - 1`` is white.

    Attributes
    ----------
    bits : int
        One of `DEPTHS`.
    told : bool
        True if the file says so, False if its brightest samples do.
    """

    bits: int = 16
    told: bool = False

    @classmethod
    def of(cls, told: int | None, tiles: Iterable[npt.NDArray[Any]]) -> Depth:
        """Believe the file; otherwise take the fewest bits that hold the brightest sample of some tiles.

        Parameters
        ----------
        told : int or None
            Bits, as the file says.
        tiles : iterable of uint16 arrays
            Samples of parts of the picture; not asked for if the file says something.
        """
        if told in DEPTHS:
            return cls(int(told), True)
        brightest = max((int(tile.max(initial=0)) for tile in tiles), default=0)
        return cls(next(bits for bits in DEPTHS if brightest < 2**bits))

    @property
    def white(self) -> int:
        """The sample that is shown as 255."""
        return int(2**self.bits - 1)

    def to_eight(self, samples: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Scale samples of any shape to 0 to 255, rounded; brighter ones than white become white."""
        scaled = (samples.astype(np.uint32) * 255 + self.white // 2) // self.white
        return np.minimum(scaled, 255).astype(np.uint8)

    @property
    def sentence(self) -> str:
        """The rule, for the slide's warnings."""
        why = "as the file says" if self.told else "as its brightest samples show"
        return (
            f"its colours have 16 bits, of which {self.bits} are used, {why}: they are shown by 8 bits, with "
            f"{self.white:,} as white"
        )


ALL_BITS = Depth(16, told=True)


class DeepLevel(Protocol):
    """A level that may have samples of 16 bits."""

    def depth(self) -> Depth | None:
        """Find out how many of 16 bits are used; None for a level of 8 bits."""

    def show_by(self, depth: Depth) -> None:
        """Scale samples of 16 bits by this depth; called once, before anything is read."""


def settle_depth(levels: Sequence[DeepLevel]) -> list[str]:
    """Let all levels of a picture, the finest first, show samples of 16 bits by one rule; return it, to be told."""
    depth = levels[-1].depth()  # the smallest level shows most with few tiles
    if depth is None:
        return []
    for level in levels:
        level.show_by(depth)
    return [depth.sentence]


def spread_over(rows: int, columns: int) -> list[tuple[int, int]]:
    """Choose at most `LOOKED_AT` tiles of a grid, spread over it."""
    side = int(LOOKED_AT**0.5)
    places = (np.unique(np.linspace(0, count - 1, side).astype(int)).tolist() for count in (rows, columns))
    down, across = places
    return [(row, column) for row in down for column in across]
