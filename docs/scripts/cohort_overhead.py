"""The cost of a cohort beyond its slides: the scheduler's time a slide, and the efficiency of the workers.

    OMP_NUM_THREADS=1 python docs/scripts/cohort_overhead.py [--slides 200] [--workers 2] [--by-hand 4]

Small slides with a small model, so that the overhead shows. The workers have loaded the model before the clock starts.
By hand means one process of `nh2st predict` for each slide, as many at once as there are workers.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

SIDE = 900  # pixels of 1 um


def make_slides(folder: Path, count: int) -> list[Path]:
    """Write slides of smooth noise."""
    import tifffile
    from scipy.ndimage import gaussian_filter

    paths = []
    for number in range(count):
        rng = np.random.default_rng(number)
        smooth = gaussian_filter(rng.normal(size=(SIDE // 6, SIDE // 6, 3)), (4, 4, 0))
        pixels = np.kron(130 + 30 * smooth / smooth.std(), np.ones((6, 6, 1))).clip(20, 220).astype(np.uint8)
        paths.append(folder / f"s{number:03}.tif")
        tifffile.imwrite(paths[-1], pixels, photometric="rgb", tile=(256, 256), resolution=(1e4, 1e4), resolutionunit=3)
    return paths


def cohort(paths: list[Path], model: str, out: Path, workers: int) -> tuple[float, float]:
    """Predict on workers that are warm; returns wall seconds, and the seconds of all tasks together."""
    from napari_nh2st.cohort.cluster import workers_of
    from napari_nh2st.cohort.job import Job, Settings
    from napari_nh2st.cohort.run import CohortRun
    from napari_nh2st.cohort.work_list import Watch
    from napari_nh2st.model.models import load_model

    settings = Settings(model, load_model(model).hash, str(out), device="cpu", precision="fp32")
    jobs = [Job(str(path), None, "", "", settings) for path in paths]
    with workers_of(workers, None, "cpu") as client:
        watch = Watch(lambda _: None, print, lambda: False)
        run = CohortRun(client, jobs[: 2 * workers], watch)
        run.run()
        began = time.perf_counter()
        run = CohortRun(client, jobs[2 * workers :], watch)
        run.run()
        wall = time.perf_counter() - began
    return wall, sum(slide.answer["row"]["seconds"] for slide in run.slides)


def by_hand(paths: list[Path], model: str, out: Path, workers: int) -> float:
    """Predict each slide in a process of its own; returns wall seconds."""
    words = [sys.executable, "-m", "napari_nh2st", "-q", "predict"]
    more = ["--model", model, "--out", str(out), "--format", "none", "--device", "cpu", "--precision", "fp32"]
    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        for done in pool.map(lambda path: subprocess.run([*words, str(path), *more], capture_output=True), paths):
            done.check_returncode()
    return time.perf_counter() - began


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--slides", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--by-hand", type=int, default=4, help="slides that are also predicted by hand")
    parser.add_argument("--model", default="demo")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nh2st-cohort-") as name:
        folder = Path(name)
        os.environ["NH2ST_CACHE"] = str(folder / "cache")
        paths = make_slides(folder, asked.slides + 2 * asked.workers)
        wall, busy = cohort(paths, asked.model, folder / "out", asked.workers)
        hand = by_hand(paths[: asked.by_hand], asked.model, folder / "hand", asked.workers) / max(1, asked.by_hand)
    slides = asked.slides
    print(f"{slides} slides, {asked.workers} workers: {wall:.1f} s, {1e3 * busy / slides:.0f} ms of work a slide")
    print(f"overhead a slide: {1e3 * (wall * asked.workers - busy) / slides:.1f} ms of a worker's time")
    print(f"efficiency (work over workers' time): {busy / (wall * asked.workers):.3f}")
    print(f"by hand: {hand:.2f} s a slide; the cohort: {wall / slides:.2f} s")
    print(f"load of the machine: {', '.join(f'{v:.1f}' for v in os.getloadavg())}")


if __name__ == "__main__":
    main()
