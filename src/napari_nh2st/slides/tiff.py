"""TIFF and its vendors' kinds: Aperio SVS, Hamamatsu NDPI, OME-TIFF, generic pyramids and plain files."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from napari_nh2st.errors import SlideError
from napari_nh2st.slides import tiff_mpp
from napari_nh2st.slides.chunks import as_array
from napari_nh2st.slides.damage import Damage
from napari_nh2st.slides.file import SlideFile, fingerprint
from napari_nh2st.slides.mpp import Mpp
from napari_nh2st.slides.source import (
    MAX_FLAT_BYTES,
    MAX_SIDE,
    SYNTHETIC_MARK,
    Format,
    OtherFormatError,
    Source,
)
from napari_nh2st.slides.tiff_level import TiffLevel
from napari_nh2st.slides.truncation import check_complete, check_directories

# Series in which further images may be levels of the first; vendors' own series are complete as tifffile gives them.
OPEN_KINDS = {"generic", "uniform", "shaped"}
SAME_ASPECT = 0.01


@dataclass(frozen=True)
class Vendor:
    """One kind of TIFF: a test that recognises it, and a reader of its pixel size."""

    is_it: Callable[[TiffFile], bool]
    mpp: Callable[[TiffFile, TiffPage, int], Mpp]


VENDORS = {
    "aperio": Vendor(lambda tif: bool(tif.is_svs), tiff_mpp.aperio),
    "ndpi": Vendor(lambda tif: bool(tif.is_ndpi), tiff_mpp.ndpi),
    "ome-tiff": Vendor(lambda tif: bool(tif.is_ome), tiff_mpp.ome),
    "tiff": Vendor(lambda tif: True, tiff_mpp.resolution),
}


def open_vendor(name: str) -> Callable[[Path], Source]:
    """Return the reader of one kind of TIFF, for the table of formats."""

    def open_tiff(path: Path) -> Source:
        vendor = VENDORS[name]
        file = SlideFile(path)
        try:
            with _parsed(path, file) as tif:
                if not vendor.is_it(tif):
                    raise OtherFormatError(f"a TIFF without the marks of {name}")
                return _read(file, tif, vendor)
        except BaseException:
            file.close()
            raise

    return open_tiff


FORMATS = [
    Format("aperio", (".svs",), "Aperio SVS", open_vendor("aperio")),
    Format("ndpi", (".ndpi",), "Hamamatsu NDPI", open_vendor("ndpi")),
    Format("ome-tiff", (".ome.tif", ".ome.tiff"), "OME-TIFF", open_vendor("ome-tiff")),
    Format("tiff", (".tif", ".tiff"), "TIFF, tiled or in strips, with or without a pyramid", open_vendor("tiff")),
]


@contextmanager
def _parsed(path: Path, file: SlideFile) -> Iterator[TiffFile]:
    """Parse a TIFF's directories; any failure of tifffile becomes one sentence."""
    if file.read(0, 4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        raise OtherFormatError("does not begin like a TIFF")
    check_directories(file)
    try:
        with _quiet(), TiffFile(path, _multifile=False) as tif:
            yield tif
    except (OtherFormatError, SlideError):
        raise
    except Exception as error:  # a damaged directory can break any line of a parser
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


def _read(file: SlideFile, tif: TiffFile, vendor: Vendor) -> Source:
    path = file.path
    tiff_mpp.refuse_other_files(tif, path)
    index, series = largest_series(tif, path)
    warnings = _plane_warnings(series, path)
    pages = level_pages(tif, series)
    base = pages[0]
    levels: list[TiffLevel] = []
    for page in pages:
        try:
            levels.append(TiffLevel(file, page, len(levels)))
        except SlideError as error:
            if page is base:
                raise SlideError(f"{path}: {error}") from error
            warnings.append(f"the level of {page.imagewidth} x {page.imagelength} pixels is left out: {error}")
    check_complete(file, [level.tiles for level in levels])
    if levels[0].flat:
        levels = levels[:1]
    damage = Damage()
    height, width = levels[0].shape
    for level in levels:
        level.enter_damage(damage, (height / level.shape[0], width / level.shape[1]))
    description = str(base.description or "")
    flat = levels[0] if levels[0].flat else None
    return Source(
        file=file,
        shape=(height, width),
        levels=[] if flat else [as_array(level) for level in levels],
        decode=_decode_whole(flat, damage, path) if flat else None,
        mpp=vendor.mpp(tif, base, index),
        fingerprint=fingerprint(file, (height, width), levels[0].tiles.counts.tobytes()),
        synthetic=SYNTHETIC_MARK in description,
        damage=damage,
        warnings=warnings,
    )


def largest_series(tif: TiffFile, path: Path) -> tuple[int, TiffPageSeries]:
    """Return the image with the most pixels and its index; a label or macro image may come first.

    Raises
    ------
    SlideError
        If there is none, or its size is impossible.
    """
    images = [(i, s) for i, s in enumerate(tif.series) if "Y" in s.axes and "X" in s.axes]
    if not images:
        raise SlideError(f"{path} is a TIFF without an image")
    for _, series in images:
        page = series.keyframe
        if max(page.imagelength, page.imagewidth) > MAX_SIDE:
            size = f"{page.imagewidth} x {page.imagelength}"
            raise SlideError(f"{path} says it is {size} pixels, which is not possible: the file is damaged")
    return max(images, key=lambda item: item[1].keyframe.imagelength * item[1].keyframe.imagewidth)


def level_pages(tif: TiffFile, series: TiffPageSeries) -> list[TiffPage]:
    """Return the pages of the levels, finest first.

    tifffile drops levels whose ratio differs from the one before. Reduced pages that follow the image and have its
    proportions are therefore taken as well.
    """
    base = series.keyframe
    candidates = [level.keyframe for level in series.levels[1:]]
    candidates += [page for page in (base.pages or []) if isinstance(page, TiffPage)]
    if series.kind in OPEN_KINDS:
        others = (s for s in tif.series if s is not series)
        candidates += [lv.keyframe for s in others for lv in s.levels if lv.keyframe.index > base.index]
    pages = [base]
    for page in sorted(candidates, key=lambda p: -p.imagelength * p.imagewidth):
        if _is_level(page, pages[-1], base):
            pages.append(page)
    return pages


def _is_level(page: TiffPage, finer: TiffPage, base: TiffPage) -> bool:
    if not page.imagelength or not page.imagewidth:
        return False
    if page.imagelength >= finer.imagelength or page.imagewidth >= finer.imagewidth:
        return False
    if (page.samplesperpixel, page.bitspersample) != (base.samplesperpixel, base.bitspersample):
        return False
    y, x = base.imagelength / page.imagelength, base.imagewidth / page.imagewidth
    rounding = 1 / min(page.imagelength, page.imagewidth)
    return bool(abs(y - x) / min(y, x) < SAME_ASPECT + rounding)


def _plane_warnings(series: TiffPageSeries, path: Path) -> list[str]:
    """Refuse separate channels, which are not colour; mention focal planes and times that are not shown."""
    sizes = dict(zip(series.axes, series.shape, strict=True))
    planes = math.prod(n for axis, n in sizes.items() if axis not in "YXS")
    if planes <= 1:
        return []
    if sizes.get("C", 1) > 1:
        raise SlideError(f"{path} holds {sizes['C']} separate channels, not colour: convert it to 8-bit RGB")
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
