"""How long the window did not answer, and what it did then: a timer beats on the GUI thread, another thread looks.

A beat that comes late is a freeze. While it is late, the other thread takes samples of what the GUI thread does.
Drawing the canvas is napari's own, everything else counts. The innermost line of this package is named, or the
innermost of all.
"""

from __future__ import annotations

import faulthandler
import re
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np
from qtpy.QtCore import QTimer

BEAT_S = 0.01
LATE_S = 0.05  # only beats later than this are looked into
_LINE = re.compile(r'File "(?P<path>.*)", line (?P<line>\d+) in (?P<name>.*)')
_DRAWING = ("paintGL", "_on_draw", "on_draw", "flush_gl", "screenshot")


@dataclass
class Freeze:
    """A beat that came late.

    Attributes
    ----------
    step : str
        What the person had done last.
    seconds, processor : float
        By the clock, and of the GUI thread's processor time: less where other programs or a disk were waited for.
    drawing : float
        The part, 0 to 1, in which the canvas was drawn.
    causes : Counter of str
        The lines of code that the samples saw.
    """

    step: str
    seconds: float
    processor: float
    drawing: float = 0.0
    causes: Counter[str] = field(default_factory=Counter)

    @property
    def beyond(self) -> float:
        """Seconds beyond napari's own drawing, of processor time where that is less."""
        return min(self.seconds, self.processor + 0.02) * (1 - self.drawing)

    @property
    def cause(self) -> str:
        """The line that was seen most often."""
        return self.causes.most_common(1)[0][0] if self.causes else "?"


class Heartbeat:
    """Beats in the thread that makes it, which is the GUI thread."""

    def __init__(self) -> None:
        self.step = ""
        self.beats: list[float] = []  # seconds by which each came late
        self.freezes: list[Freeze] = []
        self._gui = threading.get_ident()
        self._samples: list[tuple[str, bool]] = []
        self._last, self._processor = time.perf_counter(), time.thread_time()
        self._closed = threading.Event()
        self._timer = QTimer(interval=int(1000 * BEAT_S))
        self._timer.timeout.connect(self._beat)
        self._timer.start()
        threading.Thread(target=self._look, name="heartbeat", daemon=True).start()

    def forget(self) -> None:
        """Do not count what happened since the last beat, a screenshot say."""
        self._samples.clear()
        self._last, self._processor = time.perf_counter(), time.thread_time()

    def close(self) -> None:
        self._timer.stop()
        self._closed.set()

    def _beat(self) -> None:
        now, processor = time.perf_counter(), time.thread_time()
        late = now - self._last - BEAT_S
        self.beats.append(max(0.0, late))
        if late > LATE_S:
            self.freezes.append(self._freeze(late, processor - self._processor))
        self._samples.clear()
        self._last, self._processor = now, processor

    def _freeze(self, seconds: float, processor: float) -> Freeze:
        samples = list(self._samples)
        share = sum(drawing for _, drawing in samples) / len(samples) if samples else 0.0
        causes = Counter(line for line, drawing in samples if not drawing) or Counter(line for line, _ in samples)
        return Freeze(self.step, seconds, processor, share, causes)

    def _look(self) -> None:
        with tempfile.TemporaryFile("w+") as file:
            while not self._closed.wait(0.01):
                if time.perf_counter() - self._last > LATE_S:
                    self._samples.append(_where(_stack(file, self._gui)))

    def table(self, slowest: int = 25) -> str:
        """Write p95 of the beats, and the longest freezes with their causes."""
        late = np.array(self.beats or [0.0])
        lines = [
            f"{len(late):,} beats; p95 {1000 * np.percentile(late, 95):.0f} ms late, "
            f"longest {late.max():.2f} s, beyond drawing {max((f.beyond for f in self.freezes), default=0):.2f} s"
        ]
        for freeze in sorted(self.freezes, key=lambda each: -each.beyond)[:slowest]:
            lines.append(
                f"{freeze.beyond:6.2f} s ({freeze.seconds:.2f} with drawing, {freeze.processor:.2f} of the processor)"
                f"  {freeze.step}: {freeze.cause}"
            )
        return "\n".join(lines)


def _stack(file: TextIO, thread: int) -> list[str]:
    """Return what a thread does, the innermost line first.

    Python's own frames would do, but whoever holds one may be the last to let go of the Qt objects in it, in the wrong
    thread.
    """
    file.seek(0)
    file.truncate()
    faulthandler.dump_traceback(file, all_threads=True)
    file.seek(0)
    threads = file.read().split("Thread 0x")
    mine = next((text for text in threads if f"{thread:016x}" in text.partition("\n")[0]), "")
    return [line.strip() for line in mine.splitlines()[1:] if line.startswith("  File ")]


def _where(stack: list[str]) -> tuple[str, bool]:
    """Return the line that a sample saw, and whether the canvas is being drawn."""
    lines = [_LINE.match(line) for line in stack]
    calls = [(m["path"], m["line"], m["name"]) for m in lines if m]
    words = ["/".join(path.split("/")[-3:]) + f":{line} {name}" for path, line, name in calls]
    if not words:
        return "?", False
    ours = next((text for text, call in zip(words, calls, strict=True) if "napari_nh2st" in call[0]), "")
    drawing = any(name in _DRAWING for _, _, name in calls)
    return (f"{ours} < {words[0]}" if ours and ours != words[0] else words[0]), drawing
