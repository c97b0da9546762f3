"""The size in a compressed tile's header, read before a decoder believes it and allocates memory."""

from __future__ import annotations

import struct

# ITU-T T.81, table B.1: the frame headers are FF C0 to FF CF but for DHT, JPG and DAC
NO_FRAME = {0xC4, 0xC8, 0xCC}
NO_LENGTH = {0x01, *range(0xD0, 0xD9)}


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Return the (height, width) in the header of a JPEG, JPEG 2000 or WebP tile, None if there is none."""
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    start = data[:512].find(b"\xff\x4f\xff\x51")  # SOC and SIZ, ISO/IEC 15444-1, annex A
    if start >= 0 and len(data) >= start + 24:
        width, height, left, top = struct.unpack_from(">4I", data, start + 8)
        return height - top, width - left
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in NO_FRAME:
            height, width = struct.unpack_from(">2H", data, at + 5)
            return height, width
        at += 1 if marker == 0xFF else 2 if marker in NO_LENGTH else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    """Read one of the three kinds of first chunk, RFC 9649, section 2."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return 1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little")
    if kind == b"VP8 " and len(data) >= 30:
        width, height = struct.unpack_from("<2H", data, 26)
        return height & 0x3FFF, width & 0x3FFF
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    return None
