"""Peak memory of a run on a slide, measured in a process of its own: ``python -m napari_nh2st.bench.memory SLIDE``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.bench.child_processes import run_json
from napari_nh2st.bench.figures import Findings, Value
from napari_nh2st.bench.huge import write_huge
from napari_nh2st.bench.rates import Clock
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import Box

if TYPE_CHECKING:
    from napari_nh2st.bench.data_sets import DataSets
    from napari_nh2st.engine.options import Precision

HUGE, SMALL = (100_000, 80_000), (25_000, 20_000)
TILES, TILES_QUICK = 2000, 200


def peak_mb() -> float | None:
    """Largest resident memory of this process so far, in MB (10^6 bytes); None where the system does not say."""
    try:  # getrusage's figure on Linux may be that of the process that started this one
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def compare(data_sets: DataSets) -> Findings:
    """Peak memory of predicting some tiles in the middle of a huge slide, and of one a sixteenth the size."""
    options = data_sets.options
    tiles = TILES_QUICK if options.quick else TILES
    out = Findings()
    for key, size in (("huge_slide", HUGE), ("small_slide", SMALL)):
        options.say(f"{tiles} tiles of a slide of {size[0]:,} x {size[1]:,} pixels")
        path = write_huge(options.folder / f"{key}.tif", data_sets.section.image, size)
        words = ["napari_nh2st.bench.memory", path, "--model", options.model, "--tiles", tiles]
        report = run_json([*words, "--device", options.device, "--precision", options.precision], options.cancelled)
        if report["peak_mb"] is None:
            return Findings(notes={key: "left out: this system does not say how much memory a process takes"})
        out.values[key] = Value.one(report["peak_mb"])
        out.absolute[key.replace("_", " ")] = {"places_per_s": report["tiles"] / report["seconds"]}
        out.notes[key] = f"{report['tiles']} tiles, file of {path.stat().st_size / 1e6:.0f} MB"
    out.values["huge_over_small"] = Value.one(out.values["huge_slide"].value / out.values["small_slide"].value)
    return out


def predict_middle(path: Path, model: str, tiles: int, device: str, precision: Precision) -> dict[str, float | None]:
    """Predict tiles in the middle of a slide, as `nh2st predict` would, and say what it took."""
    from napari_nh2st.engine.options import PredictionOptions
    from napari_nh2st.engine.places import lattice_for
    from napari_nh2st.engine.predict import predict_places
    from napari_nh2st.model.folder import load_model
    from napari_nh2st.slides import open_slide

    options = PredictionOptions(device=device, precision=precision, cache=False)
    with open_slide(path) as slide:
        loaded = load_model(model)
        height, width = slide.shape
        cell = loaded.card.patch * loaded.card.scale_on(slide.require_mpp())
        side = cell * np.sqrt(tiles)
        while True:  # larger until there is enough tissue in it
            box = Box(
                max(0, (width - side) / 2), max(0, (height - side) / 2),
                min(width, (width + side) / 2), min(height, (height + side) / 2),
            )  # fmt: skip
            places = lattice_for(slide, loaded.card, box)
            if len(places) >= tiles:
                break
            if side > max(width, height):
                raise Nh2stError(f"{path} has only {len(places)} tiles of tissue")
            side *= 1.1
        clock = Clock()
        predict_places(slide, loaded, places.select(np.arange(tiles)), options)
        seconds = clock.seconds
    return {"tiles": tiles, "seconds": seconds, "peak_mb": peak_mb()}


def main() -> None:
    """Print what predicting some tiles took, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tiles", type=int, default=TILES)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    chosen = parser.parse_args()
    print(json.dumps(predict_middle(chosen.slide, chosen.model, chosen.tiles, chosen.device, chosen.precision)))


if __name__ == "__main__":
    main()
