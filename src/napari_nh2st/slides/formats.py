"""The table of slide formats, asked one after the other."""

from __future__ import annotations

from pathlib import Path

from napari_nh2st.errors import SlideError, TilesOverlap, UnknownFormat
from napari_nh2st.slide_path import address_of
from napari_nh2st.slides import ome_zarr, openslide_formats, plain, tiff
from napari_nh2st.slides.source import Format, OtherFormatError, Source

# Asked in this order; the first that recognises the file opens it. A MIRAX slide begins with a JPEG.
FORMATS: dict[str, Format] = {
    line.name: line
    for line in [
        *openslide_formats.FORMATS,
        *tiff.FORMATS,
        openslide_formats.TRESTLE,
        *plain.FORMATS,
        *ome_zarr.FORMATS,
    ]
}


def open_source(path: Path, number: int | None = None) -> tuple[str, Source]:
    """Open a file, or one of its pictures, with the first format that recognises it; return its name and the source.

    Raises
    ------
    SlideError
        If no format recognises the file (it gives each format's reason), or if there is no such picture.
    """
    reasons: dict[str, list[str]] = {}
    families: dict[object, OtherFormatError] = {}
    here = address_of(path) is None
    for line in FORMATS.values():
        if not (here or line.remote):
            continue
        try:
            if line.family in families:
                raise families[line.family]
            return _open_with(line, path, number)
        except TilesOverlap as refusal:
            if not here:
                raise
            return openslide_formats.open_overlapping(path, refusal)
        except OtherFormatError as reason:
            reasons.setdefault(str(reason), []).append(line.name)
            if line.family is not None:
                families[line.family] = reason
    if not here:
        raise SlideError(f"{path} is neither a TIFF nor OME-Zarr: other slides are read on this machine only")
    raise UnknownFormat(path, [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()])


def _open_with(line: Format, path: Path, number: int | None) -> tuple[str, Source]:
    if line.family is not None:
        return line.family(path, number)
    if number is not None and line.open_picture is not None:
        return line.name, line.open_picture(path, number)
    source = line.open(path)
    if number in (None, 1):
        return line.name, source
    source.file.close()
    raise SlideError(f"{path} has no picture {number}: it has only one")
