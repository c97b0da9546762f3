"""Parts of `bench.gpu_check`, each a process of its own: ``python -m napari_nh2st.bench.device_parts NAME ...``.

A part tells facts one by one, so that what it measured before it failed, or ran out of time, is in the report.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.bench.data_sets import BenchOptions, DataSets, own_cache
from napari_nh2st.bench.device_memory import memory, out_of_memory
from napari_nh2st.bench.rates import Clock
from napari_nh2st.bench.trial import PRECISIONS, SAME, Tell, Trial, Values, random_pixels
from napari_nh2st.doctor.child import probe_main, tell
from napari_nh2st.engine.device import computing
from napari_nh2st.engine.embeddings import DenseEmbeddings
from napari_nh2st.engine.model_runner import ModelRunner
from napari_nh2st.engine.predict import slide_facts
from napari_nh2st.engine.session import Session
from napari_nh2st.errors import Nh2stError
from napari_nh2st.training.config import TrainingConfig

LEAST_CORRELATION = {"fp32": 0.9999, "bf16": 0.999}
"""Of a gene over a slide with the processor's fp32. Hidden vectors are kept in float16; see docs/performance.md."""


def slide(trial: Trial) -> None:
    """Draw the slide and find its tissue: the other parts find it drawn."""
    clock = Clock()
    height, width = trial.data.slide.shape
    trial.tell("slide_px", f"{width} x {height}")
    trial.tell("slide_s", clock.seconds)


def agreement(trial: Trial) -> None:
    """Hold the device against the processor in fp32, gene by gene."""
    expected = trial.predict("fp32", "cpu")
    trial.tell("tiles", len(expected))
    least = {}
    for precision in PRECISIONS:
        values = trial.predict(precision)
        least[precision] = float(_correlations(expected, values).min())
        trial.tell(f"{precision}_difference", float(np.abs(values - expected).max() / expected.std()))
        trial.tell(f"{precision}_correlation", least[precision])
    for precision, correlation in least.items():
        if not correlation >= LEAST_CORRELATION[precision]:
            raise Nh2stError(f"{precision} on {trial.device} disagrees with the processor: r = {correlation:.5f}")


def _correlations(first: Values, second: Values) -> npt.NDArray[np.float64]:
    a, b = (v - v.mean(axis=0) for v in (first.astype(np.float64), second.astype(np.float64)))
    out: npt.NDArray[np.float64] = (a * b).sum(axis=0) / np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return out


def describe(trial: Trial) -> None:
    """Describe spots for the kernel head on the processor and on the device."""
    from napari_nh2st.training.network.kernel import describe_all
    from napari_nh2st.training.network.setup import set_up_training

    config = TrainingConfig(train="everything", pretrain_steps=0, device=str(trial.device), name="check")
    section, card = trial.section(config)
    net: Any = set_up_training([section], card, config, 0).net
    described = []
    for name, device in (("cpu", "cpu"), ("device", trial.device)):
        clock = Clock()
        described.append(describe_all(net, [section], card, device=device))
        trial.tell(f"{name}_spots_per_s", len(described[-1]) / clock.seconds)
    difference = float(np.abs(described[1] - described[0]).max() / np.abs(described[0]).max())
    trial.tell("difference", difference)
    if not difference <= SAME:
        raise Nh2stError(f"spots are described differently on {trial.device}: by {difference:.2g} of the largest value")


def rates(trial: Trial) -> None:
    """Rows of `nh2st bench` that need no window, in both precisions."""
    from napari_nh2st.bench.contenders import compare

    for precision in PRECISIONS:
        data = DataSets(replace(trial.data.options, precision=precision, repeat=trial.rounds))
        try:
            found = compare(data, {"dense_cost", "over_bare_encoder"}, lambda done, total: None)
        finally:
            data.close()
        for name, rate in found.absolute.items():
            trial.tell(f"{precision} {name}, places/s", rate["places_per_s"])
        for key, value in found.values.items():
            trial.tell(f"{precision}_{key}", value.value)
        if found.notes:
            raise Nh2stError("; ".join(dict.fromkeys(found.notes.values())).removeprefix("failed: "))


def compiled(trial: Trial) -> None:
    """Run the folded encoder with and without `torch.compile`, on one window."""
    if absent := _compiler_needs(trial.device):
        trial.tell("left_out", f"torch.compile needs {absent}")
        return
    runner = ModelRunner(trial.data.load_model().net, trial.device, "fp32")
    side = (2 if trial.small else 8) * DenseEmbeddings.BLOCK * runner.stride
    image = torch.from_numpy(random_pixels(side)).to(trial.device).permute(2, 0, 1)[None].float()
    image = image.contiguous(memory_format=runner.layout)
    for precision in PRECISIONS[:1] if trial.small else PRECISIONS:
        torch._dynamo.reset()
        ways: tuple[Any, Any] = runner.encoder, torch.compile(runner.encoder)
        with torch.inference_mode(), computing(trial.device, precision):
            clock = Clock()
            out = [way(image).float() for way in ways]
            difference = float((out[1] - out[0]).abs().max() / out[0].abs().max())
            trial.tell(f"{precision}_compile_seconds", clock.seconds)
            seconds = [[_seconds(way, image) for way in ways] for _ in range(3 if trial.small else 9)]
        trial.tell(f"{precision}_times_as_fast", float(np.median([plain / fast for plain, fast in seconds])))
        trial.tell(f"{precision}_compile_difference", difference)
        if precision == "fp32" and not difference <= SAME:
            raise Nh2stError(f"the compiled encoder differs by {difference:.2g} of the largest value")


