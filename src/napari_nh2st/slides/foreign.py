"""Files of other formats, recognised by their content or by the files beside them, each refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_nh2st.errors import ForeignSlide, SlideError

HEAD_BYTES = 4096
_SLIDE = "convert it to OME-TIFF (QuPath and bfconvert do that)"
_PHOTO = "save it as PNG or TIFF"
_ARCHIVE = "unpack it and name the slide in it"
_TABLE = "name the slide itself"
_BMP_HEADERS = (b"\x0c\0\0\0", b"\x28\0\0\0", b"\x38\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0")


@dataclass(frozen=True)
class Foreign:
    """A format that is not read here.

    Attributes
    ----------
    name : str
        With its article.
    advice : str
        What to do.
    begins : tuple of bytes
        Any of these stands at `at`.
    also : callable or None
        A further test of the first bytes.
    """

    name: str
    advice: str
    begins: tuple[bytes, ...]
    at: int = 0
    also: Callable[[bytes], bool] | None = None

    def is_it(self, head: bytes) -> bool:
        """Tell whether a file that begins with `head` is of this format."""
        return head.startswith(self.begins, self.at) and (self.also is None or self.also(head))


FOREIGN = (
    Foreign("a Zeiss CZI file", _SLIDE, (b"ZISRAWFILE",)),
    Foreign("a Leica LIF file", _SLIDE, (b"\x70\0\0\0",), also=lambda head: head[8:9] == b"\x2a"),
    Foreign("a Nikon ND2 file", _SLIDE, (b"\xda\xce\xbe\x0a",)),
    Foreign(
        "a compound file, such as Zeiss ZVI, Olympus OIB or Motic MDS", _SLIDE, (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",)
    ),
    Foreign("an Olympus ETS file, the tiles of a .vsi slide", _SLIDE, (b"SIS\0", b"ETS\0")),
    Foreign("a DICOM file", _SLIDE, (b"DICM",), at=128),
    Foreign("a Philips iSyntax file", _SLIDE, (b"<DataObject ObjectType=",)),
    Foreign("an SQLite file, as Sakura scanners write", _SLIDE, (b"SQLite format 3\0",)),
    Foreign("a Hamamatsu VMS file, with its pixels in files beside it", _SLIDE, (b"[Virtual Microscope Specimen]",)),
    Foreign("a Hamamatsu VMU file", _SLIDE, (b"[Uncompressed Virtual Microscope Specimen]",)),
    Foreign("a list of Hamamatsu NDPI slides", "open one of them", (b"[NanoZoomer Digital Pathology Image Set]",)),
    Foreign("a list of Aperio slides (AFI)", "open one of them", (b"<ImageList",)),
    Foreign("a part of a MIRAX slide", _SLIDE, (b"[GENERAL]\r\nSLIDE", b"[GENERAL]\nSLIDE")),
    Foreign("an HDF5 file, such as an .h5ad or Imaris file", _TABLE, (b"\x89HDF\r\n\x1a\n",)),
    Foreign("a NumPy array", "save it as TIFF", (b"\x93NUMPY",)),
    Foreign("an NRRD file", "save it as TIFF", (b"NRRD0",)),
    Foreign("a PDF", "export the slide from the scanner's software", (b"%PDF",)),
    Foreign("a Photoshop file", _PHOTO, (b"8BPS",)),
    Foreign("an SVG drawing", _PHOTO, (b"<svg", b"<?xml"), also=lambda head: b"<svg" in head),
    Foreign("an OpenEXR picture", _PHOTO, (b"\x76\x2f\x31\x01",)),
    Foreign("a Radiance picture (HDR)", _PHOTO, (b"#?RADIANCE", b"#?RGBE")),
    Foreign("an icon", _PHOTO, (b"\0\0\1\0", b"\0\0\2\0"), also=lambda head: head[5:6] == b"\0" < head[4:5]),
    Foreign("a FITS file", "save it as TIFF", (b"SIMPLE  =",)),
    Foreign("a WebP picture", _PHOTO, (b"RIFF",), also=lambda head: head[8:12] == b"WEBP"),
    Foreign("a GIF", _PHOTO, (b"GIF87a", b"GIF89a")),
    Foreign("a BMP", _PHOTO, (b"BM",), also=lambda head: head[6:10] == bytes(4) and head[14:18] in _BMP_HEADERS),
    Foreign("a JPEG 2000 file", _PHOTO, (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
    Foreign("a JPEG XL file", _PHOTO, (b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a")),
    Foreign("a JPEG XR file", _PHOTO, (b"II\xbc\x01",)),
    Foreign("a HEIC or AVIF picture", _PHOTO, (b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1", b"ftypavi"), at=4),
    Foreign("a video", "name the slide itself", (b"ftyp",), at=4),
    Foreign("a zip archive", _ARCHIVE, (b"PK\3\4", b"PK\5\6")),
    Foreign("a compressed file (gzip)", _ARCHIVE, (b"\x1f\x8b",)),
    Foreign("a compressed file (xz)", _ARCHIVE, (b"\xfd7zXZ\0",)),
    Foreign("a compressed file (bzip2)", _ARCHIVE, (b"BZh",), also=lambda head: head[4:10] == b"1AY&SY"),
    Foreign("a compressed file (zstd)", _ARCHIVE, (b"\x28\xb5\x2f\xfd",)),
    Foreign("a 7-Zip archive", _ARCHIVE, (b"7z\xbc\xaf\x27\x1c",)),
    Foreign("a RAR archive", _ARCHIVE, (b"Rar!\x1a\7",)),
    Foreign("a tar archive", _ARCHIVE, (b"ustar",), at=257),
    Foreign("a note that macOS keeps beside a file", "name the file without ._ before its name", (b"\0\5\x16\7",)),
)
# Beside a JPEG of a Hamamatsu VMS slide: "name(1,0).jpg", "name_macro.jpg" and "name_map2.jpg" belong to "name.vms"
_VMS_PART = re.compile(r"(?:\(\d+(?:,\d+)*\)|_macro|_map\d*)$")


def refuse_foreign(path: Path, head: bytes) -> None:
    """Refuse a file of another format.

    Parameters
    ----------
    path : Path
    head : bytes
        The first `HEAD_BYTES`.

    Raises
    ------
    SlideError
        It names the format and says what to do.
    """
    for foreign in FOREIGN:
        if foreign.is_it(head):
            raise SlideError(f"{path} is {foreign.name}, which is not supported: {foreign.advice}")
    if len(head) >= 8 and not any(head):
        raise SlideError(f"{path} begins with nothing but zeros: the download or copy did not finish")


def refuse_overviews(path: Path) -> None:
    """Refuse the overview of a slide whose own pixels lie in other files beside it.

    Raises
    ------
    ForeignSlide
        It names the format and says what to do.
    """
    ending = path.suffix.lower()
    if ending == ".mrxs":
        raise ForeignSlide(
            f"{path} is only the overview of a MIRAX slide, and the folder {path.stem} with its pixels (Slidedat.ini, "
            "Index.dat, Data0000.dat, ...) is not beside it: copy that too"
        )
    if (path.parent / path.stem / "Slidedat.ini").is_file():
        raise ForeignSlide(
            f"{path} is only the overview of a MIRAX slide: open it by its name {path.stem}.mrxs, beside the folder "
            f"{path.stem}"
        )
    tiles = path.parent / f"_{path.stem}_"
    if ending == ".vsi" or any(tiles.glob("stack*/frame*.ets")):
        raise ForeignSlide(
            f"{path} is only the overview of an Olympus slide, whose pixels lie in the folder {tiles.name} beside it: "
            f"{_SLIDE}"
        )
    whole = _VMS_PART.sub("", path.stem)
    for name in (f"{whole}.vms", f"{whole}.vmu"):
        if ending in (".jpg", ".jpeg") and (path.parent / name).is_file():
            raise ForeignSlide(f"{path} is only a part of the Hamamatsu slide beside it: open {name}")
