"""Memory of this process."""

from __future__ import annotations

import sys
from pathlib import Path

import torch


def memory_mb(device: torch.device) -> tuple[float, float]:
    """Return the memory that is taken now, and the most that was: of the graphics card, or of this process; MB.

    Both are the latter where the system tells no more, and 0 where it tells nothing.
    """
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / 1e6, torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "linux":  # the resource module counts what the parent had taken when it started this process
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        now, most = (int(status[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
        return now, most
    try:
        import resource
    except ImportError:  # Windows
        return 0.0, 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return most, most
