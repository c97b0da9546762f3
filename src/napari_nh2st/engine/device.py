"""The device to compute on, and computing there in a precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch

from napari_nh2st.errors import Nh2stError

SCORING: Literal["fp32"] = "fp32"
"""The precision of every score, so that a model has one figure whatever the machine."""


def choose_device(name: str = "auto") -> torch.device:
    """Resolve a device name; "auto" takes CUDA, then Apple's GPU, then the processor.

    Raises
    ------
    Nh2stError
        If the device that was asked for is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise Nh2stError(f"the device {name!r} cannot be used here: choose auto or cpu") from error
    return device


def has_fast_bf16(device: torch.device) -> bool:
    """Tell whether bfloat16 is native: on CUDA from Ampere on, on a processor with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu":
        return False
    capabilities = torch.backends.cpu.get_cpu_capability
    if "AVX512" not in capabilities() and "AMX" not in capabilities():
        return False
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(probe())


@contextlib.contextmanager
def computing(device: torch.device, precision: str = SCORING) -> Iterator[None]:
    """Compute in a precision, whatever surrounds this: "fp32" is plain float32, on CUDA without TF32 either."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"))
        if precision == "fp32" and device.type == "cuda":
            cudnn = torch.backends.cudnn
            kept = {"enabled": cudnn.enabled, "benchmark": cudnn.benchmark, "deterministic": cudnn.deterministic}
            stack.enter_context(cudnn.flags(**kept, allow_tf32=False))
        yield
