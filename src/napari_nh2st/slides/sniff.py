"""Files that are no slides at all, each refused by name."""

from __future__ import annotations

import stat
from pathlib import Path

from napari_nh2st.errors import SlideError
from napari_nh2st.slides.foreign import HEAD_BYTES, refuse_foreign, refuse_overviews


def refuse_obvious(path: Path) -> None:
    """Raise a `SlideError` for a path that is no image: a missing file, a folder, a git-lfs pointer, an error page."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise SlideError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise SlideError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISDIR(status.st_mode):
        raise SlideError(f"{path} is {_folder(path)}")
    if not stat.S_ISREG(status.st_mode):
        raise SlideError(f"{path} is not a file")
    if status.st_size == 0:
        raise SlideError(f"{path} is empty: the download or copy did not finish")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise SlideError(f"{path} cannot be opened: {error.strerror or error}") from error
    if head.startswith(b"version https://git-lfs"):
        raise SlideError(f"{path} is a git-lfs pointer and not the slide itself: run `git lfs pull`")
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        raise SlideError(f"{path} is an HTML page, probably a server's error message: download the slide again")
    refuse_foreign(path, head)
    refuse_overviews(path)


def _folder(path: Path) -> str:
    """Say what a folder is, and what to do."""
    if any((path / name).is_file() for name in (".zattrs", ".zgroup", "zarr.json")):
        return "a Zarr folder, which is not read: convert it to OME-TIFF (QuPath and bfconvert do that)"
    if (path / "Slidedat.ini").is_file():
        return "the folder of a MIRAX slide, which is not read: convert it to OME-TIFF (QuPath and bfconvert do that)"
    return "a folder: name the slide file in it"
