"""Less at once, where a device has not enough memory."""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.errors import Nh2stError

F32 = npt.NDArray[np.float32]

NO_MEMORY = "there is not enough memory for even a small piece of this slide: close other programs, or use the cpu"

_SAID = ("out of memory", "allocate memory", "not enough memory", "status_alloc_failed", "unable to find an engine")
"""Words of errors without a class of their own. The last are torch's where no algorithm of cuDNN finds memory to work
in (issue 108645 of pytorch/pytorch)."""


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that a device, or this machine, has no memory left for a tensor."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(said in words for said in _SAID)


def free_memory_of(device: torch.device) -> None:
    """Give back what is kept for later use."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


class Halving:
    """Computes rows at once; where there is not enough memory, their halves, and no more than that from then on.

    Attributes
    ----------
    most : int or None
        Rows at once; None while memory has sufficed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.most: int | None = None

    def __call__(self, compute: Callable[[slice], F32], count: int, width: int) -> F32:
        """Compute `count` rows of `width` values: (count, width).

        Parameters
        ----------
        compute : callable
            Rows of a slice to their values.

        Raises
        ------
        Nh2stError
            If memory does not suffice for one row.
        """
        if not count or self.most is None:
            values = self._try(compute, slice(0, count))
            if values is not None:
                return values
        out = np.empty((count, width), dtype=np.float32)
        start = 0
        while start < count:
            part = slice(start, min(count, start + (self.most or count)))
            values = self._try(compute, part)
            if values is not None:
                out[part], start = values, part.stop
        return out

    def _try(self, compute: Callable[[slice], F32], part: slice) -> F32 | None:
        """Compute rows; None where memory was short, and fewer are tried from now on."""
        try:
            return compute(part)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            count = part.stop - part.start
            if count <= 1:
                raise Nh2stError(NO_MEMORY) from error
        self.most = -(-count // 2)
        free_memory_of(self._device)
        return None
