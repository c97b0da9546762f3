"""Telling a file that is cut short from one with a bad entry in its table of tiles."""

from __future__ import annotations

import numpy as np

from napari_nh2st.errors import SlideError
from napari_nh2st.slides.file import SlideFile
from napari_nh2st.slides.tiff_level import Tiles

# Between the tiles of two levels there may be a directory and its tables.
GAP = 2**16


def check_complete(file: SlideFile, levels: list[Tiles]) -> None:
    """Refuse a file whose last tiles lie past its end; mark a lone such tile as missing.

    A copy that was interrupted, or a slide that is still being written, lacks one contiguous run of bytes: the tiles
    past the end follow one another, and the first of them begins where the file still has bytes or just after.

    Raises
    ------
    SlideError
        Saying how many bytes are missing.
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
            f"{missing} bytes are missing; copy it again or wait until it is written"
        )
    for tiles in levels:
        tiles.counts[tiles.offsets + tiles.counts > file.size] = 0


def _is_last(tiles: Tiles, size: int) -> bool:
    """Tell whether the last tile of a level, in reading order, is past the end."""
    return int(tiles.counts.flat[-1]) > 0 and int(tiles.offsets.flat[-1] + tiles.counts.flat[-1]) > size


def _contiguous(offsets: np.ndarray, ends: np.ndarray) -> bool:
    order = np.argsort(offsets)
    return bool((offsets[order][1:] - ends[order][:-1] <= GAP).all())
