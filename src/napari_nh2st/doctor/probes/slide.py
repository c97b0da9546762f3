"""Probe: a slide is opened, a few blocks of every level are read and timed, and its tissue is looked for."""

from __future__ import annotations

import time
from pathlib import Path

from napari_nh2st.doctor.child import error_line, tell
from napari_nh2st.slide_path import slide_file
from napari_nh2st.slides import Slide, open_slide

BLOCK = 512
_PLACES = ((0.5, 0.5), (0.0, 0.0), (1.0, 1.0), (0.25, 0.75))


def probe(path: str, mpp: str = "") -> None:
    """Tell what a slide is, how quickly it is read, and what went wrong meanwhile."""
    before = _state(path)
    started = time.perf_counter()
    with open_slide(path, mpp=float(mpp) if mpp else None) as slide:
        tell("opened", time.perf_counter() - started)
        tell("format", slide.format)
        tell("levels", slide.level_shapes)
        tell("mpp", slide.mpp)
        tell("mpp_source", slide.mpp_source)
        for level in range(len(slide.levels)):
            tell(f"level {level}", "begun")
            tell(f"level {level}", read_blocks(slide, level))
        _look_for_tissue(slide)
        tell("warnings", slide.warnings)
    tell("changed", _state(path) != before)


def read_blocks(slide: Slide, level: int) -> dict[str, float | str]:
    """Read a few blocks of a level; return their bytes, the seconds that it took, and why it failed."""
    height, width = slide.level_shapes[level]
    scale = max(slide.downsamples[level])
    tall, wide = min(BLOCK, height), min(BLOCK, width)
    started, count = time.perf_counter(), 0
    try:
        for y, x in _PLACES:
            pixels = slide.read(int(x * (width - wide)), int(y * (height - tall)), wide, tall, scale)
            count += pixels.nbytes
    except Exception as error:
        return {"bytes": count, "seconds": time.perf_counter() - started, "error": error_line(error)}
    return {"bytes": count, "seconds": time.perf_counter() - started, "error": ""}


def _look_for_tissue(slide: Slide) -> None:
    tell("tissue", "begun")
    started = time.perf_counter()
    fraction = slide.tissue().fraction
    tell("tissue_seconds", time.perf_counter() - started)
    tell("tissue", fraction)


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        status = slide_file(Path(path)).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
