"""Files that are no slides at all, each refused by name."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from napari_nh2st.errors import SlideError
from napari_nh2st.slide_path import address_of
from napari_nh2st.slides.foreign import HEAD_BYTES, refuse_foreign, refuse_overviews
from napari_nh2st.slides.ome_zarr import is_zipped_zarr
from napari_nh2st.slides.openslide_formats import is_scanners

ZIP = b"PK\3\4"
# A pointer of git-annex is one line, or the target of a link that was copied as text
ANNEX, ANNEX_WITHIN = b"annex/objects/", 256


def refuse_obvious(path: Path) -> None:
    """Raise a `SlideError` for a path that is no image: a missing file, a folder, a git-lfs pointer, an error page."""
    if address_of(path) is not None:
        return  # its reader finds out
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
    if ANNEX in head[:ANNEX_WITHIN] and status.st_size <= HEAD_BYTES:
        raise SlideError(f"{path} is a git-annex pointer and not the slide itself: run `git annex get`")
    if page := _page(head):
        raise SlideError(f"{path} is {page}, probably a server's error message: download the slide again")
    if not is_scanners(path, head) and not (head.startswith(ZIP) and is_zipped_zarr(path)):
        refuse_foreign(path, head)
        refuse_overviews(path)


def _page(head: bytes) -> str:
    """Name a page or message that a server sends in place of a file; "" if there is none."""
    text = head[:512].removeprefix(b"\xef\xbb\xbf")
    if text.startswith((b"\xff\xfe<\0", b"\xfe\xff\0<")):  # UTF-16
        text = text[2:].replace(b"\0", b"")
    text = re.sub(rb"^(?:\s+|<\?xml.*?\?>|<!--.*?-->)+", b"", text.lower(), flags=re.DOTALL)
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script")):
        return "an HTML page"
    if text.startswith((b"<error", b"<!doctype error")):
        return "an XML message"
    if re.match(rb'\{\s*"(?:error|errors|message|detail|status|code)"\s*:', text):
        return "a JSON message"
    return (
        "a line of text"
        if re.match(rb"(?:404|403|401|500|502|503)\b[^\0]{0,80}$|(?:access denied|not found)", text)
        else ""
    )


def _folder(path: Path) -> str:
    """Say what a folder is, and what to do."""
    if path.suffix == ".nh2st":
        return "a prediction, not a slide: nh2st doctor says what is in it, nh2st export makes a table of it"
    if (path / "Slidedat.ini").is_file():
        return f"the folder of a MIRAX slide: open {path.name}.mrxs, which lies beside it"
    return "a folder: name the slide file in it"
