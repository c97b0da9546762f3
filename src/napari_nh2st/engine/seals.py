"""Seals of predicted tiles: 64-bit checksums that tie a tile's vector to its place, its state and its folder."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.geometry import IntArray

_F16 = npt.NDArray[np.float16]
_States = npt.NDArray[np.uint8]
_UInt64 = npt.NDArray[np.uint64]


class Seals:
    """Checksums of the tiles of one folder.

    Parameters
    ----------
    signature : dict
        Of the folder: a part of another one does not pass.
    width : int
        Numbers h of a hidden vector.
    """

    def __init__(self, signature: dict[str, Any], width: int) -> None:
        digest = hashlib.sha256(json.dumps(signature, sort_keys=True).encode()).digest()
        self._salt = np.uint64(int.from_bytes(digest[:8], "little"))
        self._factors = _odd_numbers(width + 3)

    def of(self, grid: IntArray, hidden: _F16, states: _States) -> _UInt64:
        """Return the seals (n,) of tiles at lattice indices (n, 2).

        They are sums of 16-bit words, each times an odd number of its own: no single change is lost.
        """
        words = np.ascontiguousarray(hidden).view(np.uint16).astype(np.uint64)  # (n, h)
        row, column = grid.astype(np.uint64).T
        a, b, c = self._factors[:3]
        seals: _UInt64 = words @ self._factors[3:] + row * a + column * b + states.astype(np.uint64) * c + self._salt
        return seals

    def match(self, corner: IntArray, states: _States, hidden: _F16, seals: _UInt64) -> npt.NDArray[np.bool_]:
        """Tell which tiles of a chunk match their seals.

        Parameters
        ----------
        corner : (2,) int64
            Lattice index of the chunk's first tile.
        states, hidden, seals
            (s, s), (s, s, h) and (s, s).
        """
        row, column = np.indices(states.shape)
        grid = np.stack([row.ravel(), column.ravel()], axis=1) + corner
        expected = self.of(grid, hidden.reshape(len(grid), -1), states.ravel())
        matches: npt.NDArray[np.bool_] = seals == expected.reshape(states.shape)
        return matches


def _odd_numbers(count: int) -> _UInt64:
    """Return numbers that look random, the same on every machine (splitmix64)."""
    mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    odd: _UInt64 = (mixed ^ (mixed >> np.uint64(31))) | np.uint64(1)
    return odd
