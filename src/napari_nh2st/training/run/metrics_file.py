"""The file in which a run says how far it is."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Append a JSON object; what a killed process has left of a line keeps that line to itself."""
    with path.open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        begun = file.read() not in (b"", b"\n")
        file.write(b"\n" * begun + json.dumps(line).encode() + b"\n")


class MetricsFile:
    """Appends one JSON object a line: `step`, `epoch`, and whatever else is known.

    Parameters
    ----------
    path : Path or None
        None writes nothing: for the processes that train along with the one that does.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.step = self.epoch = 0
        self._started = time.monotonic()

    def write(self, step: int, epoch: int, **values: Any) -> None:
        """Append a line; `seconds` since the start is added. What was written last is kept in `step` and `epoch`."""
        self.step, self.epoch = step, epoch
        if self.path is None:
            return
        line = {"step": step, "epoch": epoch, "seconds": round(time.monotonic() - self._started, 2), **values}
        append_line(self.path, line)

    def say(self, **values: Any) -> None:
        """Append a line, at the step and epoch of the last one."""
        self.write(self.step, self.epoch, **values)
