"""Matrix products on a processor, by the faster of the two libraries that come with torch."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x W^T + b`` without gradients: (n, inputs), (outputs, inputs), (outputs,) -> (n, outputs).

    Equal to `F.linear` to rounding. `F.linear` multiplies float32 by MKL, which uses AVX-512 on Intel's processors
    alone; oneDNN uses it on all that have it, twice as fast there.
    """
    if x.device.type == "cpu" and x.dtype == torch.float32 and len(x) and _has_onednn():
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return out
    return F.linear(x, weight, bias)


@cache
def _has_onednn() -> bool:
    """Tell whether oneDNN's product is there, works, and may use AVX-512."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    x, weight = torch.ones(2, 3), torch.ones(4, 3)
    try:
        out = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):  # torch keeps it to itself, and may change it
        return False
    return bool(torch.equal(out, F.linear(x, weight)))
