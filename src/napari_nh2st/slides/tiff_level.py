"""One level of a TIFF, decoded tile by tile (or strip by strip) to RGB."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tifffile import TiffPage

from napari_nh2st.errors import SlideError
from napari_nh2st.slides.damage import Damage
from napari_nh2st.slides.deep_colour import Depth, spread_over
from napari_nh2st.slides.file import SlideFile
from napari_nh2st.slides.tiff_colour import Rgb, colour_of, facts_of, told_bits
from napari_nh2st.slides.tile_header import declared_size

MAX_TILE_BYTES = 256 * 2**20
# A compressed strip or tile larger than this is decoded once, into the cache, instead of at every read.
FLAT_BYTES = 64 * 2**20
# Strips are read in groups of about this height, and raw data without tiles is cut to about this size.
GROUP_ROWS, RAW_BYTES = 64, 2**20

Table = npt.NDArray[np.int64]


@dataclass
class Tiles:
    """The tiles of a page: their places in the file, and a decoder.

    Attributes
    ----------
    offsets, counts : (planes, rows, columns) int64
        Bytes; a count of 0 marks a tile that is missing.
    size : (height, width)
        Pixels of a tile.
    decode : callable
        (bytes, index in the page's own table) -> (height, width, samples) array.
    """

    offsets: Table
    counts: Table
    size: tuple[int, int]
    decode: Callable[[bytes, int], npt.NDArray[Any]]


class TiffLevel:
    """A level of a TIFF slide as a `ChunkReader`.

    Parameters
    ----------
    file : SlideFile
        Read by offset.
    page : TiffPage
        Its first page, of which little is kept.
    index : int
        0 is the finest level.
    """

    def __init__(self, file: SlideFile, page: TiffPage, index: int) -> None:
        self.shape = (int(page.imagelength), int(page.imagewidth))
        self._file, self._index = file, index
        self._damage: Damage | None = None
        self._colour = colour_of(page)
        self._page = page if facts_of(page).deep else None
        self.tiles = tiles_of(page)
        self.sparse = bool(page.parent.is_philips)  # its scanners leave out tiles without tissue
        empty = (self.tiles.counts == 0) & (self.tiles.offsets == 0) & self.sparse
        self._empty = empty.all(axis=0)
        height, width = self.tiles.size
        self._group = max(GROUP_ROWS // height, 1) if height < GROUP_ROWS < self.shape[0] else 1
        self.chunk = (height * self._group, width)

    @property
    def flat(self) -> bool:
        """True if tiles are so large that reading a small part of the level would be slow."""
        return math.prod(self.tiles.size) * 3 > FLAT_BYTES

    def enter_damage(self, damage: Damage, downsample: tuple[float, float]) -> None:
        """Report missing tiles now, and undecodable ones as they are met."""
        missing = (self.tiles.counts == 0).any(axis=0) & ~self._empty
        step = (self.tiles.size[0] * downsample[0], self.tiles.size[1] * downsample[1])
        damage.add_level(self._index, missing, step)
        self._damage = damage

    def read_chunk(self, row: int, column: int) -> Rgb | None:
        """Return one chunk (see `ChunkReader`)."""
        if self._group == 1:
            return self._read_tile(row, column)
        height = self.tiles.size[0]
        out = np.full((*self.chunk, 3), 255, np.uint8)
        for i in range(self._group):
            tile_row = row * self._group + i
            tile = self._read_tile(tile_row, column) if tile_row < self.tiles.counts.shape[1] else None
            if tile is not None:
                out[i * height : i * height + len(tile)] = tile
        return out

    def depth(self) -> Depth | None:
        """Find out how many of 16 bits are used (see `DeepLevel`)."""
        if self._page is None:
            return None
        grid = self.tiles.counts.shape[1:]
        read = (self._decode_tile(row, column) for row, column in spread_over(*grid))
        return Depth.of(told_bits(self._page), (tile[:, :, :3] for tile in read if tile is not None))

    def show_by(self, depth: Depth) -> None:
        """Scale samples of 16 bits (see `DeepLevel`)."""
        if self._page is not None:
            self._colour, self._page = colour_of(self._page, depth), None

    def trouble(self) -> str:
        """Decode the first tile; say why it cannot be decoded, "" if it can be or is not there."""
        try:
            self._planes(0, 0)
        except Exception as error:  # each codec has its own
            return " ".join(str(error).split())[:160] or type(error).__name__
        return ""

    def _planes(self, row: int, column: int) -> list[npt.NDArray[Any]] | None:
        """Decode the planes of a tile; None if one is missing, or cannot be read just now."""
        planes = []
        for plane in range(len(self.tiles.counts)):
            count = int(self.tiles.counts[plane, row, column])
            if count == 0:
                return None
            before = self._file.failures
            data = self._file.read(int(self.tiles.offsets[plane, row, column]), count)
            if self._file.failures != before:  # not damage: the disk may come back
                return None
            index = int(np.ravel_multi_index((plane, row, column), self.tiles.counts.shape))
            planes.append(self.tiles.decode(data, index))
        return planes

    def _decode_tile(self, row: int, column: int) -> npt.NDArray[Any] | None:
        try:
            planes = self._planes(row, column)
        except Exception as error:  # each codec has its own kinds of error; all mean the same here
            self._note(row, column, error)
            return None
        if planes is None:
            return None
        return np.concatenate(planes, axis=2) if len(planes) > 1 else planes[0]

    def _read_tile(self, row: int, column: int) -> Rgb | None:
        tile = self._decode_tile(row, column)
        if tile is None:
            return None
        rgb = self._colour(tile)
        if rgb.shape != (*self.tiles.size, 3):
            self._note(
                row, column, ValueError(f"it has {tile.shape[2]} channels and {tile.shape[1]} x {tile.shape[0]} px")
            )
            return None
        return rgb

    def _note(self, row: int, column: int, error: Exception) -> None:
        if self._damage is not None:
            self._damage.found(self._index, row, column, error)


def tiles_of(page: TiffPage) -> Tiles:
    """Find a page's tiles in the file.

    Raises
    ------
    SlideError
        If the page's dimensions, tiles or compression are not possible or not supported.
    """
    height, width = int(page.imagelength), int(page.imagewidth)
    tile = (int(page.tilelength or min(page.rowsperstrip or height, height)), int(page.tilewidth or width))
    separate = page.planarconfig == 2 and page.samplesperpixel > 1
    samples = 1 if separate else int(page.samplesperpixel)
    raw = page.compression == 1 and page.predictor == 1 and not page.is_tiled and page.bitspersample == 8
    if math.prod(tile) * samples > MAX_TILE_BYTES and (page.is_tiled and not page.jpegheader):
        raise SlideError(f"tiles of {tile[1]} x {tile[0]} pixels are too large to be real")
    grid = (int(page.samplesperpixel) if separate else 1, math.ceil(height / tile[0]), math.ceil(width / tile[1]))
    if math.prod(grid) > max(page.parent.filehandle.size, 1024):
        raise SlideError(f"the file claims {math.prod(grid)} tiles, more than it has bytes")
    offsets, counts = (_table(values, grid) for values in (page.dataoffsets, page.databytecounts))
    counts[offsets <= 0] = 0
    if raw and tile[0] * width * samples > RAW_BYTES:
        return _raw_rows(offsets, counts, tile[0], (height, width, samples))
    return Tiles(offsets, counts, tile, _decoder(page))


def _table(values: Any, grid: tuple[int, int, int]) -> Table:
    """Lay out a page's offsets or byte counts; absent entries are 0."""
    out = np.zeros(math.prod(grid), np.int64)
    given = np.asarray(values[: out.size], dtype=np.int64)
    out[: len(given)] = np.maximum(given, 0)
    return out.reshape(grid)


def _decoder(page: TiffPage) -> Callable[[bytes, int], npt.NDArray[Any]]:
    """Return tifffile's decoder for a page, with the tables that its tiles share."""
    decode = page.decode
    if decode.__name__.startswith("decode_raise"):
        try:
            decode(b"", 0)
        except Exception as error:
            raise SlideError(f"its pixels cannot be decoded: {error}; save it with another compression") from error
    shared: dict[str, Any] = {"_fullsize": True}
    if page.jpegtables is not None:
        shared["jpegtables"] = page.jpegtables
    if page.jpegheader is not None:
        shared["jpegheader"] = page.jpegheader

    limit = 4 * int(page.tilelength or page.imagelength) * int(page.tilewidth or page.imagewidth)

    def decode_tile(data: bytes, index: int) -> npt.NDArray[Any]:
        size = declared_size(data)
        if size is not None and math.prod(size) > limit:
            raise ValueError(f"it claims {size[1]} x {size[0]} pixels")
        tile = decode(data, index, **shared)[0]
        if tile is None:
            raise ValueError("it is empty")
        return np.asarray(tile[0])

    return decode_tile


def _raw_rows(offsets: Table, counts: Table, strip: int, shape: tuple[int, int, int]) -> Tiles:
    """Cut uncompressed strips into groups of a few rows that can be read one by one."""
    height, width, samples = shape
    row_bytes = width * samples
    rows = max(RAW_BYTES // row_bytes, 1)
    while strip % rows and strip < height:  # groups must not cross from one strip into the next
        rows -= 1
    first = np.arange(0, height, rows, dtype=np.int64)
    strips, within = first // strip, first % strip
    stop = np.minimum(within + rows, np.minimum(strip, height - strips * strip))
    need = (stop - within) * row_bytes
    have = counts[:, strips, 0] >= stop * row_bytes
    at = (offsets[:, strips, 0] + within * row_bytes)[..., None]

    def decode(data: bytes, _index: int) -> npt.NDArray[Any]:
        pixels = np.frombuffer(data, np.uint8).reshape(-1, width, samples)
        return np.pad(pixels, ((0, rows - len(pixels)), (0, 0), (0, 0)), constant_values=255)

    return Tiles(at, np.where(have, need, 0)[..., None], (rows, width), decode)
