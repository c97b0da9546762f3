"""TIFF and its vendors' kinds: Aperio SVS, Hamamatsu NDPI, OME-TIFF, generic pyramids and plain files."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from napari_nh2st.errors import OtherImage, SlideError
from napari_nh2st.slide_path import address_of
from napari_nh2st.slides import tiff_mpp
from napari_nh2st.slides.chunks import as_array
from napari_nh2st.slides.damage import Damage, damage_of
from napari_nh2st.slides.deep_colour import settle_depth
from napari_nh2st.slides.file import SlideFile, fingerprint
from napari_nh2st.slides.mpp import Mpp
from napari_nh2st.slides.overlap import refuse_overlaps, ventana_xml
from napari_nh2st.slides.picture import Picture, choose_picture, left_out, overview_opened
from napari_nh2st.slides.picture_rules import picture_warnings
from napari_nh2st.slides.remote import BLOCK, FileView, open_file
from napari_nh2st.slides.source import (
    MAX_FLAT_BYTES,
    SYNTHETIC_MARK,
    Format,
    OtherFormatError,
    Source,
)
from napari_nh2st.slides.tiff_colour import facts_of
from napari_nh2st.slides.tiff_level import TiffLevel
from napari_nh2st.slides.tiff_ome import refuse_other_files
from napari_nh2st.slides.tiff_pages import TiffPicture, tiff_pictures
from napari_nh2st.slides.truncation import check_complete, check_directories, has_wide_offsets

OLD_JPEG = 6  # a compression of TIFF 6.0, section 22, of which every program had its own idea


@dataclass(frozen=True)
class Vendor:
    """One kind of TIFF: a test that recognises it, and a reader of its pixel size."""

    is_it: Callable[[TiffFile], bool]
    mpp: Callable[[TiffFile, TiffPage, int], Mpp]


VENDORS = {
    "aperio": Vendor(lambda tif: bool(tif.is_svs), tiff_mpp.aperio),
    "ndpi": Vendor(lambda tif: bool(tif.is_ndpi), tiff_mpp.ndpi),
    "ome-tiff": Vendor(lambda tif: bool(tif.is_ome), tiff_mpp.ome),
    "philips": Vendor(lambda tif: bool(tif.is_philips), tiff_mpp.philips),
    "leica": Vendor(lambda tif: bool(tif.is_scn), tiff_mpp.leica),
    "ventana": Vendor(lambda tif: bool(ventana_xml(tif)), tiff_mpp.ventana),
    "tiff": Vendor(lambda tif: True, tiff_mpp.resolution),
}


def open_tiff(path: Path, number: int | None = None, kinds: Iterable[str] = tuple(VENDORS)) -> tuple[str, Source]:
    """Open a TIFF, or one of its pictures, as the first of some kinds that it is; return the kind and the source.

    Raises
    ------
    OtherFormatError
        If it is no TIFF, or of none of these kinds.
    SlideError
        If it is damaged, or no slide.
    """
    file = open_file(path)
    try:
        with _parsed(path, file) as tif:
            name = next((name for name in kinds if VENDORS[name].is_it(tif)), None)
            if name is None:
                raise OtherFormatError(f"a TIFF without the marks of {', '.join(kinds)}")
            return name, _read(file, tif, VENDORS[name], number)
    except BaseException:
        file.close()
        raise


def _format(name: str, suffixes: tuple[str, ...], description: str) -> Format:
    def open_one(path: Path, number: int | None = None) -> Source:
        return open_tiff(path, number, (name,))[1]

    return Format(name, suffixes, description, open_one, open_one, open_tiff, remote=True)


FORMATS = [
    _format("aperio", (".svs",), "Aperio SVS"),
    _format("ndpi", (".ndpi",), "Hamamatsu NDPI"),
    _format("ome-tiff", (".ome.tif", ".ome.tiff"), "OME-TIFF"),
    _format("philips", (".tiff", ".tif"), "Philips TIFF"),
    _format("leica", (".scn",), "Leica SCN"),
    _format("ventana", (".bif", ".tif"), "Ventana BIF and TIFF whose tiles do not overlap"),
    _format("tiff", (".tif", ".tiff"), "TIFF, tiled or in strips, with or without a pyramid"),
]


@contextmanager
def _parsed(path: Path, file: SlideFile) -> Iterator[TiffFile]:
    """Parse a TIFF's directories; any failure of tifffile becomes one sentence."""
    if file.read(0, 4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        raise OtherFormatError("does not begin like a TIFF")
    check_directories(file)
    try:
        view = path if address_of(path) is None else io.BufferedReader(FileView(file), BLOCK)
        with _quiet(), TiffFile(view, _multifile=False, is_ndpi=has_wide_offsets(file)) as tif:
            yield tif
    except (OtherFormatError, SlideError):
        raise
    except Exception as error:  # a damaged directory can break any line of a parser
        if file.failures:  # not damage: it could not be read
            file.verify(0)
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise SlideError(f"{path} is a damaged TIFF: its directory cannot be read ({reason}); copy it again") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep tifffile's remarks on damaged files off standard error; a program's own log handlers still get them."""
    log, handler = logging.getLogger("tifffile"), logging.NullHandler()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _read(file: SlideFile, tif: TiffFile, vendor: Vendor, number: int | None) -> Source:
    path = file.path
    refuse_other_files(tif, path)
    refuse_overlaps(tif, path)
    pictures = tiff_pictures(tif, file)
    listed = [Picture(n, p.shape, p.name, p.associated, p.reason) for n, p in enumerate(pictures, 1)]
    opened = choose_picture(listed, number, path)
    others = left_out(listed, opened, path)
    chosen = pictures[opened.number - 1]
    base = chosen.pages[0]
    warnings = [
        *([*others, *overview_opened(opened)] if number is None else []),
        *picture_warnings(facts_of(base)),
        *_plane_warnings(chosen.series, path),
    ]
    levels = _levels(file, chosen, warnings, f"; {others[0]}" if others and number is None else "")
    damage = damage_of(levels)
    height, width = levels[0].shape
    marks = levels[0].tiles.counts.tobytes()
    if others:  # the pictures of one file differ, also where all else is the same
        marks += repr([int(page.offset) for page in chosen.pages]).encode()
    flat = levels[0] if levels[0].flat else None
    return Source(
        file=file,
        shape=(height, width),
        levels=[] if flat else [as_array(level) for level in levels],
        decode=_decode_whole(flat, damage, path) if flat else None,
        mpp=vendor.mpp(tif, base, _series_index(tif, chosen)),
        fingerprint=fingerprint(file, (height, width), marks),
        synthetic=SYNTHETIC_MARK in str(base.description or ""),
        damage=damage,
        warnings=warnings,
        pictures=listed,
        picture=opened.number,
    )


def _series_index(tif: TiffFile, picture: TiffPicture) -> int:
    if picture.series is None or tif.is_philips:
        return 0
    return next((i for i, series in enumerate(tif.series) if series is picture.series), 0)


def _levels(file: SlideFile, picture: TiffPicture, warnings: list[str], others: str = "") -> list[TiffLevel]:
    """Make the levels of a picture; say which page cannot be one, and with `others` that there is another picture."""
    levels: list[TiffLevel] = []
    for page in picture.pages:
        try:
            levels.append(TiffLevel(file, page, len(levels)))
        except SlideError as error:
            if page is picture.pages[0]:
                raise type(error)(f"{file.path}: {error}{others}") from error
            warnings.append(f"the level of {page.imagewidth} x {page.imagelength} pixels is left out: {error}")
    warnings += settle_depth(levels)
    check_complete(file, [level.tiles for level in levels])
    _refuse_undecodable(levels[0], picture.pages[0], file.path)
    tiles = levels[0].tiles.counts
    if not tiles.any() and not levels[0].sparse:
        raise SlideError(f"{file.path} is damaged: none of its {tiles.size} tiles is in the file; copy it again")
    return levels[:1] if levels[0].flat else levels


def _refuse_undecodable(level: TiffLevel, page: TiffPage, path: Path) -> None:
    """Refuse a picture of which nothing could be shown: its only tile cannot be decoded, or all are of a dead kind."""
    old = page.compression == OLD_JPEG
    if level.flat or not (old or level.tiles.counts.size == 1) or not (why := level.trouble()):
        return
    kind = " (JPEG of the kind in TIFF 6.0, replaced in 1995)" if old else ""
    raise SlideError(f"{path} cannot be decoded: {why}{kind}; copy it again, or save it as another TIFF")


def _plane_warnings(series: TiffPageSeries | None, path: Path) -> list[str]:
    """Refuse separate channels, which are not colour; mention focal planes and times that are not shown."""
    if series is None:
        return []
    sizes = dict(zip(series.axes, series.shape, strict=True))
    planes = math.prod(n for axis, n in sizes.items() if axis not in "YXS")
    if planes <= 1:
        return []
    if sizes.get("C", 1) > 1:
        raise OtherImage(f"{path} holds {sizes['C']} separate channels, not colour: convert it to 8-bit RGB")
    return [f"the file holds {planes} planes of this image (axes {series.axes}); the first is shown"]


def _decode_whole(level: TiffLevel, damage: Damage, path: Path) -> Callable[[], np.ndarray]:
    if math.prod(level.chunk) * 3 > MAX_FLAT_BYTES:
        raise SlideError(
            f"{path} keeps its image in one piece of {math.prod(level.chunk) / 1e9:.0f} Gpx: tile it first"
        )

    def decode() -> np.ndarray:
        out = np.full((*level.shape, 3), 255, np.uint8)
        height, width = level.chunk
        for y in range(0, out.shape[0], height):
            for x in range(0, out.shape[1], width):
                chunk = level.read_chunk(y // height, x // width)
                if chunk is not None:
                    part = out[y : y + height, x : x + width]
                    part[:] = chunk[: part.shape[0], : part.shape[1]]
        if damage.maps[0].bad.all():
            raise SlideError(f"{path} cannot be decoded: {'; '.join(damage.sentences())}")
        return out

    return decode
