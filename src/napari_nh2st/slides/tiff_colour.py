"""Turn the samples of a TIFF into RGB on white: grey, palette, alpha; refuse the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from tifffile import TiffPage

from napari_nh2st.errors import SlideError
from napari_nh2st.reading.xml import elements, parsed_xml
from napari_nh2st.slides.deep_colour import ALL_BITS, Depth
from napari_nh2st.slides.picture_rules import PictureFacts, refuse_picture

Rgb = npt.NDArray[np.uint8]
Colour = Callable[[npt.NDArray[Any]], Rgb]

WHITE_IS_ZERO, YCBCR = 0, 6
KINDS = {0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "rgb"}  # by PhotometricInterpretation
ASSOCIATED, UNASSOCIATED = 1, 2  # ExtraSamples: colour already multiplied by its opacity, or not
APERIO_YCBCR = 33003  # JPEG 2000 with the components Y, Cb, Cr, which the codestream does not say
# Compressions whose decoder gives RGB, whatever the photometric tag
CODEC_GIVES_RGB = {6, 7, 34892, 33007, 33003, 33004, 33005, 34712, 34927, 50001, 50002, 52546}


def facts_of(page: TiffPage) -> PictureFacts:
    """Return what the table of pictures asks about a page."""
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    photometric = int(page.photometric)
    kind = KINDS.get(photometric, str(getattr(page.photometric, "name", photometric)))
    if kind == "cmyk" and page.compression in CODEC_GIVES_RGB:
        kind = "CMYK in a codec"
    numbers = "numbers" if page.dtype is None else "uint8" if page.dtype == bool else str(page.dtype)
    orientation = page.tags.valueof(274)
    return PictureFacts(
        kind,
        int(page.samplesperpixel),
        int(bits),
        numbers,
        int(orientation) if isinstance(orientation, int) else 1,
    )


def colour_of(page: TiffPage, depth: Depth = ALL_BITS) -> Colour:
    """Choose the conversion of a page's decoded tiles to RGB.

    Parameters
    ----------
    page : TiffPage
    depth : Depth
        Of samples of 16 bits.

    Returns
    -------
    callable
        (height, width, samples) array -> uint8 (height, width, 3).

    Raises
    ------
    SlideError
        If the samples have no clear meaning as 8-bit colour.
    """
    facts = facts_of(page)
    refuse_picture(facts)
    extra = int(page.extrasamples[0]) if page.extrasamples else 0
    alpha = extra in (ASSOCIATED, UNASSOCIATED)
    if facts.kind == "palette":
        return _palette(page.colormap)
    if facts.bits == 1:
        return _bilevel(page.photometric == WHITE_IS_ZERO)
    if facts.kind == "grey":
        return _grey(page.photometric == WHITE_IS_ZERO, alpha and facts.channels == 2, 2**facts.bits - 1)
    if facts.kind == "cmyk":
        return _from_cmyk
    if page.photometric == YCBCR and page.compression not in CODEC_GIVES_RGB:
        raise SlideError("its colours are YCbCr without a codec that converts them: convert it to RGB")
    if page.compression == APERIO_YCBCR and facts.channels == 3:
        return _from_ycbcr
    shown = _first_three
    if alpha and facts.channels == 4:
        shown = _multiplied_over_white if extra == ASSOCIATED else _over_white
    return (lambda tile: shown(depth.to_eight(tile))) if facts.deep else shown


def told_bits(page: TiffPage) -> int | None:
    """Return the bits of a sample that are used, as OME's SignificantBits or the tag MaxSampleValue say."""
    if page.parent.is_ome:
        said = {e.get("SignificantBits") for e in elements(parsed_xml(page.parent.ome_metadata), "Pixels")}
        if len(said) == 1 and (text := said.pop()) is not None and text.isdigit():
            return int(text)
    largest = page.tags.valueof(281)
    largest = max(largest, default=0) if isinstance(largest, tuple) else largest
    return int(largest).bit_length() if isinstance(largest, int) and largest else None


def _first_three(tile: npt.NDArray[Any]) -> Rgb:
    return np.asarray(tile[:, :, :3], dtype=np.uint8)


def _over_white(tile: npt.NDArray[Any]) -> Rgb:
    return over_white(tile[:, :, :3], tile[:, :, 3:4])


def _multiplied_over_white(tile: npt.NDArray[Any]) -> Rgb:
    lit = tile[:, :, :3].astype(np.uint16) + (255 - tile[:, :, 3:4].astype(np.uint16))
    return np.asarray(np.minimum(lit, 255), dtype=np.uint8)


def _from_ycbcr(tile: npt.NDArray[Any]) -> Rgb:
    """Convert full-range YCbCr (ITU-R T.871, section 7) to RGB."""
    y, cb, cr = np.moveaxis(tile.astype(np.float32), 2, 0) - np.array([0, 128, 128], np.float32)[:, None, None]
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=2)
    return np.asarray(np.clip(np.rint(rgb), 0, 255), dtype=np.uint8)


def over_white(colour: npt.NDArray[Any], alpha: npt.NDArray[Any]) -> Rgb:
    """Lay (h, w, 3) colour with (h, w, 1) opacity, both uint8, on white."""
    weight = alpha.astype(np.uint16)
    mixed = (colour.astype(np.uint16) * weight + 255 * (255 - weight) + 127) // 255
    return mixed.astype(np.uint8)


def _from_cmyk(tile: npt.NDArray[Any]) -> Rgb:
    """Let each ink and black take their share of white light, as Pillow does for JPEG."""
    lit = 255 - tile.astype(np.uint16)
    return np.asarray((lit[:, :, :3] * lit[:, :, 3:4] + 127) // 255, dtype=np.uint8)


def _grey(inverted: bool, alpha: bool, white: int = 255) -> Colour:
    def colour(tile: npt.NDArray[Any]) -> Rgb:
        grey = np.asarray(tile[:, :, :1], dtype=np.uint8) * np.uint8(255 // white)
        rgb = np.repeat(255 - grey if inverted else grey, 3, axis=2)
        return over_white(rgb, tile[:, :, 1:2]) if alpha else rgb

    return colour


def _bilevel(inverted: bool) -> Colour:
    def colour(tile: npt.NDArray[Any]) -> Rgb:
        lit = (np.asarray(tile[:, :, :1]) != 0) != inverted
        return np.repeat(lit.astype(np.uint8) * np.uint8(255), 3, axis=2)

    return colour


def _palette(colormap: Any) -> Colour:
    if colormap is None:
        raise SlideError("it has palette colours but no palette")
    table = np.asarray(colormap).T
    if table.max(initial=0) > 255:  # some programs write 8-bit colours, against TIFF 6.0, section 5
        table = table >> 8
    table = table.astype(np.uint8)

    def colour(tile: npt.NDArray[Any]) -> Rgb:
        return np.asarray(table[np.asarray(tile[:, :, 0])])

    return colour
