"""Formats of scanners that OpenSlide reads: MIRAX, DICOM, Zeiss, Sakura, Hamamatsu VMS and VMU, overlapping tiles."""

from __future__ import annotations

from pathlib import Path

from napari_nh2st.errors import SlideError, TilesOverlap
from napari_nh2st.slides.chunks import as_array
from napari_nh2st.slides.companions import SlideFiles, companions
from napari_nh2st.slides.damage import damage_of
from napari_nh2st.slides.file import fingerprint
from napari_nh2st.slides.mpp import UNKNOWN, Mpp, judge
from napari_nh2st.slides.openslide_level import Handle, OpenSlideLevel
from napari_nh2st.slides.source import Format, OtherFormatError, Source, refuse_size

HEAD_BYTES = 160
NAMES = {
    "mirax": "a MIRAX slide",
    "dicom": "a DICOM slide",
    "zeiss": "a Zeiss CZI file",
    "sakura": "a Sakura slide",
    "hamamatsu": "a Hamamatsu VMS or VMU slide",
    "trestle": "a Trestle slide",
    "ventana": "a Ventana slide",
}
_FILM = (b"[Virtual Microscope Specimen]", b"[Uncompressed Virtual Microscope Specimen]")


def vendor_of(path: Path) -> str:
    """Return OpenSlide's name of the maker or format of a file that it reads; empty if it does not read it."""
    from openslide import OpenSlide

    return str(OpenSlide.detect_format(path) or "")


def is_scanners(path: Path, head: bytes) -> bool:
    """Tell whether a file, which begins with `head` and is no TIFF, is a slide that OpenSlide reads."""
    return _is_likely(path, head) and bool(vendor_of(path))


def _is_likely(path: Path, head: bytes) -> bool:
    """Tell from the first bytes whether to ask OpenSlide, whose library takes a moment to load."""
    return (
        path.suffix.lower() == ".mrxs"
        or head.startswith((*_FILM, b"ZISRAWFILE", b"SQLite format 3\0"))
        or head[128:132] == b"DICM"
    )


def open_scanners(path: Path, number: int | None = None) -> tuple[str, Source]:
    """Open a slide that OpenSlide reads and that is no TIFF; return its maker or format and the source.

    Raises
    ------
    OtherFormatError
        If it is none.
    SlideError
        If it is damaged, or has no such picture.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    vendor = vendor_of(path) if _is_likely(path, head) else ""
    if vendor not in {line.name for line in FORMATS}:  # a TIFF of any name is for our own reader
        raise OtherFormatError("OpenSlide does not know it")
    if number not in (None, 1):
        raise SlideError(f"{path} has no picture {number}: it has only one")
    return vendor, _read(path, vendor)


def _read(path: Path, vendor: str) -> Source:
    main, *others = (
        sorted([path, *companions(path, vendor)]) if vendor == "dicom" else [path, *companions(path, vendor)]
    )
    try:
        file = SlideFiles(main, others)
    except OSError as error:
        raise SlideError(f"{path}: a file of this slide cannot be opened: {error}") from error
    try:
        return _source(file, vendor)
    except BaseException:
        file.close()
        raise


def _opened(path: Path, vendor: str) -> Handle:
    from openslide import OpenSlideError

    try:
        return Handle(path)
    except OpenSlideError as error:
        reason = " ".join(str(error).split())[:160]
        raise SlideError(
            f"{path} is {NAMES[vendor]} that cannot be read ({reason}): copy it again with all its files, or convert "
            "it to OME-TIFF (QuPath and bfconvert do that)"
        ) from error


def _source(file: SlideFiles, vendor: str) -> Source:
    handle = _opened(file.path, vendor)
    slide = handle.now()
    shape = slide.dimensions[1], slide.dimensions[0]
    refuse_size(file.path, shape)
    levels = [OpenSlideLevel(file, handle, index) for index in range(slide.level_count)]
    hashed = str(slide.properties.get("openslide.quickhash-1", "")).encode()
    return Source(
        file=file,
        shape=shape,
        levels=[as_array(level) for level in levels],
        mpp=_mpp(slide.properties.get("openslide.mpp-x"), slide.properties.get("openslide.mpp-y"), vendor),
        fingerprint=fingerprint(file, shape, hashed),
        damage=damage_of(levels),
    )


def _mpp(x: str | None, y: str | None, vendor: str) -> Mpp:
    return UNKNOWN if x is None or y is None else judge(x, y, vendor)


def _format(name: str, suffixes: tuple[str, ...], description: str) -> Format:
    return Format(name, suffixes, description, lambda path: open_scanners(path)[1], family=open_scanners)


FORMATS = [
    _format("mirax", (".mrxs",), "3DHISTECH MIRAX"),
    _format("dicom", (".dcm",), "DICOM whole slide"),
    _format("zeiss", (".czi",), "Zeiss CZI"),
    _format("sakura", (".svslide",), "Sakura SVSLIDE"),
    _format("hamamatsu", (".vms", ".vmu"), "Hamamatsu VMS and VMU"),
]
# A TIFF whose tiles overlap: our reader of TIFF refuses it, and `open_overlapping` reads it.
TRESTLE = _format("trestle", (".tif",), "Trestle")


def open_overlapping(path: Path, refusal: TilesOverlap) -> tuple[str, Source]:
    """Open a TIFF whose tiles overlap, which our own reader refuses; return its maker and the source.

    Raises
    ------
    TilesOverlap
        The refusal, if OpenSlide does not know the maker.
    SlideError
        If the slide is damaged.
    """
    vendor = vendor_of(path)
    if vendor not in ("ventana", "trestle"):
        raise refusal
    return vendor, _read(path, vendor)
