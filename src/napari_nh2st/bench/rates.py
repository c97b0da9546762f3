"""Comparing speeds on a machine that is never quite idle: side by side, in turns, as ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from napari_nh2st.bench.figures import Value
from napari_nh2st.errors import Cancelled


@dataclass(frozen=True)
class Rate:
    """The speed of one contender in one round.

    Attributes
    ----------
    places : float
        Places (spots, tiles, cells) a second.
    area : float
        mm² of tissue a second; 0 where no area is covered.
    """

    places: float
    area: float = 0.0


Contender = Callable[[], Rate]
"""Measures itself once."""

Unit = str


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far, never 0."""
        return max(time.perf_counter() - self._started, 1e-9)


def in_turns(
    contenders: Mapping[str, Contender],
    repeat: int,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, list[Rate]]:
    """Measure all contenders one after another, `repeat` times over: A, B, A, B, ...

    Before that, each contender runs once unmeasured: setting up code, files and memory is no part of its speed.

    Returns
    -------
    dict of list of Rate
        One for each round.

    Raises
    ------
    Cancelled
    """
    out: dict[str, list[Rate]] = {name: [] for name in contenders}
    total = (repeat + 1) * len(contenders)
    for turn in range(repeat + 1):
        for i, (name, measure) in enumerate(contenders.items()):
            if cancelled():
                raise Cancelled("stopped")
            rate = measure()
            if turn:
                out[name].append(rate)
            progress(turn * len(contenders) + i + 1, total)
    return out


def ratio(over: Sequence[Rate], under: Sequence[Rate], unit: Unit = "places") -> Value:
    """Median, smallest and largest of the rounds' ratios: each round is compared with itself alone."""
    each = [getattr(a, unit) / getattr(b, unit) for a, b in zip(over, under, strict=True)]
    return Value(statistics.median(each), min(each), max(each))


def median_rate(rates: Sequence[Rate]) -> dict[str, float]:
    """Return the medians as they stand in the document."""
    medians = {"places_per_s": statistics.median(r.places for r in rates)}
    if any(r.area for r in rates):
        medians["mm2_per_s"] = statistics.median(r.area for r in rates)
    return medians
