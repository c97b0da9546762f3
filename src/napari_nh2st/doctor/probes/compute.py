"""Probe: torch, the devices that it sees, and a small sum on the one that `auto` takes."""

from __future__ import annotations

from typing import Any

from napari_nh2st.doctor.child import tell


def probe() -> None:
    """Tell torch's build, threads, graphics cards, and whether the device of `auto` adds up."""
    import torch

    tell("torch", torch.__version__)
    tell("cuda_build", torch.version.cuda or torch.version.hip)
    tell("capability", torch.backends.cpu.get_cpu_capability())
    tell("threads", torch.get_num_threads())
    tell("mps", {"built": torch.backends.mps.is_built(), "available": torch.backends.mps.is_available()})
    tell("architectures", torch.cuda.get_arch_list() if torch.version.cuda else [])
    tell("driver", _driver_version())
    tell("cuda", torch.cuda.is_available())
    if torch.cuda.is_available():
        tell("cards", [_card(i) for i in range(torch.cuda.device_count())])
    _compute()


def _driver_version() -> int:
    """Return the newest CUDA that the driver can serve, as 12080 for 12.8; 0 if it is not known."""
    import torch

    try:
        return int(getattr(torch._C, "_cuda_getDriverVersion", lambda: 0)())
    except RuntimeError:
        return 0


def _card(index: int) -> dict[str, Any]:
    import torch

    facts = torch.cuda.get_device_properties(index)
    free, total = torch.cuda.mem_get_info(index)
    return {"name": facts.name, "capability": f"{facts.major}.{facts.minor}", "free": free, "total": total}


def _compute() -> None:
    import torch

    from napari_nh2st.engine.device import choose_device, has_fast_bf16

    device = choose_device("auto")
    tell("device", str(device))
    tell("bf16", has_fast_bf16(device))
    # small whole numbers: every device adds them up exactly
    values = torch.arange(36, dtype=torch.float32).reshape(1, 1, 6, 6)
    kernel = torch.ones(1, 1, 3, 3)
    right = torch.nn.functional.conv2d(values, kernel)
    answer = torch.nn.functional.conv2d(values.to(device), kernel.to(device)).cpu()
    expected = [63.0 + 9 * (6 * row + column) for row in range(4) for column in range(4)]
    tell("adds_up", right.flatten().tolist() == expected == answer.flatten().tolist())
