"""Properties that a picture may have: every reader gives one answer to each."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nh2st.errors import SlideError
from napari_nh2st.slides import open_slide
from support.slides import aperio, jpeg, ome, picture, png, tiff

PIXELS = picture(160, 120)
DEEP_PIXELS = PIXELS.astype(np.uint16)
GREY = PIXELS[:, :, 0]
GREY_RGB = np.repeat(GREY[:, :, None], 3, axis=2)
PALETTE = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
TURNED, INKS, FRAMES, TRAILING = "to be turned", r"inks \(CMYK\)", "3 frames", "bytes follow the image"
NO_COLOUR = "the image is grey"
DEEP, COLOUR = "16-bit uint16.*convert it to 8-bit RGB", "channels.*not colour: convert it to 8-bit RGB"

Make = Callable[[Path], Path]


def over_white(alpha: np.ndarray, colour: np.ndarray = PIXELS) -> np.ndarray:
    weight = alpha[:, :, None] / 255
    return np.rint(colour * weight + 255 * (1 - weight))


def saved(suffix: str, pixels: np.ndarray = PIXELS, mode: str = "RGB", **options: object) -> Make:
    def make(path: Path) -> Path:
        path = path.with_suffix(suffix)
        image = Image.fromarray(pixels)
        if mode == "P":
            image = Image.fromarray(GREY, "L").convert("P")
            image.putdata(GREY.ravel().tolist())
            image.putpalette(PALETTE.ravel().tolist())
        elif mode != "RGB":
            image = image.convert(mode)
        image.save(path, **options)
        return path

    return make


def exif(orientation: int = 6) -> Image.Exif:
    made = Image.Exif()
    made[274] = orientation
    return made


def tagged(write: Callable[..., Path], suffix: str) -> Make:
    """A TIFF of some vendor whose orientation tag is set afterwards."""

    def make(path: Path) -> Path:
        path = write(path.with_name(path.name + suffix), PIXELS)
        with tifffile.TiffFile(path) as file:
            pages, order = file.pages, file.byteorder
            page = pages[0]
            entry = next((tag for tag in page.tags if tag.code == 274), None)
        assert entry is not None
        with path.open("r+b") as file:
            file.seek(entry.valueoffset)
            file.write(struct.pack(order + "H", 6))
        return path

    return make


def tif(pixels: np.ndarray = PIXELS, **options: object) -> Make:
    return lambda path: tiff(path.with_suffix(".tif"), pixels, **options)


ORIENTED = [(274, "H", 1, 1, True)]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def deep_png(path: Path) -> Path:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in PIXELS.astype(np.uint16).reshape(160, -1) * 257)
    header = struct.pack(">2I5B", 120, 160, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path = path.with_suffix(".png")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def interlaced(path: Path) -> Path:
    """Adam7, PNG specification, section 8.2."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in PIXELS[y::dy, x::dx])
    body = chunk(b"IHDR", struct.pack(">2I5B", 120, 160, 8, 2, 0, 0, 1)) + chunk(b"IDAT", zlib.compress(rows))
    path = path.with_suffix(".png")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""))
    return path


