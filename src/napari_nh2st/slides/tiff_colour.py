"""Turn the samples of a TIFF into RGB on white: grey, palette, alpha; refuse the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from tifffile import TiffPage

from napari_nh2st.errors import SlideError

Rgb = npt.NDArray[np.uint8]
Colour = Callable[[npt.NDArray[Any]], Rgb]

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
ASSOCIATED, UNASSOCIATED = 1, 2  # ExtraSamples: colour already multiplied by its opacity, or not
APERIO_YCBCR = 33003  # JPEG 2000 with the components Y, Cb, Cr, which the codestream does not say
# Compressions whose decoder gives RGB, whatever the photometric tag
CODEC_GIVES_RGB = {6, 7, 34892, 33007, 33003, 33004, 33005, 34712, 34927, 50001, 50002, 52546}


def colour_of(page: TiffPage) -> Colour:
    """Choose the conversion of a page's decoded tiles to RGB.

    Returns
    -------
    callable
        (height, width, samples) array -> uint8 (height, width, 3).

    Raises
    ------
    SlideError
        If the samples have no clear meaning as 8-bit colour.
    """
    if page.bitspersample == 1:
        return _bilevel(page.photometric == WHITE_IS_ZERO)
    if page.dtype is None or page.dtype != np.uint8 or page.bitspersample != 8:
        kind = f"{page.bitspersample}-bit {'numbers' if page.dtype is None else page.dtype}"
        raise SlideError(f"its samples are {kind}, with no known mapping to colour: convert it to 8-bit RGB")
    samples, photometric = int(page.samplesperpixel), int(page.photometric)
    extra = int(page.extrasamples[0]) if page.extrasamples else 0
    alpha = extra in (ASSOCIATED, UNASSOCIATED)
    if photometric == PALETTE and samples == 1:
        return _palette(page.colormap)
    if photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) and samples <= 2:
        return _grey(photometric == WHITE_IS_ZERO, alpha and samples == 2)
    if photometric == YCBCR and page.compression not in CODEC_GIVES_RGB:
        raise SlideError("its colours are YCbCr without a codec that converts them: convert it to RGB")
    if photometric in (RGB, YCBCR) and samples in (3, 4):
        if page.compression == APERIO_YCBCR and samples == 3:
            return _from_ycbcr
        if alpha and samples == 4:
            return _multiplied_over_white if extra == ASSOCIATED else _over_white
        return _first_three
    name = getattr(page.photometric, "name", photometric)
    raise SlideError(f"it has {samples} channels of kind {name}, not colour: convert it to 8-bit RGB")


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


def _grey(inverted: bool, alpha: bool) -> Colour:
    def colour(tile: npt.NDArray[Any]) -> Rgb:
        grey = np.asarray(tile[:, :, :1], dtype=np.uint8)
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
    table = (np.asarray(colormap).T >> 8).astype(np.uint8)

    def colour(tile: npt.NDArray[Any]) -> Rgb:
        return np.asarray(table[np.asarray(tile[:, :, 0])])

    return colour
