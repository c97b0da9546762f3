"""The contents of a slide file, as a format hands them over to `Slide`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_nh2st.errors import SlideError
from napari_nh2st.slides.damage import Damage
from napari_nh2st.slides.file import SlideFile
from napari_nh2st.slides.mpp import Mpp
from napari_nh2st.slides.picture import Picture

Rgb = npt.NDArray[np.uint8]
SYNTHETIC_MARK = "napari-nh2st procedural tissue"
MAX_SIDE = 4_000_000
MAX_FLAT_BYTES = 4 * 2**30


class OtherFormatError(Exception):
    """The file is not in this reader's format; the next reader in the table is asked."""


def refuse_size(path: Path, shape: tuple[int, int]) -> None:
    """Refuse a slide that claims to be larger than any scanner makes them.

    Raises
    ------
    SlideError
    """
    if max(shape) > MAX_SIDE:
        raise SlideError(f"{path} claims {shape[1]} x {shape[0]} pixels, which cannot be right")


@dataclass
class Source:
    """A slide as stored in its file.

    Attributes
    ----------
    file : SlideFile
        Open until the slide is closed.
    shape : (height, width)
        Level-0 pixels.
    levels : list of zarr.Array
        uint8 (H, W, 3), finest first; empty if the image must be decoded in one piece.
    decode : callable or None
        Decodes the whole of level 0 if `levels` is empty.
    mpp : Mpp
    fingerprint : str
        Of the content, not of the name.
    synthetic : bool
        True if the file says that it is procedural tissue of this package.
    damage : Damage
        Tiles that cannot be read.
    warnings : list of str
        Sentences for the user.
    pictures : list of Picture
        All pictures of the file; empty means this one alone.
    picture : int
        The number of the one that is open.
    """

    file: SlideFile
    shape: tuple[int, int]
    levels: list[zarr.Array[Any]]
    mpp: Mpp
    fingerprint: str
    synthetic: bool = False
    decode: Callable[[], Rgb] | None = None
    damage: Damage = field(default_factory=Damage)
    warnings: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    picture: int = 1


@dataclass(frozen=True)
class Format:
    """One line of the table of formats.

    Attributes
    ----------
    name : str
        Its name in `Slide.format` and on the command line.
    suffixes : tuple of str
        File name endings, lower case, for file dialogs only: the content decides.
    description : str
        A few words for people.
    open : callable
        Path -> Source; raises `OtherFormatError` if the file is of another format, `SlideError` if it is damaged.
    open_picture : callable or None
        (path, number) -> Source of one picture of the file; None if such a file has only one.
    family : callable or None
        (path, number or None) -> name and Source, for formats that are told apart within one file format: it is read
        once for all lines with the same `family`. Raises as `open` does.
    remote : bool
        True if it opens addresses of files on other machines, too.
    """

    name: str
    suffixes: tuple[str, ...]
    description: str
    open: Callable[[Path], Source]
    open_picture: Callable[[Path, int], Source] | None = None
    family: Callable[[Path, int | None], tuple[str, Source]] | None = None
    remote: bool = False
