"""Results on standard output, and bars of progress on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from napari_nh2st.terminal import Bar


def print_json(document: Any) -> None:
    """Print one JSON document on standard output."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(document, indent=1, ensure_ascii=not unicode))


def stage_bars() -> Callable[[str, int, int], None]:
    """Return a progress callback ``(stage, done, total)`` that draws a bar of its own for each stage."""
    bars: dict[str, Bar] = {}

    def progress(stage: str, done: int, total: int) -> None:
        bars.setdefault(stage, Bar(stage, unit=""))(done, total)

    return progress
