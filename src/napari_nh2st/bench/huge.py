"""A slide of any size in a file of a few MB: the tables of its tiles repeat the same JPEG tiles again and again.

Everything that reads it does the work of a slide of that size: every tile of the grid is looked up, read and decoded.
BigTIFF: Aware Systems' design, https://www.awaresystems.be/imaging/tiff/bigtiff.html; JPEG in TIFF: Technical Note 2.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_nh2st.atomic import finished_file
from napari_nh2st.demo.tissue import MARK

TILE = 256
LEVELS = 5
"""The last one is 16 times coarser: a period of 16 tiles shrinks to one."""

PERIOD = TILE << (LEVELS - 1)
QUALITY = 85

Rgb = npt.NDArray[np.uint8]

# (code, type) of the tags used; types 2 ASCII, 3 SHORT, 4 LONG, 5 RATIONAL, 16 LONG8
_FORMATS = {2: "s", 3: "H", 4: "I", 5: "I", 16: "Q"}


def write_huge(path: str | Path, pixels: Rgb, size: tuple[int, int], mpp: float = 0.5, *, levels: int = LEVELS) -> Path:
    """Write a tiled BigTIFF that repeats a picture, pyramidal by default.

    Parameters
    ----------
    path : path
    pixels : (h, w, 3) uint8
        Its first `PERIOD` rows and columns are repeated; where it is smaller it is repeated by itself, to that size.
    size : (width, height)
        Of level 0.
    mpp : float
        What the resolution tags say.
    levels : int
        1 leaves out all but the finest.
    """
    picture = np.pad(pixels, _to_period(pixels), mode="wrap")[:PERIOD, :PERIOD]
    image = Image.fromarray(picture)
    with finished_file(path) as draft, draft.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        written = []
        for level in range(levels):
            shrunk = np.asarray(image if level == 0 else image.reduce(2**level))
            width, height = (-(-side // 2**level) for side in size)
            written.append((width, height, *_write_tiles(file, shrunk, width, height)))
        link = 8  # where the offset of the next directory is to be written
        for level, (width, height, offsets, counts) in enumerate(written):
            tags = _tags(level, width, height, mpp * 2**level, offsets, counts)
            link = _write_directory(file, tags, link)
    return Path(path)


def _to_period(pixels: Rgb) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    height, width = pixels.shape[:2]
    return (0, max(0, PERIOD - height)), (0, max(0, PERIOD - width)), (0, 0)


def _write_tiles(
    file: io.BufferedWriter, picture: Rgb, width: int, height: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Write a level's tiles once; return the offsets and byte counts of its whole grid, row by row."""
    side = len(picture) // TILE
    places = np.zeros((side, side, 2), np.uint64)
    for row in range(side):
        for column in range(side):
            part = picture[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
            data = io.BytesIO()
            Image.fromarray(part).save(data, "JPEG", quality=QUALITY, subsampling="4:2:0")
            places[row, column] = file.tell(), len(data.getvalue())
            file.write(data.getvalue())
    rows, columns = -(-height // TILE), -(-width // TILE)
    grid = places[np.arange(rows)[:, None] % side, np.arange(columns) % side].reshape(-1, 2)
    return grid[:, 0], grid[:, 1]


def _tags(
    level: int, width: int, height: int, mpp: float, offsets: npt.NDArray[np.uint64], counts: npt.NDArray[np.uint64]
) -> list[tuple[int, int, int, bytes]]:
    """Return (code, type, count, value) in the order of their codes."""
    about = f"{MARK}, repeated: for measuring memory and speed. Not real tissue.".encode() + b"\0"
    density = (10_000 * 10_000, round(mpp * 10_000))
    values: list[tuple[int, int, tuple[int, ...] | bytes]] = [
        (254, 4, (int(level > 0),)),  # NewSubfileType: a reduced image
        (256, 4, (width,)),
        (257, 4, (height,)),
        (258, 3, (8, 8, 8)),
        (259, 3, (7,)),  # JPEG
        (262, 3, (6,)),  # YCbCr
        (270, 2, about),
        (277, 3, (3,)),
        (282, 5, density),
        (283, 5, density),
        (284, 3, (1,)),
        (296, 3, (3,)),  # pixels per centimetre
        (322, 4, (TILE,)),
        (323, 4, (TILE,)),
        (324, 16, offsets.astype("<u8").tobytes()),
        (325, 16, counts.astype("<u8").tobytes()),
        (530, 3, (2, 2)),
    ]
    out = []
    for code, kind, value in values:
        data = value if isinstance(value, bytes) else struct.pack(f"<{len(value)}{_FORMATS[kind]}", *value)
        size = 8 if kind == 5 else struct.calcsize(f"<1{_FORMATS[kind]}")
        out.append((code, kind, len(data) // size, data))
    return out


def _write_directory(file: io.BufferedWriter, tags: list[tuple[int, int, int, bytes]], link: int) -> int:
    """Write long values, then the directory; let the one before point to it. Returns where its own link lies."""
    entries = b""
    for code, kind, count, data in tags:
        if len(data) > 8:
            at = file.tell()
            file.write(data)
            data = struct.pack("<Q", at)
        entries += struct.pack("<HHQ", code, kind, count) + data.ljust(8, b"\0")
    begin = file.tell()
    file.write(struct.pack("<Q", len(tags)) + entries + bytes(8))
    end = file.tell()
    file.seek(link)
    file.write(struct.pack("<Q", begin))
    file.seek(end)
    return end - 8
