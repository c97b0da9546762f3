"""Comparing speeds on a machine that is never quite idle: side by side, in turns, as ratios."""

from __future__ import annotations

import statistics
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_nh2st.bench.figures import Value
from napari_nh2st.errors import Cancelled, Nh2stError


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
    failed: dict[str, str] | None = None,
) -> dict[str, list[Rate]]:
    """Measure all contenders one after another, `repeat` times over: A, B, A, B, ...

    Before that, each contender runs once unmeasured: setting up code, files and memory is no part of its speed.

    Parameters
    ----------
    contenders : dict of callable
    repeat : int
    cancelled, progress : callable
    failed : dict, optional
        Takes the failures by contender; the others go on. Without it a failure is raised.

    Returns
    -------
    dict of list of Rate
        One for each round; a contender that failed is not in it.

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
            if name in out:
                _take_turn(name, measure, out, failed)
            if turn == 0 and name in out:
                out[name].clear()
            progress(turn * len(contenders) + i + 1, total)
    return out


def _take_turn(name: str, measure: Contender, out: dict[str, list[Rate]], failed: dict[str, str] | None) -> None:
    """Measure once; a contender that fails is out."""
    try:
        out[name].append(measure())
    except Cancelled:
        raise
    except Exception as error:
        if failed is None:
            raise
        failed[name] = failure(error)
        del out[name]


def failure(error: Exception) -> str:
    """Put a failure into one line: ours says what to do, any other where it was raised."""
    if isinstance(error, Nh2stError):
        return f"failed: {error}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = str(error).strip().splitlines() or [""]
    return f"failed: {type(error).__name__} in {Path(last.filename).name}:{last.lineno}: {said[0]}"


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
