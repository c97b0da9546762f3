"""The cost of a cohort beyond its slides, at any size: the row of `nh2st bench`, with more slides.

python docs/scripts/cohort_overhead.py [--slides 200] [--workers 4] [--by-hand 12]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from napari_nh2st.bench.cohort import CohortSize, measure
from napari_nh2st.bench.data_sets import BenchOptions, own_cache


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--slides", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--by-hand", type=int, default=12, help="slides that are also predicted by hand")
    parser.add_argument("--model", default="demo")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nh2st-cohort-") as name, own_cache(Path(name) / "cache"):
        options = BenchOptions(Path(name), asked.model, device="cpu", precision="fp32", say=print)
        found = measure(options, CohortSize(asked.slides, asked.workers, asked.by_hand))
    for note in found.notes.values():
        print(note)
    print(f"the cohort's slides a second over those by hand: {found.values['cohort_over_by_hand'].value:.2f}")
    print(f"overhead a slide: {1e3 * found.values['cohort_overhead'].value:.0f} ms of a worker's time")
    print(f"load of the machine: {', '.join(f'{v:.1f}' for v in os.getloadavg())}")


if __name__ == "__main__":
    main()
