"""A first look at a slide without levels: sampled tiles at once, then whatever overviews are made.

It is for the eye alone. Predictions, masks and fingerprints read the slide's levels, which are never sampled.
"""

from __future__ import annotations

import os
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_nh2st.slides.chunk_files import ChunkKey
from napari_nh2st.slides.chunks import ChunkReader
from napari_nh2st.slides.overview_level import OverviewLevel, grid_of
from napari_nh2st.slides.overviews import ERRAND, Overviews

Rgb = npt.NDArray[np.uint8]

SAMPLED_PIXELS = 32_000_000
"""About so many pixels are decoded for the first look: a fraction of a second on one core."""


class Sketch:
    """The coarsest level of a slide as far as it is known.

    Parameters
    ----------
    overviews : Overviews

    Attributes
    ----------
    pixels : (height, width, 3) uint8
        Of the size of the coarsest level; they change while overviews are made.
    """

    def __init__(self, overviews: Overviews) -> None:
        self._overviews = overviews
        self._shape = overviews.levels[-1].shape
        finest = overviews.levels[0].finer
        means = _sampled_means(finest)
        height, width = self._shape
        self.pixels: Rgb = np.array(Image.fromarray(means).resize((width, height), Image.Resampling.BILINEAR))
        self._take_over()
        here = weakref.ref(self)

        def heard(key: ChunkKey, pixels: Rgb) -> None:
            sketch = here()
            if sketch is None:
                overviews.forget(heard)
            else:
                sketch.paste(key, pixels)

        overviews.listen(heard)

    def _take_over(self) -> None:
        """Enter the coarse chunks that were made on an earlier day."""
        for level in self._overviews.levels[ERRAND - 1 :]:
            rows, columns = grid_of(level)
            for key in (ChunkKey(level.index, row, column) for row in range(rows) for column in range(columns)):
                pixels = level.kept(key.row, key.column)
                if pixels is not None:
                    self.paste(key, pixels)

    def paste(self, key: ChunkKey, pixels: Rgb) -> None:
        """Enter a chunk of any overview level."""
        level = self._overviews.levels[key.level - self._overviews.first]
        corner = (key.row * level.chunk[0], key.column * level.chunk[1])
        size = [min(level.chunk[k], level.shape[k] - corner[k]) for k in (0, 1)]
        steps = [level.shape[k] / self._shape[k] for k in (0, 1)]
        first = [round(corner[k] / steps[k]) for k in (0, 1)]
        stop = [max(round((corner[k] + size[k]) / steps[k]), first[k]) for k in (0, 1)]
        there = self.pixels[first[0] : stop[0], first[1] : stop[1]]
        if there.size:
            whole = Image.fromarray(np.ascontiguousarray(pixels[: size[0], : size[1]]))
            there[:] = np.asarray(whole.resize(there.shape[1::-1], Image.Resampling.BOX))


def _sampled_means(level: ChunkReader | OverviewLevel) -> Rgb:
    """Return the mean colours of tiles on a grid over a level, (rows, columns, 3)."""
    rows, columns = grid_of(level)
    share = min(1.0, SAMPLED_PIXELS / (level.shape[0] * level.shape[1])) ** 0.5
    places = [_spread(n, max(2, round(n * share))) for n in (rows, columns)]
    out = np.full((len(places[0]), len(places[1]), 3), 255, np.uint8)

    def sample(i: int) -> None:
        for j, column in enumerate(places[1]):
            row = places[0][i]
            pixels = level.read_chunk(row, column)
            if pixels is not None:
                inside = pixels[: level.shape[0] - row * level.chunk[0], : level.shape[1] - column * level.chunk[1]]
                out[i, j] = inside[::4, ::4].mean(axis=(0, 1)).round()

    with ThreadPoolExecutor(os.cpu_count(), "sketch") as pool:
        list(pool.map(sample, range(len(places[0]))))
    return out


def _spread(count: int, wanted: int) -> list[int]:
    """Return up to so many of `count` indices, evenly spread."""
    return sorted({int((k + 0.5) * count / wanted) for k in range(min(wanted, count))})
