"""Parts of `bench.gpu_check`, each a process of its own: ``python -m napari_nh2st.bench.device_parts NAME ...``.

A part tells facts one by one, so that what it measured before it failed, or ran out of time, is in the report.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.bench.data_sets import BenchOptions, DataSets, own_cache
from napari_nh2st.bench.memory import peak_mb
from napari_nh2st.bench.rates import Clock
from napari_nh2st.doctor.child import probe_main, tell
from napari_nh2st.engine.block_encoder import LARGEST
from napari_nh2st.engine.device import computing
from napari_nh2st.engine.embeddings import DenseEmbeddings
from napari_nh2st.engine.model_runner import ModelRunner
from napari_nh2st.engine.options import PredictionOptions, never
from napari_nh2st.engine.places import lattice_for
from napari_nh2st.engine.predict import predict_places, slide_facts
from napari_nh2st.engine.session import Session
from napari_nh2st.errors import Nh2stError
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.sections.new_card import card_for
from napari_nh2st.training.sections.section import Section, load_section

Values = npt.NDArray[np.float32]
Tell = Callable[[str, Any], None]
PRECISIONS: tuple[Literal["fp32"], Literal["bf16"]] = ("fp32", "bf16")
LEAST_CORRELATION = {"fp32": 0.9999, "bf16": 0.999}
"""Of a gene over a slide with the processor's fp32. Hidden vectors are kept in float16; see docs/performance.md."""

SAME = 1e-3
"""Difference that rounding explains, as a part of the largest value."""


@dataclass(frozen=True)
class Trial:
    """The work of a part: slides, models and device, and whom to tell what it finds."""

    data: DataSets
    tell: Tell

    @property
    def device(self) -> torch.device:
        """The device that is held against the processor."""
        return self.data.device

    @property
    def small(self) -> bool:
        """Small sizes: to see that it works."""
        return self.data.options.quick

    def options(self, precision: Literal["fp32", "bf16"], device: str | None = None) -> PredictionOptions:
        """Options of a prediction that keeps nothing."""
        return PredictionOptions(device=device or str(self.device), precision=precision, cache=False)

    def predict(self, precision: Literal["fp32", "bf16"], device: str | None = None) -> Values:
        """Predict the whole slide, coarse: (n, G) in label units."""
        model = self.data.load_model()
        places = lattice_for(self.data.slide, model.card)
        return predict_places(self.data.slide, model, places, self.options(precision, device))[0].matrix()

    def section(self, config: TrainingConfig) -> tuple[Section, Any]:
        """Load the slide with its counts as training does, and make its card."""
        sample, counts = self.data.sample, self.data.data
        card = card_for([sample], [counts], config)
        return load_section(sample, counts, card), card


def slide(trial: Trial) -> None:
    """Draw the slide and find its tissue: the other parts find it drawn."""
    clock = Clock()
    trial.tell("slide_px", list(trial.data.slide.shape[::-1]))
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

    repeat = 1 if trial.small else 3
    for precision in PRECISIONS:
        data = DataSets(replace(trial.data.options, precision=precision, repeat=repeat))
        try:
            found = compare(data, {"dense_cost", "over_bare_encoder"}, lambda done, total: None)
        finally:
            data.close()
        for name, rate in found.absolute.items():
            trial.tell(f"{precision} {name}, places/s", rate["places_per_s"])
        for key, value in found.values.items():
            trial.tell(f"{precision}_{key}", value.value)


def compiled(trial: Trial) -> None:
    """Run the folded encoder with and without `torch.compile`, on one window."""
    if absent := _compiler_needs(trial.device):
        trial.tell("left_out", f"torch.compile needs {absent}")
        return
    runner = ModelRunner(trial.data.load_model().net, trial.device, "fp32")
    side = (2 if trial.small else 8) * DenseEmbeddings.BLOCK * runner.stride
    image = torch.from_numpy(_pixels(side)).to(trial.device).permute(2, 0, 1)[None].float()
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
    compilers = [os.environ.get("CC") or "cc", "gcc", "clang", "cl"]
    return "" if any(shutil.which(name) for name in compilers) else "a C compiler"


def _seconds(way: Any, image: torch.Tensor) -> float:
    clock = Clock()
    way(image).float().sum().item()  # waits for a GPU
    return clock.seconds


