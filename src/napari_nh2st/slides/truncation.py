"""Check that a TIFF is complete: its chain of directories, and the tiles that they name."""

from __future__ import annotations

import struct

import numpy as np

from napari_nh2st.errors import SlideError
from napari_nh2st.slides.file import SlideFile
from napari_nh2st.slides.tiff_level import Tiles

# There may be a directory and its tables between the tiles of two levels.
GAP = 2**16
NDPI_TAG, IMAGE_WIDTH = 65420, 256


def has_wide_offsets(file: SlideFile) -> bool:
    """Return True for an NDPI, a classic TIFF with 64-bit offsets, whatever its name.

    Its first directory has the tag of Hamamatsu. Without a directory, as while it is written, the name decides.
    """
    if file.read(0, 4) != b"II*\0":
        return False
    if NDPI_TAG in _first_tags(file, "<Q"):
        return True
    return file.path.suffix.lower() == ".ndpi" and IMAGE_WIDTH not in _first_tags(file, "<I")


def _first_tags(file: SlideFile, offset_format: str) -> tuple[int, ...]:
    """Return the tags of the first directory of a little-endian classic TIFF; none if there is no directory."""
    head = file.read(4, struct.calcsize(offset_format))
    offset = struct.unpack(offset_format, head)[0] if len(head) == struct.calcsize(offset_format) else 0
    count = file.read(offset, 2) if 0 < offset < file.size else b""
    table = file.read(offset + 2, 12 * int.from_bytes(count, "little")) if len(count) == 2 else b""
    tags = tuple(tag for tag, _ in struct.iter_unpack("<H10s", table[: len(table) // 12 * 12]))
    return tags if list(tags) == sorted(tags) else ()


def check_directories(file: SlideFile) -> None:
    """Follow the chain of directories to its end.

    Raises
    ------
    SlideError
        If the first directory lies past the end of the file, as in one still being written, or if the chain is a loop.
    """
    order = "<" if file.read(0, 2) == b"II" else ">"
    version = struct.unpack(order + "H", file.read(2, 2))[0]
    wide = version == 43 or has_wide_offsets(file)
    count_format, entry = ("Q", 20) if version == 43 else ("H", 12)
    offset_format = "Q" if wide else "I"

    def number(at: int, kind: str) -> int:
        data = file.read(at, struct.calcsize(kind)) if at < file.size else b""  # 64-bit offsets lead anywhere
        return int(struct.unpack(order + kind, data)[0]) if len(data) == struct.calcsize(kind) else 0

    offset = number(8 if version == 43 else 4, offset_format)
    if offset >= file.size:
        raise SlideError(
            f"{file.path} is cut short: its directory lies at byte {offset:,} and the file ends at {file.size:,}, so "
            f"at least {offset - file.size + 1:,} bytes are missing; copy it again or wait until it is written"
        )
    met: set[int] = set()
    while 0 < offset < file.size:
        if offset in met:
            raise SlideError(f"{file.path} is damaged: its directories lead in a circle; copy it again")
        met.add(offset)
        entries = number(offset, count_format)
        offset = number(offset + struct.calcsize(order + count_format) + entries * entry, offset_format)


def check_complete(file: SlideFile, levels: list[Tiles]) -> None:
    """Refuse a file whose last tiles lie past its end; mark a single such tile as missing.

    An interrupted copy, or a slide that is still being written, lacks one contiguous run of bytes: the tiles past the
    end follow each other, and the first of them begins before the end of the file or just after it.

    Raises
    ------
    SlideError
        It says how many bytes are missing.
    """
    offsets = np.concatenate([t.offsets.ravel() for t in levels])
    counts = np.concatenate([t.counts.ravel() for t in levels])
    ends = offsets + counts
    past = (counts > 0) & (ends > file.size)
    if not past.any():
        return
    present = (counts > 0) & ~past
    last = int(ends[present].max()) if present.any() else 0
    first = int(offsets[past].min())
    follows = first >= int(offsets[present].max() if present.any() else 0)
    lone = past.sum() == 1 and not any(_is_last(tiles, file.size) for tiles in levels)
    if follows and not lone and (first < file.size or first - last <= GAP) and _contiguous(offsets[past], ends[past]):
        missing = int(ends[past].max()) - file.size
        raise SlideError(
            f"{file.path} is cut short: {int(past.sum())} of its {len(counts)} tiles lie past its end and "
            f"{missing:,} bytes are missing; copy it again or wait until it is written"
        )
    for tiles in levels:
        tiles.counts[tiles.offsets + tiles.counts > file.size] = 0


def _is_last(tiles: Tiles, size: int) -> bool:
    """Return True if the last tile of a level, in reading order, is past the end."""
    return int(tiles.counts.flat[-1]) > 0 and int(tiles.offsets.flat[-1] + tiles.counts.flat[-1]) > size


def _contiguous(offsets: np.ndarray, ends: np.ndarray) -> bool:
    order = np.argsort(offsets)
    return bool((offsets[order][1:] - ends[order][:-1] <= GAP).all())
