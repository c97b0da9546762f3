"""The fastest way to compute on this machine: a short trial per device, remembered in the user's cache folder."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ValidationError

from napari_nh2st.atomic import finished_file
from napari_nh2st.engine.device import computing, has_fast_bf16
from napari_nh2st.engine.options import never
from napari_nh2st.errors import Cancelled
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.reading import contents, parse_json
from napari_nh2st.slides.cache import cache_folder

# Gain in speed for which an exception is made: trials on a busy machine differ by a fifth.
WORTH = 1.3
_SIDE, _TIMES = 512, 3

_Place = tuple[str, str, int]  # device, cache folder, threads
_in_use: dict[_Place, Calibration] = {}  # a process computes in one way to its end


class Calibration(BaseModel):
    """Precision and memory format for one device.

    Attributes
    ----------
    precision : {"fp32", "bf16"}
    channels_last : bool
        Memory format of images and weights.
    seconds : dict
        The trials: seconds per pass over the same image.
    """

    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = True
    seconds: dict[str, float] = {}

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format as torch names it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


def calibrate(device: torch.device) -> Calibration:
    """Find the fastest precision and memory format of a device; tried once, then remembered.

    bfloat16 is tried only where it is native, and taken only where it wins: elsewhere it is emulated, slower and
    less exact.
    """
    place = _place(device)
    if place not in _in_use:
        try_out(device)
    return _in_use[place]


def guess(device: torch.device) -> None:
    """Compute with what is most likely fastest where no trial has been made: somebody waits."""
    if (place := _place(device)) not in _in_use:
        likely = Calibration(precision="bf16" if has_fast_bf16(device) else "fp32")
        _in_use[place] = _remembered(device) or likely


def try_out(device: torch.device, cancelled: Callable[[], bool] = never) -> None:
    """Find the fastest unless it is remembered: for this process where it does not compute yet, and for later ones.

    Raises
    ------
    Cancelled
        If that is asked for before the trial is done: other work at the same time would spoil it.
    """
    calibration = _remembered(device)
    if calibration is None:
        calibration = _try(device, cancelled)
        _remember(device, calibration)
    _in_use.setdefault(_place(device), calibration)


def _place(device: torch.device) -> _Place:
    return str(device), str(cache_folder()), torch.get_num_threads()


def _note(device: torch.device) -> tuple[Path, str]:
    """Return the file in which a trial is noted, and the key in it."""
    _, folder, threads = _place(device)
    return Path(folder) / "calibration.json", f"{_describe(device)}, {threads} threads, torch {torch.__version__}"


def _remembered(device: torch.device) -> Calibration | None:
    path, key = _note(device)
    try:
        return Calibration.model_validate(_load(path)[key])
    except (KeyError, ValidationError):
        return None


def _remember(device: torch.device, calibration: Calibration) -> None:
    path, key = _note(device)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with finished_file(path) as draft:
            draft.write_text(json.dumps({**_load(path), key: calibration.model_dump()}, indent=1), "utf-8")
    except OSError:
        pass  # a cache that cannot be written costs a trial a session


def _load(path: Path) -> dict[str, Any]:
    try:
        entries = parse_json(contents(path))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return (
            f"{platform.processor() or platform.machine()} {torch.backends.cpu.get_cpu_capability()} x{os.cpu_count()}"
        )
    return str(device)


def _try(device: torch.device, cancelled: Callable[[], bool] = never) -> Calibration:
    _check(cancelled)
    torch_rng = torch.get_rng_state()  # a trial changes nothing that somebody has seeded
    net = ResNet18(32, 16, 1).eval().to(device)
    torch.set_rng_state(torch_rng)
    image = torch.zeros(1, 3, _SIDE, _SIDE, device=device)
    seconds = {}
    for last in (True, False):
        layout: Any = torch.channels_last if last else torch.contiguous_format
        net = net.to(memory_format=layout)  # type: ignore[call-overload]
        image = image.contiguous(memory_format=layout)
        for precision in ("fp32", "bf16") if has_fast_bf16(device) else ("fp32",):
            _check(cancelled)
            seconds[f"{precision} {'channels last' if last else 'planes'}"] = _time(net, image, device, precision)
    last = seconds["fp32 channels last"] < WORTH * seconds["fp32 planes"]
    layout_name = "channels last" if last else "planes"
    half = seconds.get(f"bf16 {layout_name}", float("inf")) * WORTH < seconds[f"fp32 {layout_name}"]
    return Calibration(precision="bf16" if half else "fp32", channels_last=last, seconds=seconds)


def _check(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled("stopped")


def _time(net: Callable[[torch.Tensor], Any], image: torch.Tensor, device: torch.device, precision: str) -> float:
    best = float("inf")
    with torch.inference_mode(), computing(device, precision):
        for _ in range(1 + _TIMES):  # the first one sets up kernels
            start = time.perf_counter()
            net(image)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            elif device.type == "mps":
                torch.mps.synchronize()
            best = min(best, time.perf_counter() - start)
    return best
