"""Paths of slides, with the number of a picture in the file: `slide.tif#2`."""

from __future__ import annotations

import os
import re
from pathlib import Path

# Endings of slides' files, for dialogs, drops and folders alone: the content of a file decides.
TIFFS = (".svs", ".ndpi", ".scn", ".bif", ".tif", ".tiff", ".btf")
SCANNERS = (".mrxs", ".czi", ".dcm", ".svslide", ".vms", ".vmu")  # OpenSlide reads them
WHOLE_SLIDES = (*TIFFS, *SCANNERS, ".ozx")
PICTURES = (".jpg", ".jpeg", ".png")
ENDINGS = WHOLE_SLIDES + PICTURES
DICOM = "*.dcm"  # all files of a folder that fit may be one slide

_NUMBERED = re.compile(r"(?P<file>.*[^/\\])#(?P<number>[0-9]{1,4})", re.DOTALL)


def split_picture(path: str | Path) -> tuple[Path, int | None]:
    """Take a path apart into the file and the number of a picture in it.

    Returns
    -------
    Path
        The file.
    int or None
        None if the path ends in no number, or if a file really has this name.
    """
    path = Path(path)
    said = _NUMBERED.fullmatch(str(path))
    if said is None or os.path.lexists(path) or not os.path.lexists(said["file"]):
        return path, None
    return Path(said["file"]), int(said["number"])


def slide_file(path: str | Path) -> Path:
    """Return the file of a slide's path."""
    return split_picture(path)[0]


def slide_stem(path: str | Path) -> str:
    """Return the name for results: `slide` for `slide.tif`, `slide#2` for `slide.tif#2`.

    The file need not be there.
    """
    name = Path(path).name
    said = _NUMBERED.fullmatch(name)
    if said is None or not Path(said["file"]).suffix:
        return Path(name).stem
    return f"{Path(said['file']).stem}#{said['number']}"
