"""The facts of a JPEG or PNG, from its markers and chunks, without decoding it."""

from __future__ import annotations

import io
import re
import struct
from typing import Any

import numpy as np
from PIL.Image import Exif

from napari_nh2st.slides.file import SlideFile
from napari_nh2st.slides.picture_rules import PictureFacts
from napari_nh2st.slides.tile_header import NO_FRAME, NO_LENGTH

ORIENTATION = 274
JPEG_KINDS = {1: "grey", 3: "rgb", 4: "cmyk"}
PNG_KINDS = {0: ("grey", 1), 2: ("rgb", 3), 3: ("palette", 1), 4: ("grey", 2), 6: ("rgb", 4)}  # by colour type
_TINT = 48  # of 255: what a profile may make of grey
_TAIL, _PADDING = 4096, b"\0\r\n "
_SEGMENTS, _CHUNKS = 10_000, 4_000_000
# ITU-T T.81, B.1.1.2: within a scan, FF stands before 00 or a restart marker only
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
# CIPA DC-007: the number of images, tag B001 of the MPF segment, a LONG of either byte order
_MPO = re.compile(rb"\x01\xb0\x04\0\x01\0\0\0(....)|\xb0\x01\0\x04\0\0\0\x01(....)", re.DOTALL)


def needed_profile(icc: bytes | None) -> str:
    """Name a colour profile that makes strong colours of grey numbers, as that of XYB JPEG does; "" for any other.

    Profiles of cameras, scanners and screens leave grey about as it is. They are not applied: models learn from the
    numbers as they are stored.
    """
    if not icc:
        return ""
    from PIL import Image, ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        greys = Image.fromarray(np.repeat(np.arange(0, 256, 51, dtype=np.uint8)[None, :, None], 3, axis=2))
        shown = np.asarray(ImageCms.profileToProfile(greys, profile, ImageCms.createProfile("sRGB")))
        tint = np.ptp(shown.astype(int), axis=2).max()
        return (
            " ".join(ImageCms.getProfileDescription(profile).split())[:60] or "without a name" if tint > _TINT else ""
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # damaged, or of another kind of colour
        return ""


def jpeg_facts(file: SlideFile) -> PictureFacts:
    """Read the markers of a JPEG up to its frame, and look at its end."""
    bits, channels, orientation, frames, at = 8, 3, 1, 1, 2
    for _ in range(_SEGMENTS):
        head = file.read(at, 4)
        if len(head) < 4 or head[0] != 0xFF:
            break
        marker, length = head[1], int.from_bytes(head[2:], "big")
        if marker == 0xFF or marker in NO_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in NO_FRAME:
            frame = file.read(at + 4, 6)
            bits, channels = (frame[0], frame[5]) if len(frame) == 6 else (bits, channels)
            break
        if marker == 0xE1:
            orientation = _orientation(file.read(at + 4, length - 2), orientation)
        elif marker == 0xE2:
            frames = max(frames, _images(file.read(at + 4, length - 2)))
        at += 2 + length
    numbers = "uint8" if bits == 8 else "samples"
    kind = JPEG_KINDS.get(channels, "colour")
    return PictureFacts(kind, channels, bits, numbers, orientation, frames, 0 if frames > 1 else _after_jpeg(file))


def jpeg_end(data: bytes) -> int | None:
    """Return the number of bytes of a JPEG up to its end marker, None if it has none."""
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        marker, at = found[0][-1], found.end()
        if marker == 0xD9:
            return at
        if marker not in NO_LENGTH:
            at += int.from_bytes(data[at : at + 2], "big")
    return None


def _after_jpeg(file: SlideFile) -> int:
    """Count the bytes after a JPEG; the file is read whole only if it does not end as one."""
    tail = file.read(max(file.size - _TAIL, 0), _TAIL)
    if tail.rstrip(_PADDING).endswith(b"\xff\xd9"):
        return 0
    end = jpeg_end(file.read(0, file.size))
    return 0 if end is None else file.size - end


def _orientation(segment: bytes, otherwise: int) -> int:
    """Return the orientation in an Exif segment, which may begin with its own name."""
    if not segment.startswith((b"Exif\0", b"II", b"MM")):
        return otherwise
    exif = Exif()
    try:
        exif.load(segment if segment.startswith(b"Exif") else b"Exif\0\0" + segment)
        value: Any = exif.get(ORIENTATION, otherwise)
        return int(value)
    except Exception:  # whatever a damaged Exif part can do: the picture is what counts
        return otherwise


def _images(segment: bytes) -> int:
    said = _MPO.search(segment) if segment.startswith(b"MPF\0") else None
    if said is None:
        return 1
    return int.from_bytes(said[1], "little") if said[1] is not None else int.from_bytes(said[2], "big")


def png_facts(file: SlideFile) -> PictureFacts:
    """Walk over the chunks of a PNG."""
    kind, channels, bits, orientation, frames, at = "rgb", 3, 8, 1, 1, 8
    trailing = 0
    for _ in range(_CHUNKS):
        head = file.read(at, 8)
        if len(head) < 8:
            break
        length, name = struct.unpack(">I4s", head)
        if name == b"IHDR":
            header = file.read(at + 8, 10)
            if len(header) == 10:
                bits, (kind, channels) = header[8], PNG_KINDS.get(header[9], ("colour", 3))
        elif name == b"eXIf":
            orientation = _orientation(file.read(at + 8, min(length, 2**20)), orientation)
        elif name == b"acTL":
            frames = int.from_bytes(file.read(at + 8, 4), "big")
        at += 12 + length
        if name == b"IEND":
            trailing = max(file.size - at, 0)
            break
    numbers = "uint8" if bits <= 8 else f"uint{bits}"
    trailing = 0 if trailing and not file.read(at, min(trailing, _TAIL)).strip(_PADDING) else trailing
    return PictureFacts(kind, channels, bits, numbers, orientation, frames, trailing)
