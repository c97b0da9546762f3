"""Overview levels for images without any: made chunk by chunk for what is looked at, and kept in the cache."""

from __future__ import annotations

from typing import Any

import zarr

from napari_nh2st.slides import cache
from napari_nh2st.slides.chunk_files import ChunkFiles, chunk_files
from napari_nh2st.slides.chunks import ChunkReader, as_array, reader_of
from napari_nh2st.slides.overview_level import KeptLevel, OverviewLevel, keep, recall_undecodable, warn_of_trouble
from napari_nh2st.slides.overviews import Overviews
from napari_nh2st.slides.source import Source
from napari_nh2st.terminal import say_to_command_line

SMALLEST = 1024  # levels are added until the long side is no more than this
ENOUGH = 2048  # a file whose own smallest level is no larger than this gets none
A_MOMENT = 20_000_000  # pixels: more take longer to decode

Level = zarr.Array[Any]


def complete_levels(source: Source) -> tuple[list[Level], Overviews | None]:
    """Return a source's levels followed by overviews, and what makes these; None if the file has enough of its own.

    Parameters
    ----------
    source : Source
        If it has no levels, it is decoded now, as a whole, and the cache keeps its level 0; it does so once. Nothing
        else is read.

    Returns
    -------
    list of zarr.Array
        uint8 (H, W, 3), finest first; the last has a long side of at most `ENOUGH` pixels.
    Overviews or None
    """
    if source.levels and max(source.levels[-1].shape) <= ENOUGH:
        return source.levels, None
    files = _files(source)
    own: list[ChunkReader] = [reader_of(level) for level in source.levels] or [KeptLevel(source.shape, files, source)]
    overviews = Overviews(source)
    finer = own[-1]
    while max(finer.shape) > SMALLEST:
        finer = OverviewLevel(finer, len(own) + len(overviews.levels), files, source, overviews.heard)
        overviews.levels.append(finer)
    warn_of_trouble(files, source)
    recall_undecodable(files, source)
    levels = source.levels or [as_array(own[0])]
    return levels + [as_array(level) for level in overviews.levels], overviews if overviews.levels else None


def _files(source: Source) -> ChunkFiles:
    """Return the kept chunks of a source; with those of its level 0 if it must be decoded as a whole."""
    folder = cache.slide_folder(source.fingerprint)
    if source.levels:
        return chunk_files(folder)
    note = cache.load(folder)
    if note is None:
        try:
            note = cache.publish(folder, lambda aside: _decode_into(ChunkFiles(aside), source))
        except OSError as error:
            memory = ChunkFiles(None)
            memory.trouble = error.strerror or str(error)
            note = _decode_into(memory, source)
            _enter(note, source)
            return memory
    _enter(note, source)
    return chunk_files(folder)


def _decode_into(files: ChunkFiles, source: Source) -> dict[str, Any]:
    """Decode a source and keep it; return the tiles that could not be decoded."""
    assert source.decode is not None
    if source.shape[0] * source.shape[1] > A_MOMENT:
        say_to_command_line(f"{source.file.path.name} has no tiles: it is decoded as a whole, once")
    failures = source.file.failures
    keep(source.decode(), files)
    source.file.verify(failures)  # or the cache would keep white, or another slide, for good
    if files.folder is not None and files.trouble:
        raise OSError(files.trouble)
    return {"undecodable": [list(tile) for tile in source.damage.undecodable]}


def _enter(note: dict[str, Any], source: Source) -> None:
    for level, row, column in note["undecodable"]:
        source.damage.found(level, row, column, "noted when it was decoded")
