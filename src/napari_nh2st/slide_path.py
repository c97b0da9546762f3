"""Paths of slides: files here, addresses of other machines, and the number of a picture in the file (`slide.tif#2`)."""

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

# `Path` makes one slash of two
_ADDRESS = re.compile(r"(?P<scheme>https?|s3):/+(?P<rest>[^/].*)", re.DOTALL | re.IGNORECASE)
_NUMBERED = re.compile(r"(?P<file>.*[^/\\])#(?P<number>[0-9]{1,4})", re.DOTALL)


def address_of(path: str | Path) -> str | None:
    """Return the address of a slide on another machine, such as "https://host/slide.svs"; None for a path here."""
    said = _ADDRESS.fullmatch(str(path))
    return None if said is None else f"{said['scheme'].lower()}://{said['rest']}"


def whole_path(path: str | Path) -> str:
    """Return a path that holds in any working folder: absolute, or an address."""
    return address_of(path) or str(Path(path).expanduser().absolute())


def shown(path: str | Path) -> str:
    """Write a path for people: as it is, an address with both of its slashes."""
    return address_of(path) or str(path)


def is_there(path: str | Path) -> bool:
    """Tell whether a slide's file is there; nobody asks another machine, so an address always is."""
    return address_of(path) is not None or slide_file(path).exists()


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
    here = address_of(path) is None
    if said is None or (here and (os.path.lexists(path) or not os.path.lexists(said["file"]))):
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
