"""Tiles of tissue, read from slides for pretraining."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from napari_nh2st.engine.places import MIN_TISSUE, slide_box
from napari_nh2st.errors import Cancelled, SlideError
from napari_nh2st.geometry import TileSet
from napari_nh2st.slides import Slide, open_slide
from napari_nh2st.training.pretraining.crops import Pixels, Places, crop_side
from napari_nh2st.training.pretraining.settings import PretrainSettings

# On a small slide each place of the lattice is drawn up to this often, moved a little differently each time.
ROUNDS = 4
_READ_AT_ONCE = 64


def distinct_slides(slides: Sequence[str | Path], mpp: Sequence[float | None]) -> dict[str, tuple[Path, float | None]]:
    """Open every slide once and ask for its pixel size, before the long work: fingerprint -> path and mpp."""
    out: dict[str, tuple[Path, float | None]] = {}
    for path, its_mpp in zip(slides, mpp, strict=True):
        with open_slide(path, mpp=its_mpp) as slide:
            slide.require_mpp()
            out.setdefault(slide.fingerprint, (Path(path), its_mpp))
    return out


@dataclass(frozen=True)
class TileRequest:
    """Tiles that are wanted of a slide: plain values, the same tiles wherever it is read.

    Attributes
    ----------
    slide : Path
    mpp : float or None
        Where the slide does not say it itself.
    number : int
        Of the slide; with the seed it decides the places.
    most : int
        Tiles at most.
    model_mpp : float
        At which tiles are read.
    settings : PretrainSettings
    """

    slide: Path
    mpp: float | None
    number: int
    most: int
    model_mpp: float
    settings: PretrainSettings

    def read(
        self, *, progress: Callable[[int, int], None], cancelled: Callable[[], bool], threads: int | None = None
    ) -> list[Pixels]:
        """Read tiles at random places of tissue: each a crop with room for its shift on every side, (S, S, 3).

        Parameters
        ----------
        progress : callable
            Called with the tiles read and all tiles.
        cancelled : callable
            Asked every 64 tiles.
        threads : int, optional
            That read; by default one a processor, and eight at most.

        Raises
        ------
        SlideError
            If the slide shows no tissue.
        Cancelled
        """
        stride = self.settings.stride
        with open_slide(self.slide, mpp=self.mpp) as slide:
            scale = self.model_mpp / slide.require_mpp()
            rng = np.random.default_rng([self.settings.seed, 5, self.number])
            centres = tissue_places(slide, scale, stride, self.most, rng)
            with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
                return _read_tiles(slide, centres, scale, stride, pool, progress, cancelled)


def tissue_places(slide: Slide, scale: float, stride: int, most: int, rng: np.random.Generator) -> Places:
    """Draw places of tissue, (n, 2) level-0 pixels: those of a lattice, each moved by up to half its pitch."""
    side, _ = crop_side(stride)
    lattice = TileSet.lattice(slide_box(slide), scale=scale, pitch=side, patch=side)
    tissue = slide.tissue()
    centres = lattice.centres[tissue.fraction_at(lattice.centres, side * scale) >= MIN_TISSUE]
    if not len(centres):
        raise SlideError(f"{slide.path}: there is no tissue on this slide")
    drawn = np.concatenate([rng.permutation(centres) for _ in range(ROUNDS)])[:most]
    moved = drawn + rng.uniform(-side / 2, side / 2, drawn.shape) * scale
    there = tissue.fraction_at(moved, side * scale) >= MIN_TISSUE
    return np.where(there[:, None], moved, drawn)


def _read_tiles(
    slide: Slide,
    centres: Places,
    scale: float,
    stride: int,
    pool: ThreadPoolExecutor,
    progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> list[Pixels]:
    """Read the tile round each place: a crop and room for its shift on every side."""
    side, shift = crop_side(stride)
    whole = side + 2 * shift
    corners = np.round(centres / scale - whole / 2).astype(int).tolist()
    parts = [*range(0, len(corners), _READ_AT_ONCE), len(corners)]
    out: list[Pixels] = []
    progress(0, len(corners))
    for a, b in pairwise(parts):
        if cancelled():
            raise Cancelled("stopped while tiles were being read: nothing was written")
        out += pool.map(lambda at: slide.read(at[0], at[1], whole, whole, scale), corners[a:b])
        progress(len(out), len(corners))
    return out