def _pixels(height: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, height, 3), dtype=np.uint8)


def memory(trial: Trial) -> None:
    """Encode the largest window that the engine takes; the peak that it needs beyond the model."""
    cuda = trial.device.type == "cuda"
    for precision in PRECISIONS:
        runner = ModelRunner(trial.data.load_model().net, trial.device, precision)
        blocks = 2 if trial.small else LARGEST * (2 if cuda else 1)
        side = runner.window_side(blocks * DenseEmbeddings.BLOCK)
        before = _start_of_peak(trial.device)
        clock = Clock()
        runner.encode_window(_pixels(side), never)
        seconds = clock.seconds
        trial.tell("window_px", side)
        trial.tell(f"{precision}_peak_mb", _peak_mb(trial.device) - before)
        clock = Clock()
        runner.encode_window(_pixels(side), never)
        trial.tell(f"{precision}_first_s", seconds)
        trial.tell(f"{precision}_ns_a_px", clock.seconds / side**2 * 1e9)


def _start_of_peak(device: torch.device) -> float:
    if device.type != "cuda":
        with contextlib.suppress(OSError):  # Linux: the peak so far is forgotten
            Path("/proc/self/clear_refs").write_text("5")
        return peak_mb() or 0.0
    torch.cuda.init()  # type: ignore[no-untyped-call]  # a peak cannot be forgotten before there is one
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device) / 1e6


def _peak_mb(device: torch.device) -> float:
    return torch.cuda.max_memory_reserved(device) / 1e6 if device.type == "cuda" else peak_mb() or 0.0


def out_of_memory(trial: Trial) -> None:
    """Predict with ever less memory until windows are halved: the values stay the same.

    On CUDA torch is allowed only a part of what a run takes. On a processor the encoder refuses windows above a size.
    """
    model = trial.data.load_model()
    places = lattice_for(trial.data.slide, model.card)
    before = _start_of_peak(trial.device)
    expected = predict_places(trial.data.slide, model, places, trial.options("fp32"))[0].matrix()
    peak = _peak_mb(trial.device)
    trial.tell("unlimited_peak_mb", peak - before)
    trial.tell("simulated", trial.device.type != "cuda")
    for part in (0.6, 0.4, 0.25):
        session = Session(trial.data.slide, trial.data.load_model(), options=trial.options("fp32"))
        largest = session._encoder.largest
        with _less_memory(session, part * peak, part):
            values = predict_places(trial.data.slide, session.model, places, session=session)[0].matrix()
        if session._encoder.largest < largest:
            break
    else:
        raise Nh2stError("no window was halved: the limit was not felt")
    difference = float(np.abs(values - expected).max() / expected.std())
    trial.tell("limit", part)
    trial.tell("largest_window", [largest, session._encoder.largest])
    trial.tell("difference", difference)
    if not difference <= 10 * SAME:
        raise Nh2stError(f"predictions in halved windows differ by {difference:.2g} of their spread")


@contextlib.contextmanager
def _less_memory(session: Session, mb: float, part: float) -> Iterator[None]:
    """Leave no more memory than this; on a processor, refuse windows above a part of the first one."""
    device = session.runner.device
    if device.type == "cuda":
        torch.cuda.empty_cache()
        share = mb * 1e6 / torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(share, device.index)  # "cuda" has none: the current one
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device.index)
        return
    encode, most = session.runner.encode_window, list[float]()

    def refuse(pixels: npt.NDArray[np.uint8], cancelled: Callable[[], bool]) -> Values:
        most.append(part * pixels.size)  # of the first window alone
        if pixels.size > most[0]:
            raise torch.OutOfMemoryError("out of memory, on purpose")
        return encode(pixels, cancelled)

    session.runner.encode_window = refuse  # type: ignore[method-assign]
    yield


def training(trial: Trial) -> None:
    """Train the head for two epochs, and the whole network for a few steps beside ten patches a spot."""
    from napari_nh2st.bench import training as side_by_side

    _train_head(trial)
    data = DataSets(replace(trial.data.options, precision="fp32", repeat=1 if trial.small else 3))
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
    from napari_nh2st.training.sections.held_out_sections import hold_out_blocks

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
