"""Pairs of crops that show one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from napari_nh2st.errors import Nh2stError
from napari_nh2st.training.pretraining.settings import PretrainSettings

Pixels = npt.NDArray[np.uint8]
Places = npt.NDArray[np.float64]


def crop_side(stride: int) -> tuple[int, int]:
    """Side of a crop, 7 x 7 cells, and the most that it is shifted; model pixels."""
    return 7 * stride, 7 * stride // 4


class CropPairs(IterableDataset[Tensor]):
    """Batches of two crops each of randomly chosen places, (2 B, S, S, 3) uint8; crop i and B + i show one place.

    Parameters
    ----------
    images : sequence of (H, W, 3) uint8
        None smaller than a crop.
    places : sequence of (n, 2) arrays
        For each image, (x, y) in its pixels.
    settings : PretrainSettings
        The encoder's stride sets the crop's side and shift, see `crop_side`.
    wander : sequence of (n,) arrays, optional
        Each time a place is drawn, both its crops are moved together by up to this. Not moved by default.
    """

    def __init__(
        self,
        images: Sequence[Pixels],
        places: Sequence[npt.ArrayLike],
        settings: PretrainSettings,
        wander: Sequence[npt.ArrayLike] | None = None,
    ) -> None:
        super().__init__()
        at = [np.asarray(p, dtype=np.float64).reshape(-1, 2) for p in places]
        self.side, self.shift = crop_side(settings.stride)
        self.images = images
        self.steps, self.batch, self.seed = settings.steps, settings.batch, settings.seed
        self.where = np.concatenate([np.zeros((0, 2)), *at])
        self.which = np.repeat(np.arange(len(at)), [len(p) for p in at])
        room = [] if wander is None else [np.asarray(w, dtype=np.float64) for w in wander]
        self.wander = np.concatenate(room)[:, None] if room else np.zeros((len(self.where), 1))  # (places, 1)
        small = next((i for i in images if min(i.shape[:2]) < self.side), None)
        if small is not None:
            raise ValueError(f"an image of {small.shape[:2]} pixels is smaller than a crop of {self.side}")
        if self.batch < 2 or len(self.where) < self.batch:
            raise Nh2stError(
                f"{len(self.where)} places of tissue are too few to pretrain on: a batch takes {self.batch}"
            )

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Any:
        rng = np.random.default_rng([self.seed, 4])
        for _ in range(self.steps):
            chosen = rng.choice(len(self.where), self.batch, replace=False)
            room = self.wander[chosen]
            moved = self.where[chosen] + rng.uniform(-room, room, (self.batch, 2))
            pairs = [*zip(self.which[chosen].tolist(), moved, strict=True)] * 2
            views = [self._cut(i, centre, rng) for i, centre in pairs]
            yield torch.from_numpy(np.stack(views))

    def _cut(self, image: int, centre: Places, rng: np.random.Generator) -> Pixels:
        """Cut a shifted, turned, perhaps mirrored crop, wholly inside its image."""
        pixels = self.images[image]
        height, width = pixels.shape[:2]
        corner = np.round(centre + rng.uniform(-self.shift, self.shift, 2) - self.side / 2)
        x, y = np.clip(corner, 0, [width - self.side, height - self.side]).astype(int).tolist()
        crop = np.rot90(pixels[y : y + self.side, x : x + self.side], int(rng.integers(4)))
        return crop[:, ::-1] if rng.integers(2) else crop
