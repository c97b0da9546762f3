"""Slides of several files: the one that is named, and the others that hold its pixels."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from napari_nh2st.errors import SlideError
from napari_nh2st.reading import contents
from napari_nh2st.slide_path import address_of
from napari_nh2st.slides.file import CHANGED, SlideFile
from napari_nh2st.slides.remote import is_file

LOOK_EVERY = 1.0  # seconds; a slide may have a hundred files, and looking at them takes a network drive's time
DICOM_MARK, DICOM_HEAD = (b"DICM", 128), 2**16
INDEX_BYTES = 2**16  # the most that OpenSlide reads of the index of a VMS slide
ZARR_MARKS = ("zarr.json", ".zattrs", ".zgroup")
PREDICTION = ".nh2st"
SAID = 4  # files named, one of each slide
SERIES = b"\x20\0\x0e\0UI"  # in explicit little endian, as OpenSlide asks for


class SlideFiles(SlideFile):
    """A slide's main file, which also notices if one of the slide's other files has changed.

    Parameters
    ----------
    path : Path
        The main file.
    others : iterable of Path
        The other files.

    Raises
    ------
    SlideError
        If the main file cannot be opened.
    """

    def __init__(self, path: Path, others: Iterable[Path]) -> None:
        super().__init__(path)
        self._others = {other.absolute(): _stamp(other) for other in others}
        self._looked = time.monotonic()

    def _trouble(self) -> str:
        trouble = super()._trouble()
        if not trouble and time.monotonic() - self._looked > LOOK_EVERY:
            self._looked = time.monotonic()
            trouble = CHANGED if any(_stamp(other) != stamp for other, stamp in self._others.items()) else ""
        return trouble


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def companions(path: Path, vendor: str) -> list[Path]:
    """List the files beside a slide's main file that hold its pixels.

    Parameters
    ----------
    path : Path
        The main file.
    vendor : str
        OpenSlide's name of its maker or format.
    """
    if vendor == "mirax":
        return sorted(file for file in path.with_suffix("").iterdir() if file.is_file())
    if vendor == "dicom":
        return [file for file in dicom_series(path.parent.iterdir()).get(_series(path), []) if file != path]
    if vendor == "hamamatsu":
        values = (
            line.partition("=")[2].strip()
            for line in contents(path, INDEX_BYTES, cut=True).decode("latin-1").splitlines()
        )
        return sorted({file for value in values if value and (file := path.parent / value).is_file()})
    return []


def dicom_series(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Sort those files that are DICOM, by name, into series: those of one slide have the same."""
    out: dict[str, list[Path]] = {}
    for file in sorted(files):
        if file.is_file() and (series := _series(file)):
            out.setdefault(series, []).append(file)
    return out


def main_file(path: Path) -> Path:
    """Return the file to open for a path: for a folder the metadata of its Zarr, or a file of its DICOM slide.

    Raises
    ------
    SlideError
        If the folder has DICOM files of several slides.
    """
    remote = address_of(path) is not None
    if path.suffix == PREDICTION or not (path.is_dir() or (remote and path.suffix == ".zarr")):
        return path
    for mark in ZARR_MARKS:
        if is_file(path / mark):
            return path / mark
    if remote:
        raise SlideError(f"{address_of(path)} is no OME-Zarr image: none of {', '.join(ZARR_MARKS)} is there")
    slides = list(dicom_series(path.iterdir()).values())
    if len(slides) > 1:
        names = ", ".join(files[0].name for files in slides[:SAID])
        more = ", ..." if len(slides) > SAID else ""
        raise SlideError(f"{path} has {len(slides)} DICOM slides: open one by a file of it ({names}{more})")
    return slides[0][0] if slides else path


def _series(path: Path) -> str:
    """Read SeriesInstanceUID (0020,000E), which stands before anything large; "" if the file is no DICOM."""
    mark, at = DICOM_MARK
    try:
        with path.open("rb") as file:
            head = file.read(at + len(mark))
            if not head.endswith(mark):
                return ""
            head += file.read(DICOM_HEAD - len(head))
    except OSError:
        return ""
    said = head.find(SERIES)
    if said < 0:
        return ""
    start = said + len(SERIES) + 2
    size = int.from_bytes(head[start - 2 : start], "little")
    return head[start : start + size].decode("latin-1").strip("\0 ")
