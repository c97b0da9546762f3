"""The last linear layer of a model as NumPy arrays: genes on demand, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Decoder:
    """The last linear layer of a model: expression = hidden @ weight.T + bias.

    Attributes
    ----------
    weight : (G, h) float32
    bias : (G,) float32
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]

    def __call__(self, hidden: npt.NDArray[np.floating[Any]], genes: Sequence[int]) -> npt.NDArray[np.float32]:
        """Decode (n, h) hidden vectors into (n, len(genes)) expression; NaN rows stay NaN."""
        rows = np.asarray(genes, dtype=np.int64)
        out: npt.NDArray[np.float32] = hidden.astype(np.float32) @ self.weight[rows].T + self.bias[rows]
        return out
