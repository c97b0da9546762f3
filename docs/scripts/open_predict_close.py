"""Open, predict and close one slide again and again in one process; prints the count and what has grown.

Run ``python docs/scripts/open_predict_close.py [CYCLES]``. It ends with 1 if memory, handles or threads grow.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import threading
from pathlib import Path

import numpy as np
import psutil
import tifffile

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.session import Session
from napari_nh2st.model.folder import find_model, load_model
from napari_nh2st.slides import open_slide

# The first cycles fill pools of threads and of memory; growth is counted from here on.
WARM = 10
# Allowed from there to the end: the allocator's own, no handle, no thread.
MIB = 48


def main() -> int:
    """Run the cycles; print a line of JSON, and a sentence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cycles", nargs="?", type=int, default=200)
    parser.add_argument("--model", default="demo", help="a model's name or folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NH2ST_CACHE"] = str(Path(folder) / "cache")
        slide = _slide(Path(folder))
        model = load_model(find_model(arguments.model))
        seen = []
        for _ in range(arguments.cycles):
            tiles = _cycle(slide, model)
            seen.append(_held())
    first, last = seen[min(WARM, len(seen) - 1)], seen[-1]
    growth = {name: round(last[name] - first[name], 1) for name in last}
    print(json.dumps({"cycles": len(seen), "tiles": tiles, "at_the_end": last, "growth": growth}))
    print(
        f"{len(seen)} cycles of {tiles} tiles; from the {WARM}th on {growth['mib']:+} MiB, "
        f"{growth['handles']:+.0f} file handles, {growth['threads']:+.0f} threads"
    )
    return int(growth["mib"] > MIB or growth["handles"] > 0 or growth["threads"] > 0)


def _slide(folder: Path) -> Path:
    """Write 1,024 x 1,024 pixels of pink and purple, 0.7 um each."""
    rng = np.random.default_rng(0)
    share = np.kron(rng.random((64, 64, 1)), np.ones((16, 16, 1)))
    pixels = (np.array([225, 150, 190]) * (1 - share) + np.array([120, 80, 150]) * share).astype(np.uint8)
    path = folder / "slide.tif"
    resolution = {"resolution": (1e4 / 0.7, 1e4 / 0.7), "resolutionunit": 3}
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", metadata=None, **resolution)
    return path


def _cycle(path: Path, model: object) -> int:
    options = PredictionOptions(device="cpu", precision="fp32", cache=False)
    with open_slide(path) as slide:
        session = Session(slide, model, options=options)  # type: ignore[arg-type]
        return sum(len(chunk.indices) for chunk in session.stream(session.places()))


def _held() -> dict[str, float]:
    gc.collect()
    process = psutil.Process()
    handles = process.num_handles() if os.name == "nt" else process.num_fds()
    return {"mib": round(process.memory_info().rss / 2**20, 1), "handles": handles, "threads": threading.active_count()}


if __name__ == "__main__":
    raise SystemExit(main())