def animated(path: Path) -> Path:
    path = path.with_suffix(".png")
    frames = [Image.fromarray(PIXELS // n) for n in (1, 2, 3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def several_jpegs(path: Path) -> Path:
    path = path.with_suffix(".jpg")
    frames = [Image.fromarray(PIXELS // n) for n in (1, 2, 3)]
    frames[0].save(path, format="MPO", save_all=True, append_images=frames[1:], quality=95, subsampling=0)
    return path


def followed(make: Make, data: bytes) -> Make:
    def with_data(path: Path) -> Path:
        path = make(path)
        with path.open("ab") as file:
            file.write(data)
        return path

    return with_data


def cut(make: Make) -> Make:
    def shortened(path: Path) -> Path:
        path = make(path)
        path.write_bytes(path.read_bytes()[:-1500])
        return path

    return shortened


def other_jpeg() -> bytes:
    out = io.BytesIO()
    Image.fromarray(GREY).save(out, format="JPEG")
    return b"\0\0\0\x18ftypmp42" + out.getvalue()[:-2] + b"moov"


def profile(*, tinted: bool) -> bytes:
    """An ICC profile (ICC.1:2001-04) with sRGB's colorants and gamma 2.2; tinted: green is three times as bright."""
    at = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141), (0.9642, 1.0, 0.8249)]
    at[1] = tuple(3 * v for v in at[1]) if tinted else at[1]
    colours = [b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in xyz)) for xyz in at]
    curve = b"curv\0\0\0\0" + struct.pack(">IH2x", 1, round(2.2 * 256))
    name = b"desc\0\0\0\0" + struct.pack(">I", 6) + b"inked\0" + bytes(78)
    named = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt"), colours, strict=True))
    named |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve, b"desc": name, b"cprt": b"text\0\0\0\0-\0\0\0"}
    table, data, place = struct.pack(">I", len(named)), b"", 132 + 12 * len(named)
    for tag, value in named.items():
        value += bytes(-len(value) % 4)
        table += tag + struct.pack(">2I", place + len(data), len(value))
        data += value
    head = struct.pack(">I4sI4s4s4s", place + len(data), b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp")
    head = head.ljust(68, b"\0") + struct.pack(">3i", *(round(v * 65536) for v in at[3]))
    return head.ljust(128, b"\0") + table + data


JPG = saved(".jpg", quality=95, subsampling=0)
# property -> [what to write, the pixels that are right (None: refused), the sentence, how far pixels may be off]
CASES: dict[str, list[tuple[Make, np.ndarray | None, str, float]]] = {
    "upright": [
        (tif(extratags=ORIENTED), PIXELS, "", 0),
        (saved(".png", exif=exif(1)), PIXELS, "", 0),
        (saved(".jpg", quality=95, subsampling=0, exif=exif(1)), PIXELS, "", 2),
        (saved(".jpg", quality=95, subsampling=0, exif=exif(0)), PIXELS, "", 2),
    ],
    "orientation": [
        *[(tif(extratags=[(274, "H", 1, n, True)]), PIXELS, TURNED, 0) for n in range(2, 9)],
        (
            tagged(lambda p, x: tiff(p, x, extratags=ORIENTED, description="Aperio |MPP = 0.5"), ".svs"),
            PIXELS,
            TURNED,
            0,
        ),
        *[(saved(".png", exif=exif(n)), PIXELS, TURNED, 0) for n in (2, 6, 8)],
        *[(saved(".jpg", quality=95, subsampling=0, exif=exif(n)), PIXELS, TURNED, 2) for n in (3, 6, 7)],
    ],
    "16 bits": [
        (tif(DEEP_PIXELS * 257), PIXELS, "16 are used, as its brightest.* 65,535 as white", 0),
        (tif(DEEP_PIXELS * 257, extratags=[(281, "H", 3, (65535,) * 3, True)]), PIXELS, "16 are used, as the file", 0),
        (tif(DEEP_PIXELS * 257, tile=None, rowsperstrip=16), PIXELS, "16 are used", 0),
        (tif(DEEP_PIXELS * 16), PIXELS, "12 are used, as its brightest.* 4,095 as white", 1),
        (
            tif(DEEP_PIXELS * 4, extratags=[(281, "H", 3, (4095,) * 3, True)]),
            PIXELS // 4,
            "12 are used, as the file",
            1,
        ),
        (tif(DEEP_PIXELS), PIXELS, "8 are used, as its brightest.* 255 as white", 0),
        (
            tif(np.dstack([DEEP_PIXELS, GREY.astype(np.uint16)]) * 257, extrasamples=["unassalpha"]),
            over_white(GREY),
            "16 are used",
            1,
        ),
        (deep_png, PIXELS, "16 are used, as the file", 0),
        (tif(GREY.astype(np.uint16), photometric="minisblack"), None, DEEP, 0),
        (saved(".png", GREY.astype(np.uint16)), None, DEEP, 0),
    ],
    "other numbers": [
        (tif(PIXELS.astype(np.float32)), None, "32-bit float32.*convert it to 8-bit RGB", 0),
        (tif(PIXELS.astype(np.int8)), None, "8-bit int8.*convert it to 8-bit RGB", 0),
    ],
    "opacity": [
        (tif(np.dstack([PIXELS, GREY]), extrasamples=["unassalpha"]), over_white(GREY), "", 1),
        (saved(".png", np.dstack([PIXELS, GREY])), over_white(GREY), "", 1),
        (
            tif(np.dstack([GREY, GREY]), photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig"),
            over_white(GREY, GREY_RGB),
            NO_COLOUR,
            1,
        ),
        (saved(".png", np.dstack([GREY_RGB, GREY]), "LA"), over_white(GREY, GREY_RGB), NO_COLOUR, 1),
        (tif(np.dstack([PIXELS // 2, np.full_like(GREY, 128)]), extrasamples=["assocalpha"]), PIXELS // 2 + 127, "", 1),
        (tif(np.dstack([PIXELS, GREY]), extrasamples=["unspecified"]), PIXELS, "", 0),
    ],
    "palette": [
        (tif(GREY, photometric="palette", colormap=PALETTE.T.astype(np.uint16) * 257), PALETTE[GREY], "", 0),
        (tif(GREY, photometric="palette", colormap=PALETTE.T.astype(np.uint16)), PALETTE[GREY], "", 0),
        (tif(GREY, photometric="palette", colormap=PALETTE.T.astype(np.uint16) * 256), PALETTE[GREY], "", 0),
        (saved(".png", mode="P"), PALETTE[GREY], "", 0),
    ],
    "grey": [
        (tif(GREY, photometric="minisblack"), GREY_RGB, NO_COLOUR, 0),
        (tif(255 - GREY, photometric="miniswhite"), GREY_RGB, NO_COLOUR, 0),
        (saved(".png", GREY), GREY_RGB, NO_COLOUR, 0),
        (saved(".jpg", GREY, quality=95), GREY_RGB, NO_COLOUR, 2),
    ],
    "few bits": [
        (tif(GREY > 99, photometric="minisblack", tile=None), (GREY_RGB > 99) * 255, NO_COLOUR, 0),
        (saved(".png", GREY > 99), (GREY_RGB > 99) * 255, NO_COLOUR, 0),
    ],
    "inks": [
        (tif(np.dstack([255 - PIXELS, GREY * 0]), photometric="separated"), PIXELS, INKS, 0),
        (tif(np.dstack([PIXELS * 0, 255 - GREY]), photometric="separated"), GREY_RGB, INKS, 0),
        (saved(".jpg", mode="CMYK", quality=95, subsampling=0), PIXELS, INKS, 3),
    ],
    "other colours": [
        (tif(PIXELS, photometric="cielab"), None, COLOUR, 0),
        (saved(".jpg", icc_profile=profile(tinted=True)), None, r"only by its profile \(inked\).*save it as sRGB", 0),
        (saved(".png", icc_profile=profile(tinted=True)), None, r"only by its profile \(inked\)", 0),
        (saved(".png", icc_profile=profile(tinted=False)), PIXELS, "", 0),
        (saved(".png", icc_profile=b"no profile"), PIXELS, "", 0),
        (tif(np.dstack([PIXELS, PIXELS]), photometric="rgb", planarconfig="contig"), None, COLOUR, 0),
    ],
    "frames": [(animated, PIXELS, FRAMES, 0), (several_jpegs, PIXELS, FRAMES, 2)],
    "what follows": [
        (followed(JPG, b"video" * 99), PIXELS, TRAILING, 2),
        (followed(JPG, other_jpeg()), PIXELS, TRAILING, 2),
        (followed(JPG, bytes(64)), PIXELS, "", 2),
        (followed(saved(".png"), b"video" * 99), PIXELS, TRAILING, 0),
        (followed(saved(".png"), bytes(64)), PIXELS, "", 0),
    ],
    "order in the file": [
        (saved(".jpg", quality=95, subsampling=0, progressive=True), PIXELS, "", 2),
        (tif(np.moveaxis(PIXELS, 2, 0), planarconfig="separate"), PIXELS, "", 0),
        (tif(compression="lzw", predictor=True), PIXELS, "", 0),
        (tif(compression="zlib", predictor=True, tile=None, rowsperstrip=9), PIXELS, "", 0),
        (interlaced, PIXELS, "", 0),
    ],
    "cut short": [
        (cut(JPG), None, "cut short", 0),
        (cut(saved(".png")), None, "cannot be decoded|cut short", 0),
        (cut(tif()), None, "cut short", 0),
    ],
}


@pytest.mark.parametrize(("kind", "n"), [(kind, n) for kind in CASES for n in range(len(CASES[kind]))])
def test_one_answer_to_one_property(tmp_path, kind, n):
    make, right, sentence, tolerance = CASES[kind][n]
    path = make(tmp_path / "a")
    if right is None:
        with pytest.raises(SlideError, match=sentence) as error:
            open_slide(path)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)
        return
    with open_slide(path) as slide:
        got = slide.levels[0][:].astype(float)
        said = [line for line in slide.warnings if "pixel size" not in line and "how large" not in line]
    assert np.abs(got - right).mean() <= tolerance
    assert np.abs(got - right).max() <= 12 * tolerance
    assert len(said) == bool(sentence), said
    assert not sentence or any(re.search(sentence, line) for line in said)


@pytest.mark.parametrize("write", [aperio, ome, jpeg, png])
def test_plain_ones_say_nothing(tmp_path, write):
    suffix = {aperio: ".svs", ome: ".ome.tif", jpeg: ".jpg", png: ".png"}[write]
    with open_slide(write(tmp_path / f"a{suffix}", PIXELS), mpp=0.5) as slide:
        assert slide.warnings == []
