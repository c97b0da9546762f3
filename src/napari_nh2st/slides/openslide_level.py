"""A level of a slide that OpenSlide reads, decoded region by region to RGB."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.slides.damage import Damage
from napari_nh2st.slides.file import SlideFile
from napari_nh2st.slides.locks import give_lock
from napari_nh2st.slides.source import Rgb
from napari_nh2st.slides.tiff_colour import over_white

if TYPE_CHECKING:
    from openslide import OpenSlide

CHUNK = 512  # pixels a side, where the file has no tiles or small ones


class Handle:
    """OpenSlide's handle on a slide: one a process, and another after a failure.

    A handle that failed once fails for ever, and a forked child must not share one.

    Parameters
    ----------
    path : Path
        The slide's main file.

    Raises
    ------
    openslide.OpenSlideError
        If OpenSlide cannot open it.
    """

    _lock: threading.Lock

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        give_lock(self)
        self._open()

    def _open(self) -> None:
        from openslide import OpenSlide

        self._handle, self._pid = OpenSlide(self._path), os.getpid()

    def now(self) -> OpenSlide:
        """Return this process's handle."""
        with self._lock:
            if self._pid != os.getpid():
                self._open()
            return self._handle

    def drop(self, failed: OpenSlide) -> None:
        """Take another handle at the next read, in the place of one that failed."""
        with self._lock:
            if self._handle is failed:
                self._pid = 0


class OpenSlideLevel:
    """A level as a `ChunkReader`.

    Parameters
    ----------
    file : SlideFile
        The slide's main file.
    handle : Handle
    index : int
        0 is the finest level.
    """

    def __init__(self, file: SlideFile, handle: Handle, index: int) -> None:
        self._file, self._handle, self._index = file, handle, index
        slide = handle.now()
        width, height = slide.level_dimensions[index]
        self.shape = (height, width)
        self._step = slide.level_downsamples[index]
        self.chunk = (self._side(slide, "height"), self._side(slide, "width"))
        self._damage: Damage | None = None

    def _side(self, slide: OpenSlide, side: str) -> int:
        """Whole tiles, so that none is decoded for two chunks."""
        tile = int(slide.properties.get(f"openslide.level[{self._index}].tile-{side}", CHUNK))
        return tile * max(round(CHUNK / tile), 1) if 0 < tile <= 4 * CHUNK else CHUNK

    def enter_damage(self, damage: Damage, downsample: tuple[float, float]) -> None:
        """Report chunks that cannot be decoded, as they are met."""
        damage.add_chunks(self._index, self.shape, self.chunk, downsample)
        self._damage = damage

    def read_chunk(self, row: int, column: int) -> Rgb | None:
        """Return one chunk (see `ChunkReader`)."""
        from openslide import OpenSlideError

        top, left = row * self.chunk[0], column * self.chunk[1]
        size = (min(self.chunk[1], self.shape[1] - left), min(self.chunk[0], self.shape[0] - top))
        corner = (round(left * self._step), round(top * self._step))  # OpenSlide counts in level-0 pixels
        slide = None
        try:
            slide = self._handle.now()
            pixels = np.asarray(slide.read_region(corner, self._index, size))  # (h, w, 4), opacity last
        except OpenSlideError as error:
            self._failed(slide, row, column, error)
            return None
        if not pixels[..., 3].any():
            return None
        opaque = (pixels[..., 3] == 255).all()
        rgb = pixels[..., :3] if opaque else over_white(pixels[..., :3], pixels[..., 3:])
        rest = (self.chunk[0] - size[1], self.chunk[1] - size[0])
        return np.pad(rgb, ((0, rest[0]), (0, rest[1]), (0, 0)), constant_values=255) if any(rest) else rgb

    def _failed(self, slide: OpenSlide | None, row: int, column: int, error: Exception) -> None:
        """Note a chunk that cannot be decoded; none if the file is away or another one: it may come back."""
        if slide is not None:
            self._handle.drop(slide)
        before = self._file.failures
        self._file.read(0, 1)
        if self._file.failures == before and self._damage is not None:
            self._damage.found(self._index, row, column, error)
