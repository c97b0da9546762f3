"""Small slides of every kind, written for a test."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

APERIO = "Aperio Image Library v11.2.1\r\n{w}x{h} (64x64) JPEG/RGB Q=30|AppMag = 20|MPP = {mpp}"


def picture(height: int = 301, width: int = 233, seed: int = 0) -> np.ndarray:
    """Smooth colour, different everywhere: (height, width, 3) uint8."""
    y, x = np.mgrid[:height, :width].astype(float)
    rng = np.random.default_rng(seed)
    waves = [127 + 100 * np.sin(x * a + y * b + c) for a, b, c in rng.uniform(0.02, 0.2, (3, 3))]
    return np.stack(waves, axis=2).round().astype(np.uint8)


def shrunk(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The same view with other sides, averaged."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.HAMMING))


def tiff(path: Path, pixels: np.ndarray, levels: list[np.ndarray] | None = None, **options: Any) -> Path:
    """A tiled TIFF with its further levels as reduced pages after it."""
    options = {"tile": (64, 64), "photometric": "rgb", "metadata": None, **options}
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, **options)
        for level in levels or []:
            file.write(level, **{**options, "subfiletype": 1, "description": None})
    return path


def aperio(path: Path, pixels: np.ndarray, mpp: object = 0.5) -> Path:
    description = APERIO.format(w=pixels.shape[1], h=pixels.shape[0], mpp=mpp)
    return tiff(path, pixels, description=description)


def ndpi(path: Path, pixels: np.ndarray, per_cm: int = 20000) -> Path:
    """A Hamamatsu NDPI with raw strips of 8 rows.

    It is a classic TIFF but for 64-bit offsets: of the first directory, of the next, and by 4 more bytes for every
    entry after the directory.
    """
    height, width = pixels.shape[:2]
    strips = [pixels[y : y + 8].tobytes() for y in range(0, height, 8)]
    blob = bytearray(struct.pack("<2sHQ", b"II", 42, 0))

    def put(data: bytes) -> int:
        blob.extend(data)
        return len(blob) - len(data)

    offsets = [put(strip) for strip in strips]
    tables = [put(struct.pack(f"<{len(strips)}I", *v)) for v in (offsets, [len(strip) for strip in strips])]
    maker, bits, ratio = put(b"Hamamatsu\0"), put(struct.pack("<3H", 8, 8, 8)), put(struct.pack("<2I", per_cm, 1))
    lens = struct.unpack("<I", struct.pack("<f", 20.0))[0]
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, bits), (259, 3, 1, 1), (262, 3, 1, 2),
        (271, 2, 10, maker), (273, 4, len(strips), tables[0]), (277, 3, 1, 3), (278, 4, 1, 8),
        (279, 4, len(strips), tables[1]), (282, 5, 1, ratio), (283, 5, 1, ratio), (296, 3, 1, 3),
        (65420, 4, 1, 1), (65421, 11, 1, lens),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    at = put(directory + bytes(8) + bytes(4 * len(entries)))
    struct.pack_into("<Q", blob, 4, at)
    path.write_bytes(blob)
    return path


def ome(path: Path, pixels: np.ndarray, **sizes: object) -> Path:
    sizes = sizes or {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, pixels, ome=True, tile=(64, 64), photometric="rgb", metadata={"axes": "YXS", **sizes})
    return path


def generic(path: Path, pixels: np.ndarray) -> Path:
    return tiff(path, pixels, resolution=(20000, 20000), resolutionunit="CENTIMETER")


def jpeg(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path, quality=95, subsampling=0)
    return path


def png(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


# One maker for every line of napari_nh2st.slides.FORMATS, and the ending of its files
MAKERS: dict[str, tuple[Callable[[Path, np.ndarray], Path], str]] = {
    "aperio": (aperio, ".svs"),
    "ndpi": (ndpi, ".ndpi"),
    "ome-tiff": (ome, ".ome.tif"),
    "tiff": (generic, ".tiff"),
    "jpeg": (jpeg, ".jpg"),
    "png": (png, ".png"),
}
WITHOUT_PIXEL_SIZE = {"jpeg", "png"}


def set_tile(path: Path, index: int, *, offset: int | None = None, count: int | None = None, page: int = 0) -> None:
    """Change one entry of a TIFF's table of tiles."""
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages[page].tags
        for codes, value in (((324, 273), offset), ((325, 279), count)):
            tag = next(tags[code] for code in codes if code in tags)
            if value is not None:
                values = list(tag.value)
                values[index] = value
                tag.overwrite(values)


def tile_place(path: Path, index: int, page: int = 0) -> tuple[int, int]:
    """Offset and byte count of one tile."""
    with tifffile.TiffFile(path) as file:
        return file.pages[page].dataoffsets[index], file.pages[page].databytecounts[index]
