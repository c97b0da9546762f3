"""Embeddings of a slide that answer at places: encoded once, kept in the user's cache.

A dense encoder (``context``) runs over a block of tissue with a halo and leaves one embedding per cell of the
feature map; a place between cells is interpolated. A patch encoder (``paper``) leaves one per lattice tile.
Both live on a grid anchored at the slide's origin: entry (row, column) belongs to the patch whose top-left corner
is at (column, row) * spacing model pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.engine.cache import EmbeddingCache, Index
from napari_nh2st.errors import Cancelled
from napari_nh2st.geometry import Box, TileSet
from napari_nh2st.model.nh2st import normalise

if TYPE_CHECKING:
    from napari_nh2st.model.folder import Model
    from napari_nh2st.slides import Slide

# Part of every cache signature: raise it when reading or preprocessing changes what an embedding holds.
PREPROCESSING_VERSION = 1
DENSE_BLOCK = 64  # cells per side: about a square millimetre and a half
PATCH_BLOCK = 8  # patches per side
# Cells kept left of and above the slide's origin, for places nearer to its border than half a patch.
BORDER = 4

FloatArray = npt.NDArray[np.float64]


@contextmanager
def cancellable(encoder: torch.nn.Module, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Ask `cancelled` before every stage of the encoder: a stop takes effect within a fraction of a block."""

    def ask(*_: Any) -> None:
        if cancelled():
            raise Cancelled("stopped")

    hooks = [part.register_forward_pre_hook(ask) for part in encoder.children()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class Embeddings:
    """Answers `at(places)`, encoding what is missing.

    Parameters
    ----------
    slide : Slide
    model : Model
    pitch : int
        Tile distance in model pixels: the spacing of a patch encoder's grid (a dense encoder has its stride).
    device : torch.device
    precision : {"fp32", "bf16"}
    cache_root : Path or None
    cancelled : callable
        Asked between blocks and between stages of the encoder.
    """

    def __init__(
        self,
        slide: Slide,
        model: Model,
        *,
        pitch: int,
        device: torch.device,
        precision: str,
        cache_root: Path | None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.slide, self.model, self.device, self.cancelled = slide, model, device, cancelled
        self.net = model.net.to(device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.precision = precision
        self.scale = model.card.scale_on(slide.require_mpp())
        self.stride, self.patch = model.card.architecture.stride, model.card.patch
        self.dense: bool = self.net.dense
        self.spacing = self.stride if self.dense else pitch
        self.block = DENSE_BLOCK if self.dense else PATCH_BLOCK
        self.halo = -(-self.net.encoder.receptive_radius // self.stride)
        self.border = BORDER if self.dense else 0
        height, width = slide.shape
        signature = {
            "slide": slide.fingerprint,
            "scale": self.scale,
            "model": model.hash,
            "precision": f"{precision} {device.type}",
            "spacing": self.spacing,
            "block": self.block,
            "grid": [int(np.ceil(v / self.scale / self.spacing)) + 2 * BORDER for v in (height, width)],
            "preprocessing": PREPROCESSING_VERSION,
        }
        self.cache = EmbeddingCache(signature, cache_root, self.block, self.net.embedding_dim)
        self.encoded_blocks: set[Index] = set()

    def _entries(self, centres: FloatArray) -> FloatArray:
        """Grid coordinates (row, column) of places, fractional."""
        entries = (centres[:, ::-1] / self.scale - self.patch / 2) / self.spacing + self.border
        nearest = np.round(entries)
        return np.where(np.abs(entries - nearest) < 1e-3, nearest, entries)

    def blocks_for(self, centres: FloatArray) -> list[Index]:
        """Blocks that answer at these places, row by row."""
        entries = self._entries(centres)
        corners = np.concatenate([np.floor(entries), np.ceil(entries)]) if self.dense else np.round(entries)
        if self.dense:  # the two mixed corners of a bilinear cell may lie in a third block
            low, high = np.floor(entries), np.ceil(entries)
            mixed = [np.stack([low[:, 0], high[:, 1]], 1), np.stack([high[:, 0], low[:, 1]], 1)]
            corners = np.concatenate([corners, *mixed])
        return [(int(r), int(c)) for r, c in np.unique(corners.astype(np.int64) // self.block, axis=0)]

    def missing(self, centres: FloatArray) -> list[Index]:
        """Blocks that must be encoded before `at` can answer at these places."""
        return [index for index in self.blocks_for(centres) if self._lacks(index, centres)]

    def _lacks(self, index: Index, centres: FloatArray) -> bool:
        values = self.cache.get(index)
        if values is None or self.dense:
            return values is None
        rows, columns = self._inside(index, centres)
        return bool(np.isnan(values[rows, columns, 0]).any())

    def _inside(self, index: Index, centres: FloatArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Positions within a block of those places that lie in it."""
        entries = np.round(self._entries(centres)).astype(np.int64)
        local = np.unique(
            entries[(entries // self.block == index).all(axis=1)] - np.multiply(index, self.block), axis=0
        )
        return local[:, 0], local[:, 1]

    def read(self, index: Index, centres: FloatArray) -> npt.NDArray[np.uint8]:
        """Read the pixels of a block: (1, H, W, 3) with halo for a dense encoder, else (n, patch, patch, 3)."""
        if self.dense:
            side = (self.block + 6 + 2 * self.halo) * self.stride
            y, x = ((i * self.block - self.border - self.halo) * self.stride + self.stride // 2 for i in index)
            pixels: npt.NDArray[np.uint8] = self.slide.read(x, y, side, side, self.scale)
            return pixels[None]
        local = np.stack(self._inside(index, centres), axis=1)
        return self.read_patches((local + np.multiply(index, self.block)) * self.spacing)

    def read_patches(self, corners: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Read patches by their top-left corners (n, 2), (y, x) model pixels -> (n, patch, patch, 3)."""
        side = self.patch
        return np.stack([self.slide.read(int(x), int(y), side, side, self.scale) for y, x in corners])

    def patches_at(self, centres: FloatArray) -> npt.NDArray[np.float32]:
        """Encode the patches of a patch encoder round given places, to the nearest model pixel: (n, 2) -> (n, d)."""
        corners = np.round(centres[:, ::-1] / self.scale - self.patch / 2).astype(np.int64)
        return self._forward(self.read_patches(corners))

    def _forward(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        with (
            cancellable(self.net.encoder, self.cancelled),
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            out: npt.NDArray[np.float32] = (
                self.net.encode(normalise(torch.from_numpy(pixels).to(self.device))).float().cpu().numpy()
            )
        return out

    def encode(self, index: Index, pixels: npt.NDArray[np.uint8], centres: FloatArray) -> None:
        """Encode the pixels of a block and keep the result."""
        values = self._forward(pixels)
        if self.dense:
            inner = slice(self.halo, self.halo + self.block)
            block = values[0, :, inner, inner].transpose(1, 2, 0)
        else:
            block = np.full((self.block, self.block, values.shape[1]), np.nan, dtype=np.float32)
            known = self.cache.get(index)
            if known is not None:
                block[:] = known
            block[self._inside(index, centres)] = values
        self.encoded_blocks.add(index)
        self.cache.put(index, np.ascontiguousarray(block, dtype=np.float16))

    def at(self, centres: FloatArray) -> npt.NDArray[np.float32]:
        """Embeddings at places whose blocks are there.

        Parameters
        ----------
        centres : (n, 2) float64
            Level-0 pixels.

        Returns
        -------
        (n, d) float32
            Bilinear between the four nearest cells for a dense encoder (exact on the lattice).
        """
        entries = self._entries(centres)
        low = np.floor(entries) if self.dense else np.round(entries)
        part = (entries - low).astype(np.float32) if self.dense else np.zeros_like(entries, dtype=np.float32)
        out = np.zeros((len(centres), self.cache.dim), dtype=np.float32)
        for dr in (0, 1):
            for dc in (0, 1):
                weight = np.abs(1 - dr - part[:, 0]) * np.abs(1 - dc - part[:, 1])
                self._add(out, low.astype(np.int64) + np.array([dr, dc]), weight)
        return out

    def _add(self, out: npt.NDArray[np.float32], cells: npt.NDArray[np.int64], weight: npt.NDArray[np.float32]) -> None:
        used = np.flatnonzero(weight > 0)
        owner = cells[used] // self.block
        for index in np.unique(owner, axis=0):
            mine = used[(owner == index).all(axis=1)]
            values = self.cache.get((int(index[0]), int(index[1])))
            if values is None:
                raise KeyError(f"block {tuple(index)} has not been encoded")
            row, column = (cells[mine] % self.block).T
            out[mine] += weight[mine, None] * values[row, column].astype(np.float32)


def damaged_places(slide: Slide, places: TileSet, patch: int) -> npt.NDArray[np.bool_]:
    """Tell which places have a damaged part of the file under their patch, (n,) bool."""
    half = patch * places.scale / 2
    boxes = (Box(x - half, y - half, x + half, y + half) for x, y in places.centres)
    return np.fromiter((slide.damaged(box, places.scale) for box in boxes), dtype=np.bool_, count=len(places))
