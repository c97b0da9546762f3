"""The benchmark as a whole: the parts that are measured for the figures that are wanted, and the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from napari_nh2st.bench import (
    agreement,
    busy,
    cohort,
    contenders,
    durable,
    memory,
    overviews,
    peers,
    profile,
    training,
    window,
)
from napari_nh2st.bench.data_sets import SEED, BenchOptions, DataSets, own_cache
from napari_nh2st.bench.figures import BY_KEY, Findings, document
from napari_nh2st.bench.rates import Clock, failure
from napari_nh2st.engine.device import has_fast_bf16
from napari_nh2st.errors import Cancelled
from napari_nh2st.provenance import repeat_command, versions

Progress = Callable[[str], Callable[[int, int], None]]


@dataclass(frozen=True)
class Part:
    """Figures that are measured together.

    Attributes
    ----------
    title : str
        Said before it begins.
    keys : tuple of str
    measure : callable
        (data_sets, the wanted ones of its keys, progress) -> Findings.
    """

    title: str
    keys: tuple[str, ...]
    measure: Callable[[DataSets, set[str], Callable[[int, int], None]], Findings]


PARTS = (
    Part("speed, side by side", tuple(contenders.COMPARISONS), contenders.compare),
    Part("training, side by side", ("finetune_over_naive",), lambda m, _, tell: training.compare(m, tell)),
    Part("beside a busy process", tuple(busy.COMPARISONS), busy.compare),
    Part("beside LazySlide", peers.KEYS, lambda _, wanted, __: peers.compare(wanted)),
    Part("dense against patch by patch", ("dense_agreement", "dense_pcc_loss"), lambda m, _, __: agreement.on_demo(m)),
    Part(
        "the same on measured sections",
        ("dense_agreement_measured", "dense_pcc_loss_measured"),
        lambda m, _, tell: agreement.on_sections(m, tell),
    ),
    Part("where the time goes", profile.KEYS, lambda m, _, tell: profile.profile(m, tell)),
    Part("a second run", ("second_run_encoded",), lambda m, _, __: durable.second_run(m)),
    Part("a run that is killed", ("killed_lost", "killed_difference"), lambda m, _, __: durable.killed(m)),
    Part("slides without levels", overviews.KEYS, lambda m, _, tell: overviews.compare(m, tell)),
    Part("peak memory", ("huge_slide", "small_slide", "huge_over_small"), lambda m, _, __: memory.compare(m)),
    Part("a cohort on workers", cohort.KEYS, lambda m, _, __: cohort.compare(m)),
    Part("the window", window.KEYS, lambda m, _, __: window.compare(m)),
)


def bench(options: BenchOptions, rows: Sequence[str] | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """Measure.

    Parameters
    ----------
    options : BenchOptions
        Its folder is made and removed here.
    rows : sequence of str, optional
        Keys of figures; all by default. Figures that are measured with them come along.
    progress : callable, optional
        Called with a part's title; what it returns is called with (done, total).

    Returns
    -------
    dict
        See `figures.document`.

    Raises
    ------
    KeyError
        Naming the figures that do not exist.
    Cancelled
    """
    wanted = set(BY_KEY if rows is None else rows)
    unknown = sorted(wanted - set(BY_KEY))
    if unknown:
        raise KeyError(", ".join(unknown))
    findings = Findings()
    tell = progress or (lambda title: lambda done, total: None)
    options.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=options.folder, prefix="nh2st-bench-", ignore_cleanup_errors=True) as folder:
        data_sets = DataSets(replace(options, folder=Path(folder)))
        try:
            with own_cache(Path(folder) / "cache"):
                data_sets.load_model()  # a model that does not exist is said before anything is measured
                for part in PARTS:
                    if wanted.isdisjoint(part.keys):
                        continue
                    options.say(part.title)
                    findings.add(_measured(part, data_sets, wanted, tell(part.title)))
        finally:
            data_sets.close()
    return document(findings, str(data_sets.device), data_sets.precision, _about(data_sets, options))


def _measured(part: Part, data_sets: DataSets, wanted: set[str], progress: Callable[[int, int], None]) -> Findings:
    """Measure a part, and the time it takes; one that fails says why, and the others go on."""
    clock = Clock()
    try:
        findings = part.measure(data_sets, wanted, progress)
    except Cancelled:
        raise
    except Exception as error:
        findings = Findings.missing((key for key in part.keys if key in wanted), failure(error))
    findings.took[part.title] = clock.seconds
    data_sets.options.say(f"{part.title}: {clock.seconds:.0f} s")
    return findings


def _about(data_sets: DataSets, options: BenchOptions) -> dict[str, Any]:
    """Describe the machine, the settings and the versions."""
    slide = (
        f"section {data_sets.sample.sample} of {options.samples.name}"
        if options.samples
        else f"procedural tissue, seed {SEED}"
    )
    return {
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
            "simd": torch.backends.cpu.get_cpu_capability(),
            "bf16": has_fast_bf16(data_sets.device),
            "gpu": torch.cuda.get_device_name(data_sets.device) if data_sets.device.type == "cuda" else None,
            "system": platform.platform(),
        },
        "settings": {
            "model": options.model,
            "slide": slide,
            "repeat": options.repeat,
            "quick": options.quick,
        },
        "versions": versions(),
        "command": repeat_command(),
    }


def cpu_name() -> str:
    """Name the processor as the system does."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