def _compiler_needs(device: torch.device) -> str:
    """Name what `torch.compile` needs and is not there; empty where all of it is."""
    if device.type == "cuda" and find_spec("triton") is None:
        return "triton"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "Python's headers (python3-dev)"
    compilers = [os.environ.get("CC") or "cc", "gcc", "clang", "cl"]
    return "" if any(shutil.which(name) for name in compilers) else "a C compiler"


def _seconds(way: Any, image: torch.Tensor) -> float:
    clock = Clock()
    way(image).float().sum().item()  # waits for a GPU
    return clock.seconds


def training(trial: Trial) -> None:
    """Train the head for two epochs, and the whole network for a few steps beside ten patches a spot."""
    from napari_nh2st.bench import training as side_by_side

    _train_head(trial)
    data = DataSets(replace(trial.data.options, precision="fp32", repeat=trial.rounds))
    try:
        found = side_by_side.compare(data, lambda done, total: None)
    finally:
        data.close()
    trial.tell("spots_per_s", found.absolute["training by blocks"]["places_per_s"])
    trial.tell("over_patches", found.values["finetune_over_naive"].value)


def _train_head(trial: Trial) -> None:
    from napari_nh2st.training.network.setup import set_up_training
    from napari_nh2st.training.run.control import RunControl
    from napari_nh2st.training.run.run_folder import RunFolder
    from napari_nh2st.training.run.training_pass import TrainingPass
    from napari_nh2st.training.sections.blocks import hold_out_blocks

    config = TrainingConfig(train="head", epochs=2, pretrain_steps=0, device=str(trial.device), name="check")
    section, card = trial.section(config)
    hold_out_blocks([section], config.inner_validation, 0)
    clock = Clock()
    setup = set_up_training([section], card, config, 0)
    trial.tell("setting_up_s", clock.seconds)
    folder = RunFolder(trial.data.options.folder / "run")
    clock = Clock()
    trained = TrainingPass(setup, folder, RunControl.of(folder), score=True, checkpoints=False).run()
    trial.tell("two_epochs_s", clock.seconds)
    trial.tell("steps", trained.steps)
    if not all(bool(torch.isfinite(v).all()) for v in trained.module.net.state_dict().values()):
        raise Nh2stError(f"training on {trial.device} gave weights that are no numbers")


def session(trial: Trial) -> None:
    """Do what the viewer does, without its window: first tiles, tiles at hand, a gene switch."""
    from napari_nh2st.bench.in_window import made_up_map
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

    slide = trial.data.slide
    clock = Clock()
    one = Session(slide, trial.data.load_model(), options=trial.options("fp32"))
    places = one.places()
    focus = (slide.shape[1] / 2, slide.shape[0] / 2)
    chunk = next(iter(one.stream(places, focus=focus)))
    trial.tell("first_tiles_and_model_s", clock.seconds)
    prediction_map = PredictedMap(
        slide_facts(slide), one.model.card, one.model.decoder, scale=one.scale, pitch=one.pitch
    )
    prediction_map.add(prediction_map.cells(places.select(chunk.indices)), chunk.hidden)
    other = Session(slide, one.model, options=trial.options("fp32"))
    for name in ("first_tiles_s", "first_tiles_at_hand_s"):
        clock = Clock()
        next(iter(other.stream(places, focus=focus)))
        trial.tell(name, clock.seconds)
    if not prediction_map.count:
        raise Nh2stError("the first tiles hold no values")
    drawn = made_up_map(20 if trial.small else 250)
    seconds = []
    for gene in drawn.card.genes[:9]:
        clock = Clock()
        drawn.values(gene)
        seconds.append(clock.seconds)
    trial.tell("gene_switch_s", float(np.median(seconds)))


def window(trial: Trial) -> None:
    """Measure the same in napari's window, where there is a display."""
    from napari_nh2st.bench.window import compare
    from napari_nh2st.terminal import has_display

    if find_spec("napari") is None or not has_display():
        trial.tell("left_out", "there is no display" if find_spec("napari") else "napari is not installed")
        return
    for key, value in compare(trial.data).values.items():
        trial.tell(key, value.value)


PARTS: dict[str, Callable[[Trial], None]] = {
    "slide": slide,
    "agreement": agreement,
    "describe": describe,
    "rates": rates,
    "compile": compiled,
    "memory": memory,
    "out of memory": out_of_memory,
    "training": training,
    "session": session,
    "window": window,
}


def part(name: str, folder: str, model: str, device: str, size: str) -> None:
    """Run a part; `size` is "small" or "full"."""
    options = BenchOptions(Path(folder), model, repeat=1, quick=size == "small", device=device, precision="fp32")
    data = DataSets(options)
    try:
        with own_cache(Path(folder) / "cache"), _told() as told:
            PARTS[name](Trial(data, told))
    finally:
        data.close()


@contextlib.contextmanager
def _told() -> Iterator[Tell]:
    """Tell on standard output; whatever else is printed meanwhile goes to standard error."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w") as told:
        os.dup2(2, 1)

        def say(name: str, value: Any) -> None:
            with contextlib.redirect_stdout(told):
                tell(name, value)

        try:
            yield say
        finally:
            sys.stdout.flush()
            os.dup2(told.fileno(), 1)


if __name__ == "__main__":
    probe_main(part)
