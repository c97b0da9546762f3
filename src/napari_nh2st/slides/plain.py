"""JPEG and PNG: images without tiles, decoded once and kept in the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from napari_nh2st.errors import SlideError
from napari_nh2st.slides.deep_colour import ALL_BITS
from napari_nh2st.slides.file import SlideFile, fingerprint
from napari_nh2st.slides.mpp import UNKNOWN, Mpp
from napari_nh2st.slides.picture_rules import PictureFacts, picture_warnings, refuse_picture
from napari_nh2st.slides.plain_facts import jpeg_end, jpeg_facts, needed_profile, png_facts
from napari_nh2st.slides.source import (
    MAX_FLAT_BYTES,
    SYNTHETIC_MARK,
    Format,
    OtherFormatError,
    Rgb,
    Source,
)
from napari_nh2st.slides.tiff_colour import over_white

EXIF_DESCRIPTION = 270


def open_jpeg(path: Path) -> Source:
    """Open a JPEG (see `Format.open`)."""
    file = SlideFile(path)
    try:
        if file.read(0, 3) != b"\xff\xd8\xff":
            raise OtherFormatError("does not begin like a JPEG")
        facts = _checked(path, jpeg_facts(file))
        image = _header(path, JpegImageFile)
        _checked(path, _with_profile(facts, image))
        return _source(file, image, facts, lambda: _decode_jpeg(file, image.mode))
    except BaseException:
        file.close()
        raise


def open_png(path: Path) -> Source:
    """Open a PNG (see `Format.open`)."""
    file = SlideFile(path)
    try:
        if file.read(0, 8) != b"\x89PNG\r\n\x1a\n":
            raise OtherFormatError("does not begin like a PNG")
        image = _header(path, PngImageFile)
        facts = _checked(path, _with_profile(png_facts(file), image))
        decode = _decode_deep_png if facts.deep else _decode_png
        return _source(file, image, facts, lambda: decode(file))
    except BaseException:
        file.close()
        raise


FORMATS = [
    Format("jpeg", (".jpg", ".jpeg"), "JPEG", open_jpeg),
    Format("png", (".png",), "PNG", open_png),
]


def _checked(path: Path, facts: PictureFacts) -> PictureFacts:
    try:
        refuse_picture(facts)
    except SlideError as error:
        raise type(error)(f"{path}: {error}") from error
    return facts


def _with_profile(facts: PictureFacts, image: ImageFile.ImageFile) -> PictureFacts:
    return replace(facts, profile=needed_profile(image.info.get("icc_profile")) if image.mode == "RGB" else "")


def _header(path: Path, kind: Callable[[str], Any]) -> Any:
    """Read an image's header with its own class: `Image.open` has a pixel limit for the whole process."""
    try:
        image = kind(str(path))
        image.close()
    except (OSError, SyntaxError, ValueError) as error:
        raise SlideError(f"{path} has a damaged header: {error}") from error
    width, height = image.size
    if width * height * 3 > MAX_FLAT_BYTES:
        raise SlideError(f"{path} is {width} x {height} pixels, too large without tiles: convert it to a tiled TIFF")
    return image


def _source(file: SlideFile, image: ImageFile.ImageFile, facts: PictureFacts, decode: Callable[[], Rgb]) -> Source:
    width, height = image.size
    exif = image.getexif() if isinstance(image, JpegImageFile) else {}
    texts = [
        str(exif.get(EXIF_DESCRIPTION, "")),
        *(str(v)[:4096] for v in image.info.values() if isinstance(v, str | bytes)),
    ]
    return Source(
        file=file,
        shape=(height, width),
        levels=[],
        decode=decode,
        mpp=_mpp(image),
        fingerprint=fingerprint(file, (height, width)),
        synthetic=any(SYNTHETIC_MARK in text for text in texts),
        warnings=[*picture_warnings(facts), *([ALL_BITS.sentence] if facts.deep else [])],
    )


def _mpp(image: ImageFile.ImageFile) -> Mpp:
    """Never believe dots per inch: cameras and editors write 72, 96 or 300, whatever the optics."""
    dpi = image.info.get("dpi")
    if not dpi:
        return UNKNOWN
    return Mpp(None, "none", f"says {float(dpi[0]):.4g} pixels per inch, which is a print resolution, not a pixel size")


def _decode_jpeg(file: SlideFile, mode: str) -> Rgb:
    data = file.read(0, file.size)
    end = jpeg_end(data)
    # FF D9 ends a JPEG and FF DA begins its scans; neither occurs inside one. A thumbnail has its own pair, earlier.
    if end is None and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise SlideError(f"{file.path} is cut short: it ends before its image does; copy it again")
    if mode not in ("RGB", "L"):
        return _decode_by_pillow(file.path, JpegImageFile)
    try:
        pixels = imagecodecs.jpeg8_decode(data[:end])
    except (RuntimeError, ValueError) as error:
        raise SlideError(f"{file.path} cannot be decoded: {error}") from error
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def _decode_png(file: SlideFile) -> Rgb:
    return _decode_by_pillow(file.path, PngImageFile)


def _decode_deep_png(file: SlideFile) -> Rgb:
    """Decode 16 bits, all of them used (ISO/IEC 15948, 12.4): Pillow would drop the lower half of each sample."""
    try:
        pixels = ALL_BITS.to_eight(imagecodecs.png_decode(file.read(0, file.size)))
    except (RuntimeError, ValueError) as error:
        raise SlideError(f"{file.path} cannot be decoded: {error}") from error
    return over_white(pixels[:, :, :3], pixels[:, :, 3:]) if pixels.shape[2] == 4 else pixels


def _decode_by_pillow(path: Path, kind: Callable[[str], Any]) -> Rgb:
    try:
        with kind(str(path)) as image:
            if "A" in image.mode or "transparency" in image.info:
                pixels = np.asarray(image.convert("RGBA"))
                return over_white(pixels[:, :, :3], pixels[:, :, 3:])
            return np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise SlideError(f"{path} cannot be decoded: {error}") from error
