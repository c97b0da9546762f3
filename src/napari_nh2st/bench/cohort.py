"""A cohort of small slides on workers, over a process for each slide as people start them by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_nh2st.bench.child_processes import run_json
from napari_nh2st.bench.data_sets import BenchOptions, DataSets
from napari_nh2st.bench.figures import Findings, Value
from napari_nh2st.bench.rates import Clock
from napari_nh2st.cohort.cluster import exported, workers_of
from napari_nh2st.cohort.crew import Watch
from napari_nh2st.cohort.job import Job, Settings
from napari_nh2st.cohort.run import CohortRun
from napari_nh2st.engine.cores import usable_cores
from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.models import load_model

KEYS = ("cohort_over_by_hand", "cohort_overhead")
_SIDE = 900  # pixels of 1 µm: .8 mm² of tissue


@dataclass(frozen=True)
class CohortSize:
    """How many slides go to how many workers, and how many are also predicted by hand."""

    slides: int = 24
    workers: int = 4
    by_hand: int = 8


QUICK = CohortSize(slides=4, workers=2, by_hand=2)


def compare(data_sets: DataSets) -> Findings:
    """Measure a cohort of a size that suits a benchmark."""
    return measure(data_sets.options, QUICK if data_sets.options.quick else CohortSize())


def measure(options: BenchOptions, size: CohortSize) -> Findings:
    """Measure a cohort: the whole command over the same slides by hand, and the overhead of workers that are warm.

    Small slides, so that the overhead shows. Workers and processes have the same share of the cores.
    """
    threads = max(1, usable_cores() // size.workers)
    options.say(f"drawing {size.slides} slides")
    with exported({"OMP_NUM_THREADS": str(threads)}):
        _by_hand(_draw(options.folder / "first", 1, 0), options, 1)  # this machine's trial is made once
        command = _command(_draw(options.folder / "cohort", size.slides, 1000), options, size.workers)
        alone = _by_hand(_draw(options.folder / "hand", size.by_hand, 2000), options, size.workers)
        overhead, at_work = _overhead(_draw(options.folder / "warm", size.slides, 3000), options, size.workers)
    each, by_hand = command / size.slides, alone / size.by_hand
    note = (
        f"{size.slides} slides of {_SIDE} x {_SIDE} px on {size.workers} workers with {threads} threads each, "
        f"{usable_cores()} cores; {each:.2f} s a slide, by hand {by_hand:.2f} s; "
        f"warm workers work {at_work:.0%} of their time"
    )
    values = {"cohort_over_by_hand": Value.one(by_hand / each), "cohort_overhead": Value.one(overhead)}
    return Findings(values, notes={"cohort_over_by_hand": note})


def _draw(folder: Path, count: int, seed: int) -> list[Path]:
    """Write slides of smooth noise."""
    import tifffile
    from scipy.ndimage import gaussian_filter

    folder.mkdir()
    paths = [folder / f"{folder.name}-{number:03}.tif" for number in range(count)]
    for number, path in enumerate(paths):
        rng = np.random.default_rng(seed + number)
        smooth = gaussian_filter(rng.normal(size=(_SIDE // 6, _SIDE // 6, 3)), (4, 4, 0))
        pixels = np.kron(130 + 30 * smooth / smooth.std(), np.ones((6, 6, 1))).clip(20, 220).astype(np.uint8)
        tifffile.imwrite(path, pixels, photometric="rgb", tile=(256, 256), resolution=(1e4, 1e4), resolutionunit=3)
    return paths


def _words(paths: Sequence[Path], options: BenchOptions) -> list[object]:
    out = paths[0].parent / "results"
    words = ["napari_nh2st", "predict", *paths, "--model", options.model, "--out", out, "--format", "none", "--json"]
    return [*words, "--device", options.device, "--precision", options.precision]


def _command(paths: list[Path], options: BenchOptions, workers: int) -> float:
    """Return the seconds of the whole command, its start and that of its workers included."""
    return _seconds(lambda: run_json([*_words(paths, options), "--workers", workers], options.cancelled))


def _by_hand(paths: list[Path], options: BenchOptions, at_once: int) -> float:
    """Return the seconds of a process for each slide."""

    def predict(path: Path) -> None:
        run_json(_words([path], options), options.cancelled)

    with ThreadPoolExecutor(at_once) as pool:
        return _seconds(lambda: [*pool.map(predict, paths)])


def _overhead(paths: list[Path], options: BenchOptions, workers: int) -> tuple[float, float]:
    """Return the seconds of a worker's time a slide that are no work on it, and the share of it that is work.

    The workers have loaded the model when the clock starts.
    """
    folder = str(paths[0].parent / "results")
    settings = Settings(
        options.model, load_model(options.model).hash, folder, device=options.device, precision=options.precision
    )
    first = _draw(paths[0].parent / "first", 2 * workers, 4000)
    watch = Watch(lambda _: None, options.say, options.cancelled)
    with workers_of(workers, None, options.device) as client:
        CohortRun(client, [Job(str(path), None, "", "", settings) for path in first], watch).run()
        run = CohortRun(client, [Job(str(path), None, "", "", settings) for path in paths], watch)
        wall = _seconds(run.run)
    if failed := [slide.error for slide in run.slides if slide.error]:
        raise Nh2stError(failed[0])
    busy = sum(slide.answer["row"]["seconds"] for slide in run.slides)
    return (wall * workers - busy) / len(paths), busy / (wall * workers)


def _seconds(act: Callable[[], object]) -> float:
    clock = Clock()
    act()
    return clock.seconds
