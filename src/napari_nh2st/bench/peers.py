"""Figures beside other programs, from the newest report of ``scripts/bench_peers.sh``: it needs programs of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from napari_nh2st.bench.figures import Findings, Value

KEYS = ("over_lazyslide_default", "over_lazyslide_best")
REPORTS = Path(__file__).parents[3] / "docs" / "reports"
"""In a copy of the source; an installed package has none."""

NOT_RUN = "not run: scripts/bench_peers.sh measures it"


def compare(keys: Iterable[str], folder: Path = REPORTS) -> Findings:
    """Read the ratios of the newest ``peers-*.json`` by name: each a number, or median, smallest and largest."""
    wanted = [key for key in KEYS if key in keys]
    files = sorted(folder.glob("peers-*.json"))
    if not files:
        return Findings.missing(wanted, NOT_RUN)
    ratios = json.loads(files[-1].read_text("utf-8"))["ratios"]
    out = Findings.missing(
        (key for key in wanted if ratios.get(key) is None), f"not run: it is not in {files[-1].name}"
    )
    for key in wanted:
        if (found := ratios.get(key)) is not None:
            out.values[key] = Value(*found) if isinstance(found, list) else Value.one(found)
            out.notes[key] = f"from {files[-1].name}"
    return out
