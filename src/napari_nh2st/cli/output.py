"""Results on standard output, and bars of progress on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_nh2st.errors import Cancelled
from napari_nh2st.terminal import Bar

_MOMENT = 1.0  # seconds


def print_json(document: Any) -> None:
    """Print one JSON document on standard output."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(document, indent=1, ensure_ascii=not unicode))


def export_bar(file: Path, cancelled: Callable[[], bool], kept: str = "nothing was written") -> Callable[[float], None]:
    """Return the progress callback of an export: it draws a bar when that takes longer than a moment, and can stop it.

    Parameters
    ----------
    file : Path
        Names the bar.
    cancelled : callable
        True after Ctrl+C.
    kept : str
        What is said then, after "stopped; ".
    """
    bar, began = Bar(file.name, unit=" %"), time.monotonic()

    def progress(share: float) -> None:
        if cancelled() and share < 1:
            raise Cancelled(f"stopped; {kept}")
        if time.monotonic() - began > _MOMENT:
            bar(round(100 * share), 100)

    return progress


def overviews_bar(slide: Path) -> Callable[[int, int], None]:
    """Return the progress callback for overviews that a slide's file lacks: a bar when they take longer than a moment.

    It counts tiles of the file.
    """
    bar, began = Bar(f"{slide.name}, looking it over"), time.monotonic()

    def progress(done: int, total: int) -> None:
        if time.monotonic() - began > _MOMENT:
            bar(done, total)

    return progress


def stage_bars() -> Callable[[str, int, int], None]:
    """Return a progress callback ``(stage, done, total)`` that draws a bar of its own for each stage."""
    bars: dict[str, Bar] = {}

    def progress(stage: str, done: int, total: int) -> None:
        bars.setdefault(stage, Bar(stage, unit=""))(done, total)

    return progress
