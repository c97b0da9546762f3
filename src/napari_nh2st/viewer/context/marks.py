"""The number on each of the nine tiles: what taking that tile away changes. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

from napari_nh2st.analysis.context import NeighbourEffects
from napari_nh2st.geometry import SELF
from napari_nh2st.viewer.context.messages import absent_tip, neighbour_tip
from napari_nh2st.viewer.kit.phrases import signed
from napari_nh2st.viewer.layers.context_effect import LOWER, RAISE

OWN_COLOUR = "#ffd400"
_NOTHING = 0.005  # a smaller change is written as 0.00


@dataclass(frozen=True)
class Mark:
    """One of the nine tiles.

    Attributes
    ----------
    text, colour : str
        On its lower edge, and round it; empty for none.
    tip : str
        Its tooltip.
    absent : bool
        The model does not look at it: hatched.
    """

    text: str = ""
    colour: str = ""
    tip: str = ""
    absent: bool = False


def marks_of(effects: NeighbourEffects, gene: str, column: int) -> list[Mark]:
    """Return the marks of the nine tiles, in the order of `geometry.NEIGHBOUR_STEPS`.

    Parameters
    ----------
    column : int
        Of the gene in the panel.
    """
    here = float(effects.here([column])[0])
    changes = effects.changes([column])[:, 0]
    return [_mark(i, gene, here, float(change), bool(effects.present[i])) for i, change in enumerate(changes)]


def _mark(index: int, gene: str, here: float, change: float, present: bool) -> Mark:
    if index == SELF:
        return Mark(f"{here:z.2f}", OWN_COLOUR, f"This tile: {gene} {here:z.2f}")
    if not present:
        return Mark(tip=absent_tip(index), absent=True)
    colour = "" if abs(change) < _NOTHING else RAISE if change < 0 else LOWER  # where it adds, taking it away lowers
    return Mark(signed(change), colour, neighbour_tip(index, gene, here, change))
