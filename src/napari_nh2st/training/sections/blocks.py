"""Blocks of a section that a run does not learn from: one chooses the best epoch, another one is scored.

Compact blocks, not scattered spots: neighbouring spots are alike, and scattered ones would be guessed from theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from napari_nh2st.geometry import SELF
from napari_nh2st.training.sections.array_pitch import spacing_of
from napari_nh2st.training.sections.section import Section

Bool = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

# From a spot of one block to the next of the other, in distances between neighbouring spots: two rows of an array lie
# between, and neighbourhoods (a place further on, and half a patch) share hardly any tissue.
APART = 2.5
# Spots of a scored block at least: over two, every correlation is 1 or -1.
FEWEST = 3
_SEATS = 64  # places for a scored block that are looked at
_LOOSE = 1.25  # it may reach this much further round its middle than the most compact of them


@dataclass(frozen=True, eq=False)
class Blocks:
    """Spots of a section that are not learnt from.

    Attributes
    ----------
    inner : (n,) bool
        They choose the best epoch.
    scored : (n,) bool
        They choose nothing, the panel and the encoder's pretraining included, and are reported. None of a section that
        is too small for a second block.
    """

    inner: Bool
    scored: Bool


def lay_blocks(spots: Sequence[FloatArray], part: float, seed: int, *, scored: bool = True) -> list[Blocks]:
    """Choose the blocks of some sections, by the places of their spots alone.

    Parameters
    ----------
    spots : sequence of (n, 2) arrays
        (x, y) in any unit.
    part : float
        Of a section's spots, in each block.
    seed : int
    scored : bool
        Lay a scored block beside the inner one; not needed where whole sections are scored.
    """
    inner_rng, scored_rng = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 7])
    out = []
    for xy in spots:
        count = max(2, round(part * len(xy)))
        inner = _inner(xy, count, inner_rng)
        none = np.zeros(len(xy), dtype=bool)
        out.append(Blocks(inner, _apart(xy, inner, count, scored_rng) if scored and count >= FEWEST else none))
    return out


def hold_out(sections: Sequence[Section], blocks: Sequence[Blocks]) -> None:
    """Mark the spots of blocks as held out, in place."""
    for section, block in zip(sections, blocks, strict=True):
        section.inner[:] = block.inner
        section.held_out[:] = block.inner | block.scored


def hold_out_blocks(sections: Sequence[Section], part: float, seed: int, *, scored: bool = True) -> None:
    """Choose blocks of loaded sections and mark them, in place; see `lay_blocks`."""
    hold_out(sections, lay_blocks([section.centres[:, SELF] for section in sections], part, seed, scored=scored))


def release(sections: Sequence[Section]) -> None:
    """Let all spots be learnt from, in place."""
    for section in sections:
        section.inner[:] = section.held_out[:] = False


def _inner(spots: FloatArray, count: int, rng: np.random.Generator) -> Bool:
    """Take the spots round one of the outer half, so that the block does not cut the section in two."""
    seat = rng.choice(np.flatnonzero(_outer(spots)))
    block = np.zeros(len(spots), dtype=bool)
    block[np.argsort(np.linalg.norm(spots - spots[seat], axis=1), kind="stable")[:count]] = True
    return block


def _apart(spots: FloatArray, inner: Bool, count: int, rng: np.random.Generator) -> Bool:
    """Take spots that lie apart from the inner block and close together; none where there are too few."""
    block = np.zeros(len(spots), dtype=bool)
    free = np.flatnonzero(cKDTree(spots[inner]).query(spots)[0] > APART * spacing_of(spots))
    if len(free) < count:
        return block
    outer = free[_outer(spots)[free]]
    seats = rng.permutation(outer if len(outer) else free)[:_SEATS]
    reach = np.array([np.sort(np.linalg.norm(spots[free] - spots[seat], axis=1))[count - 1] for seat in seats])
    seat = seats[np.argmax(reach <= _LOOSE * reach.min())]
    block[free[np.argsort(np.linalg.norm(spots[free] - spots[seat], axis=1), kind="stable")[:count]]] = True
    return block


def _outer(spots: FloatArray) -> Bool:
    away = np.linalg.norm(spots - spots.mean(axis=0), axis=1)
    outer: Bool = away >= np.median(away)
    return outer
