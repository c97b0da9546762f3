"""Parts of `bench.gpu_check` about memory: what the largest window takes, and what happens where there is less."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.bench.memory import peak_mb
from napari_nh2st.bench.rates import Clock
from napari_nh2st.bench.trial import PRECISIONS, SAME, Trial, Values, random_pixels
from napari_nh2st.engine.block_encoder import LARGEST
from napari_nh2st.engine.embeddings import DenseEmbeddings
from napari_nh2st.engine.model_runner import ModelRunner
from napari_nh2st.engine.options import never
from napari_nh2st.engine.places import lattice_for
from napari_nh2st.engine.predict import predict_places
from napari_nh2st.engine.session import Session
from napari_nh2st.errors import Nh2stError

LEFT = (0.6, 0.4, 0.25, 0.15, 0.1)
"""Memory left to a run, of its peak, one after another until a window is halved: cuDNN takes more than it needs."""


def memory(trial: Trial) -> None:
    """Encode the largest window that the engine takes; the peak that it needs beyond the model."""
    cuda = trial.device.type == "cuda"
    for precision in PRECISIONS:
        runner = ModelRunner(trial.data.load_model().net, trial.device, precision)
        blocks = 2 if trial.small else LARGEST * (2 if cuda else 1)
        side = runner.window_side(blocks * DenseEmbeddings.BLOCK)
        pixels = random_pixels(side)  # beforehand: a graphics card encodes them faster than they are drawn
        before = _start_of_peak(trial.device)
        clock = Clock()
        runner.encode_window(pixels, never)
        seconds = clock.seconds
        trial.tell("window_px", side)
        trial.tell(f"{precision}_peak_mb", _peak_mb(trial.device) - before)
        clock = Clock()
        runner.encode_window(pixels, never)
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
    for part in LEFT:
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

    def refuse(pixels: npt.NDArray[np.uint8], cancelled: Callable[[], bool]) -> Values | npt.NDArray[np.float16]:
        most.append(part * pixels.size)  # of the first window alone
        if pixels.size > most[0]:
            raise torch.OutOfMemoryError("out of memory, on purpose")
        return encode(pixels, cancelled)

    session.runner.encode_window = refuse  # type: ignore[method-assign]
    yield
