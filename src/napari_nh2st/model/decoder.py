"""The last linear layer of a model as NumPy arrays: genes on demand, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False, repr=False)
class Decoder:
    """The last linear layer of a model: expression = hidden @ weight.T + bias.

    Attributes
    ----------
    weight : (G, h) float32
    bias : (G,) float32
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]

    def __repr__(self) -> str:
        return f"Decoder({self.genes:,} genes of {self.width} values)"

    @property
    def genes(self) -> int:
        """Number of genes."""
        return len(self.bias)

    @property
    def width(self) -> int:
        """Length of a hidden vector."""
        return int(self.weight.shape[1])

    def __call__(self, hidden: npt.NDArray[np.floating[Any]], genes: Sequence[int]) -> npt.NDArray[np.float32]:
        """Decode (n, h) hidden vectors into (n, len(genes)) expression; NaN rows stay NaN."""
        rows = np.asarray(genes, dtype=np.int64)
        out: npt.NDArray[np.float32] = hidden.astype(np.float32) @ self.weight[rows].T + self.bias[rows]
        return out

    @classmethod
    def of_values(cls, genes: int) -> Decoder:
        """Return the decoder of predictions that are kept as the values of so many genes, in their order."""
        return ValuesDecoder(genes)

    def only(self, genes: Sequence[int]) -> Decoder:
        """Return the decoder of some genes."""
        rows = np.asarray(genes, dtype=np.int64)
        return Decoder(self.weight[rows], self.bias[rows])

    def combined(self, shares: npt.NDArray[np.floating[Any]]) -> tuple[npt.NDArray[np.float32], float]:
        """Return weights (h,) and bias of the sum of all genes, each times its share (G,)."""
        weight: npt.NDArray[np.float32] = (shares @ self.weight).astype(np.float32)
        return weight, float(shares @ self.bias)

    def of_finite(self, hidden: npt.NDArray[np.floating[Any]], gene: int) -> npt.NDArray[np.float32]:
        """Decode one gene of finite hidden vectors (n, h) into (n,): like ``self(hidden, [gene])``, six times faster.

        NumPy turns float16 into float32 one number at a time. Moving the bits and leaving the exponent 112 too low
        works on many numbers at once; the weights correct it exactly, since the factor is a power of two.
        """
        if hidden.dtype != np.float16:
            return self(hidden, [gene])[:, 0]
        bits = hidden.view(np.int16).astype(np.int32)
        bits <<= 13
        bits &= np.int32(-0x70002000)  # sign, exponent and mantissa, without the copies of the sign beside it
        weight = self.weight[gene] * np.float32(2.0**112)
        out: npt.NDArray[np.float32] = bits.view(np.float32) @ weight + self.bias[gene]
        return out


class ValuesDecoder(Decoder):
    """The decoder where a place's hidden vector is its values, one a gene: of other people's models, and of files.

    For what computes with a decoder's weights, they are the identity, made when they are asked for.

    Parameters
    ----------
    genes : int
    """

    def __init__(self, genes: int) -> None:
        object.__setattr__(self, "bias", np.zeros(genes, dtype=np.float32))

    def __getattr__(self, name: str) -> Any:
        if name != "weight":
            raise AttributeError(name)
        object.__setattr__(self, "weight", np.eye(self.genes, dtype=np.float32))
        return self.weight

    def __repr__(self) -> str:
        return f"ValuesDecoder({self.genes:,} genes)"

    @property
    def width(self) -> int:
        """Length of a hidden vector: the number of genes."""
        return self.genes

    def __call__(self, hidden: npt.NDArray[np.floating[Any]], genes: Sequence[int]) -> npt.NDArray[np.float32]:
        """Take the genes' columns (n, len(genes)) of (n, G) values."""
        out: npt.NDArray[np.float32] = hidden[:, np.asarray(genes, dtype=np.int64)].astype(np.float32)
        return out

    def combined(self, shares: npt.NDArray[np.floating[Any]]) -> tuple[npt.NDArray[np.float32], float]:
        """Take the shares (G,) themselves."""
        return shares.astype(np.float32), 0.0

    def of_finite(self, hidden: npt.NDArray[np.floating[Any]], gene: int) -> npt.NDArray[np.float32]:
        """Take a gene's column (n,)."""
        out: npt.NDArray[np.float32] = hidden[:, gene].astype(np.float32)
        return out
