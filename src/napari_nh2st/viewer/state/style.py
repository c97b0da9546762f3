"""Colours of heatmaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from psygnal import SignalGroupDescriptor

DEFAULT_COLORMAP = "viridis"  # the middle of magma is the pink of the tissue itself
PERCENTILES = {"1 to 99 %": (1.0, 99.0), "5 to 95 %": (5.0, 95.0), "lowest to highest": (0.0, 100.0)}


@dataclass(eq=False)
class Style:
    """The colours of heatmaps. It tells its listeners when one of its values changes.

    Attributes
    ----------
    percentiles : (2,) tuple
        The part of the values that the colours span.
    locked : bool
        Limits stay as they are, whatever gene is shown or predicted next, on whatever slide.
    smooth : bool
        Values run into one another between the centres of cells; for the eye alone.
    last : (low, high) or None
        The limits in use, once something was predicted.
    by_hand : dict
        The limits (low, high) that the user gave a gene, by (unit, gene).
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    colormap: str = DEFAULT_COLORMAP
    percentiles: tuple[float, float] = (1.0, 99.0)
    locked: bool = False
    smooth: bool = False
    last: tuple[float, float] | None = None
    by_hand: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def when_restyled(self, listener: Callable[[], None]) -> None:
        """Call a listener when the user chooses other colours, percentiles, a lock or smoothing."""
        for changed in (self.events.colormap, self.events.percentiles, self.events.locked, self.events.smooth):
            changed.connect(listener)
