"""The live table of a cohort in the terminal: how many slides are where, how fast, and what each worker has at hand."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from napari_nh2st.terminal import is_quiet, say

_LIVE, _LINES = 0.5, 15.0  # seconds between two looks: of a terminal, of a log
_MOST = 8  # slides at work that are listed


@dataclass(frozen=True)
class Standing:
    """How a cohort stands.

    Attributes
    ----------
    done, running, failed, waiting : int
        Slides.
    workers : int
    mm2 : float
        Tissue predicted since it began.
    seconds : float
        Since then.
    left : float or None
        Seconds, where something can be said.
    at_work : list of (name, done, total)
        Slides at work, with their tiles as far as they have told.
    what : str
        The word for what is counted, where it is not slides.
    """

    done: int
    running: int
    failed: int
    waiting: int
    workers: int
    mm2: float
    seconds: float
    left: float | None
    at_work: Sequence[tuple[str, int, int]] = field(default_factory=list)
    what: str = "slides"

    def summary(self) -> str:
        """Return the first line."""
        parts = [f"{self.done} done", f"{self.running} running", f"{self.failed} failed", f"{self.waiting} waiting"]
        rate = f"; {self.mm2 / self.seconds:.3g} mm²/s" if self.mm2 and self.seconds else ""
        left = f"; {span(self.left)} left" if self.left is not None and self.running + self.waiting else ""
        workers = f"{self.workers} worker{'' if self.workers == 1 else 's'}"
        return f"{self.what}: {', '.join(parts)}; {workers}{rate}{left}"

    def lines(self, width: int) -> list[str]:
        """Return all lines, cut to a terminal's width."""
        rows = [
            f"  {name}: {done:,} of {total:,} tiles" if total else f"  {name}" for name, done, total in self.at_work
        ]
        more = len(rows) - _MOST
        rows = rows[:_MOST] + ([f"  and {more} more"] if more > 0 else [])
        return [line if len(line) < width else f"{line[: width - 2]}…" for line in (self.summary(), *rows)]


def span(seconds: float) -> str:
    """Return a span of time for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class LiveTable:
    """Draws the standing on standard error: redrawn in a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._live, self._drawn, self._last = sys.stderr.isatty(), 0, 0.0

    def show(self, standing: Standing, *, last: bool = False) -> None:
        """Draw, unless that was done a moment ago."""
        now = time.monotonic()
        if is_quiet() or (now - self._last < (_LIVE if self._live else _LINES) and not last):
            return
        self._last = now
        if not self._live:
            say(standing.summary())
            return
        self.clear()
        lines = standing.lines(shutil.get_terminal_size().columns)
        print("\n".join(lines), file=sys.stderr, flush=True)
        self._drawn = len(lines)

    def clear(self) -> None:
        """Take the table away, so that a message can be printed where it was."""
        if self._drawn:
            print(f"\x1b[{self._drawn}F\x1b[J", end="", file=sys.stderr, flush=True)
            self._drawn = 0
