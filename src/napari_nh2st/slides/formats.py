"""The table of slide formats, asked one after the other."""

from __future__ import annotations

from pathlib import Path

from napari_nh2st.errors import SlideError
from napari_nh2st.slides import plain, tiff
from napari_nh2st.slides.source import Format, OtherFormatError, Source

# Asked in this order; the first that recognises the file opens it.
FORMATS: dict[str, Format] = {line.name: line for line in [*tiff.FORMATS, *plain.FORMATS]}


def open_source(path: Path) -> tuple[str, Source]:
    """Open a file with the first format that recognises it; return its name and the source.

    Raises
    ------
    SlideError
        If no format recognises the file; it gives each format's reason.
    """
    reasons = []
    for line in FORMATS.values():
        try:
            return line.name, line.open(path)
        except OtherFormatError as reason:
            reasons.append(f"{line.name}: {reason}")
    raise SlideError(f"{path} is not a slide of a known format ({'; '.join(reasons)})")
