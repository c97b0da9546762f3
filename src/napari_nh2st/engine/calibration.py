"""The fastest way to compute on this machine: a short trial per device, remembered in the user's cache folder."""

from __future__ import annotations

import functools
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
from napari_nh2st.model.encoder import ResNet18
from napari_nh2st.reading import contents, parse_json
from napari_nh2st.slides.cache import cache_folder

# Gain in speed for which an exception is made: trials on a busy machine differ by a fifth.
WORTH = 1.3
_SIDE, _TIMES = 512, 3


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
    return _calibrate(str(device), str(cache_folder()), torch.get_num_threads())


@functools.lru_cache(maxsize=16)
def _calibrate(name: str, folder: str, threads: int) -> Calibration:
    device = torch.device(name)
    path, key = Path(folder) / "calibration.json", f"{_describe(device)}, {threads} threads, torch {torch.__version__}"
    remembered = _load(path)
    try:
        return Calibration.model_validate(remembered[key])
    except (KeyError, ValidationError):
        calibration = _try(device)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with finished_file(path) as draft:
            draft.write_text(json.dumps({**_load(path), key: calibration.model_dump()}, indent=1), "utf-8")
    except OSError:
        pass  # a cache that cannot be written costs a trial a session
    return calibration


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


def _try(device: torch.device) -> Calibration:
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
            seconds[f"{precision} {'channels last' if last else 'planes'}"] = _time(net, image, device, precision)
    last = seconds["fp32 channels last"] < WORTH * seconds["fp32 planes"]
    layout_name = "channels last" if last else "planes"
    half = seconds.get(f"bf16 {layout_name}", float("inf")) * WORTH < seconds[f"fp32 {layout_name}"]
    return Calibration(precision="bf16" if half else "fp32", channels_last=last, seconds=seconds)


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
