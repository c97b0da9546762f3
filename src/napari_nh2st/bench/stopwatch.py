"""Seconds of a run, and what other programs took of the processor meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path


class Stopwatch:
    """Seconds since it was made, and what other programs took of the processor meanwhile."""

    def __init__(self) -> None:
        self._busy, self._own = _busy_seconds(), _own_seconds()
        self._start = time.perf_counter()

    def stop(self) -> tuple[float, float]:
        """Return the seconds, and the share of all cores that others took; 0 where the system does not say."""
        seconds = time.perf_counter() - self._start
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        return seconds, min(1.0, max(0.0, others / (seconds * (os.cpu_count() or 1))))


def _busy_seconds() -> float:
    """Seconds of all cores, of all programs and of what a virtual machine was not given (proc(5), /proc/stat)."""
    try:
        line = Path("/proc/stat").read_text("ascii").splitlines()[0].split()[1:9]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, softirq, steal = map(int, line)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Seconds of this process and of the children that have ended."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)
