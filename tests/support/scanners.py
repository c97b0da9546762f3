"""The smallest slides of formats that OpenSlide reads, written for a test."""

from __future__ import annotations

import io
import sqlite3
import struct
import uuid
from pathlib import Path

import numpy as np
from PIL import Image

from support.pictures import shrunk, tiff

MPP = 0.5


def _encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, **options)
    return data.getvalue()


def _parts(size: int, most: int) -> int:
    """The largest divisor of `size` that is no more than `most`: MIRAX has no images of unequal size."""
    return max(part for part in range(1, most + 1) if size % part == 0)


def mirax(path: Path, pixels: np.ndarray, levels: int = 1) -> Path:
    """A MIRAX slide with lossless images, laid edge to edge: the overview, and the folder with its pixels."""
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    height, width = pixels.shape[:2]
    tall, wide = _parts(height >> (levels - 1), 64) << (levels - 1), _parts(width >> (levels - 1), 240) << (levels - 1)
    across, down = width // wide, height // tall
    name = uuid.uuid5(uuid.NAMESPACE_OID, path.name).hex
    blob, pages = bytearray(b"\0" * 64), []
    for level in range(levels):
        step = 1 << level
        page = []
        for y in range(0, down, step):
            for x in range(0, across, step):
                part = pixels[y * tall : (y + step) * tall, x * wide : (x + step) * wide]
                part = np.pad(part, ((0, step * tall - len(part)), (0, step * wide - part.shape[1]), (0, 0)))
                data = _encoded(shrunk(part, tall, wide) if level else part, "PNG")
                page.append((y * across + x, len(blob), len(data), 0))
                blob += data
        pages.append(page)
    (folder / "Data0000.dat").write_bytes(blob)
    root = len(b"01.02" + name.encode())
    index = bytearray(b"01.02" + name.encode() + struct.pack("<2i", root + 8, 0))
    table = len(index)
    index += bytes(4 * levels)
    for level, page in enumerate(pages):
        struct.pack_into("<i", index, table + 4 * level, len(index))
        index += struct.pack("<2i", 0, len(index) + 8)
        index += struct.pack("<2i", len(page), 0) + b"".join(struct.pack("<4i", *entry) for entry in page)
    (folder / "Index.dat").write_bytes(index)
    sections = "".join(f"HIER_0_VAL_{k}_SECTION = LAYER_0_LEVEL_{k}_SECTION\n" for k in range(levels))
    text = (
        f"[GENERAL]\nSLIDE_ID = {name}\nIMAGENUMBER_X = {across}\nIMAGENUMBER_Y = {down}\n"
        "OBJECTIVE_MAGNIFICATION = 20\nCameraImageDivisionsPerSide = 1\n"
        f"[HIERARCHICAL]\nHIER_COUNT = 1\nNONHIER_COUNT = 0\nINDEXFILE = Index.dat\n"
        f"HIER_0_NAME = Slide zoom level\nHIER_0_COUNT = {levels}\n{sections}"
        "[DATAFILE]\nFILE_COUNT = 1\nFILE_0 = Data0000.dat\n"
    )
    for level in range(levels):
        text += (
            f"[LAYER_0_LEVEL_{level}_SECTION]\nOVERLAP_X = 0\nOVERLAP_Y = 0\n"
            f"MICROMETER_PER_PIXEL_X = {MPP * 2**level}\nMICROMETER_PER_PIXEL_Y = {MPP * 2**level}\n"
            f"IMAGE_FORMAT = PNG\nIMAGE_FILL_COLOR_BGR = 16777215\n"
            f"DIGITIZER_WIDTH = {wide}\nDIGITIZER_HEIGHT = {tall}\nIMAGE_CONCAT_FACTOR = {min(level, 1)}\n"
        )
    (folder / "Slidedat.ini").write_text("\ufeff" + text, encoding="utf-8")
    Image.fromarray(shrunk(pixels, max(height // 8, 8), max(width // 8, 8))).save(path, "JPEG")
    return path


class _DicomWriter:
    """Elements of DICOM in explicit little endian (PS3.5, section 7.1.2)."""

    LONG = ("OB", "OW", "SQ", "UN", "UT")

    def element(self, tag: tuple[int, int], kind: str, value: object) -> bytes:
        data = self._value(kind, value)
        head = struct.pack("<2H", *tag) + kind.encode()
        size = struct.pack("<2xI", len(data)) if kind in self.LONG else struct.pack("<H", len(data))
        return head + size + data

    def _value(self, kind: str, value: object) -> bytes:
        if isinstance(value, bytes):
            return value + b"\0" * (len(value) % 2)
        if kind in ("US", "UL", "FL"):
            return struct.pack({"US": "<H", "UL": "<I", "FL": "<f"}[kind], value)
        data = str(value).encode()
        return data + (b"\0" if kind == "UI" else b" ") * (len(data) % 2)

    def sequence(self, tag: tuple[int, int], *items: bytes) -> bytes:
        return self.element(
            tag, "SQ", b"".join(struct.pack("<2HI", 0xFFFE, 0xE000, len(item)) + item for item in items)
        )


def dicom(path: Path, pixels: np.ndarray, levels: int = 1, slide: str = "") -> Path:
    """A DICOM whole slide with uncompressed tiles: a file for each level, the finest under `path`."""
    series = f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, slide or path.name).int}"
    for level in range(levels):
        part = shrunk(pixels, pixels.shape[0] >> level, pixels.shape[1] >> level) if level else pixels
        file = path if level == 0 else path.with_stem(f"{path.stem}_{level}")
        file.write_bytes(_dicom_level(part, series, level))
    return path


def _dicom_level(pixels: np.ndarray, series: str, level: int, tile: int = 64) -> bytes:
    put = _DicomWriter()
    instance, whole = f"{series[:50]}.{level + 1}", "1.2.840.10008.5.1.4.1.1.77.1.6"
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % tile), (0, -width % tile), (0, 0)), constant_values=255)
    frames = [
        padded[y : y + tile, x : x + tile].tobytes()
        for y in range(0, padded.shape[0], tile)
        for x in range(0, padded.shape[1], tile)
    ]
    spacing = f"{MPP * 2**level / 1000:.6g}"
    measures = put.sequence((0x28, 0x9110), put.element((0x28, 0x30), "DS", f"{spacing}\\{spacing}"))
    meta = b"".join([
        put.element((2, 1), "OB", b"\0\1"), put.element((2, 2), "UI", whole), put.element((2, 3), "UI", instance),
        put.element((2, 0x10), "UI", "1.2.840.10008.1.2.1"), put.element((2, 0x12), "UI", "2.25.1"),
    ])  # fmt: skip
    body = [
        put.element((0x08, 0x08), "CS", "ORIGINAL\\PRIMARY\\VOLUME\\" + ("RESAMPLED" if level else "NONE")),
        put.element((0x08, 0x16), "UI", whole), put.element((0x08, 0x18), "UI", instance),
        put.element((0x20, 0x0D), "UI", f"{series[:50]}.9"), put.element((0x20, 0x0E), "UI", series),
        put.element((0x20, 0x9311), "CS", "TILED_FULL"),
        put.element((0x28, 0x02), "US", 3), put.element((0x28, 0x04), "CS", "RGB"), put.element((0x28, 0x06), "US", 0),
        put.element((0x28, 0x08), "IS", len(frames)), put.element((0x28, 0x10), "US", tile),
        put.element((0x28, 0x11), "US", tile), put.element((0x28, 0x100), "US", 8), put.element((0x28, 0x101), "US", 8),
        put.element((0x28, 0x102), "US", 7), put.element((0x28, 0x103), "US", 0),
        put.element((0x48, 0x06), "UL", width), put.element((0x48, 0x07), "UL", height),
        put.sequence((0x5200, 0x9229), measures), put.element((0x7FE0, 0x10), "OB", b"".join(frames)),
    ]  # fmt: skip
    return bytes(128) + b"DICM" + put.element((2, 0), "UL", len(meta)) + meta + b"".join(body)


def sakura(path: Path, pixels: np.ndarray, tile: int = 64) -> Path:
    """A Sakura slide: an SQLite file with a grey JPEG for each colour of each tile."""
    path.unlink(missing_ok=True)
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % tile), (0, -width % tile), (0, 0)), constant_values=255)
    with sqlite3.connect(path) as base:
        base.executescript(
            "CREATE TABLE DataManagerSQLiteConfigXPO (TableName TEXT); CREATE TABLE tiles (id TEXT, data BLOB);"
            "CREATE TABLE SVSlideDataXPO (OID INTEGER, SlideId TEXT, Date TEXT, Description TEXT, Creator TEXT,"
            " DiagnosisCode TEXT, Keywords TEXT);"
            "CREATE TABLE SVHRScanDataXPO (OID INTEGER, ParentSlide INTEGER, ScanId TEXT, Date TEXT, Description TEXT,"
            " Name TEXT, ResolutionMmPerPix REAL, NominalLensMagnification REAL, FocussingMethod TEXT);"
        )
        base.execute("INSERT INTO DataManagerSQLiteConfigXPO VALUES ('tiles')")
        base.execute("INSERT INTO SVSlideDataXPO VALUES (1, 's', 'd', '', '', '', '')")
        base.execute("INSERT INTO SVHRScanDataXPO VALUES (1, 1, 's', 'd', '', '', ?, 20, '')", (MPP / 1000,))
        header = struct.pack("<3I4xI", tile, width, height, 1)
        rows: list[tuple[str, object]] = [("++MagicBytes", "SVGigaPixelImage"), ("++VersionBytes", "1")]
        rows += [("Header", header)]
        for y in range(0, padded.shape[0], tile):
            for x in range(0, padded.shape[1], tile):
                for colour in range(3):
                    part = np.ascontiguousarray(padded[y : y + tile, x : x + tile, colour])
                    rows.append((f"T;{x}|{y};1;{colour};0", _encoded(part, "JPEG", quality=98)))
        base.executemany("INSERT INTO tiles VALUES (?, ?)", rows)
    base.close()
    return path


def vmu(path: Path, pixels: np.ndarray) -> Path:
    """A Hamamatsu VMU slide: two uncompressed images of 12 bits a colour, the slide and its overview."""
    height, width = pixels.shape[:2]
    for name, image in (
        (f"{path.stem}.ngr", pixels),
        (f"{path.stem}_map.ngr", shrunk(pixels, height // 4, width // 4)),
    ):
        tall, wide = image.shape[:2]
        head = b"GN\0\0" + struct.pack("<3i", wide, tall, wide) + bytes(8) + struct.pack("<i", 28)
        (path.parent / name).write_bytes(head + (image.astype("<u2") << 4).tobytes())
    path.write_text(
        "[Uncompressed Virtual Microscope Specimen]\nNoLayers=1\n"
        f"ImageFile={path.stem}.ngr\nMapFile={path.stem}_map.ngr\nMacroImage={path.stem}_macro.jpg\n"
        f"BitsPerPixel=36\nPixelOrder=RGB\nSourceLens=20\n"
        f"PhysicalWidth={round(width * MPP * 1000)}\nPhysicalHeight={round(height * MPP * 1000)}\n"
    )
    Image.fromarray(shrunk(pixels, 32, 32)).save(path.parent / f"{path.stem}_macro.jpg", "JPEG")
    return path


def _segment(name: bytes, data: bytes) -> bytes:
    data += bytes(-len(data) % 32)
    return name.ljust(16, b"\0") + struct.pack("<2q", len(data), len(data)) + data


def zeiss(path: Path, pixels: np.ndarray, tile: int = 128, compression: int = 0) -> Path:
    """A Zeiss CZI with uncompressed tiles of 24 bits, from the published layout of its segments."""
    height, width = pixels.shape[:2]
    blob, entries = bytearray(_segment(b"ZISRAWFILE", bytes(512))), []
    for number, (y, x) in enumerate((y, x) for y in range(0, height, tile) for x in range(0, width, tile)):
        part = np.ascontiguousarray(pixels[y : y + tile, x : x + tile, ::-1])
        sizes = [(b"X", x, part.shape[1]), (b"Y", y, part.shape[0]), (b"C", 0, 1), (b"S", 0, 1), (b"M", number, 1)]
        entry = struct.pack("<2siqiib5xi", b"DV", 3, len(blob), 0, compression, 0, len(sizes))
        entry += b"".join(struct.pack("<4s2ifi", name, at, size, 0, size) for name, at, size in sizes)
        entries.append(entry)
        head = struct.pack("<2iq", 0, 0, part.nbytes) + entry
        blob += _segment(b"ZISRAWSUBBLOCK", head.ljust(256, b"\0") + part.tobytes())
    places = [len(blob)]
    listed = struct.pack("<i", len(entries)) + bytes(124) + b"".join(entries)
    blob += b"ZISRAWDIRECTORY".ljust(16, b"\0") + struct.pack("<2q", len(listed), len(listed)) + listed
    places.append(len(blob))
    xml = (
        f"<ImageDocument><Metadata><Information><Image><SizeX>{width}</SizeX><SizeY>{height}</SizeY><SizeS>1</SizeS>"
        '</Image></Information><Scaling><Items><Distance Id="X"><Value>5e-07</Value></Distance>'
        '<Distance Id="Y"><Value>5e-07</Value></Distance></Items></Scaling></Metadata></ImageDocument>'
    ).encode()
    blob += _segment(b"ZISRAWMETADATA", struct.pack("<2i", len(xml), 0) + bytes(248) + xml)
    places.append(len(blob))
    blob += _segment(b"ZISRAWATTDIR", struct.pack("<i", 0) + bytes(252))
    file_id = uuid.uuid5(uuid.NAMESPACE_OID, path.name).bytes
    header = struct.pack("<4i16s16si2qiq", 1, 0, 0, 0, file_id, file_id, 0, places[0], places[1], 0, places[2])
    blob[32 : 32 + len(header)] = header
    path.write_bytes(blob)
    return path


def laid_out(pixels: np.ndarray, tile: int, overlap: int) -> np.ndarray:
    """Cut tiles that overlap by some pixels, and lay them side by side as a file keeps them."""
    step = tile - overlap
    down, across = (max(-(-(size - overlap) // step), 1) for size in pixels.shape[:2])
    padded = np.pad(pixels, ((0, tile), (0, tile), (0, 0)), constant_values=255)
    rows = [
        np.hstack([padded[y * step : y * step + tile, x * step : x * step + tile] for x in range(across)])
        for y in range(down)
    ]
    height, width = pixels.shape[0] + (down - 1) * overlap, pixels.shape[1] + (across - 1) * overlap
    return np.vstack(rows)[:height, :width]


def trestle(path: Path, pixels: np.ndarray, overlap: int = 8) -> Path:
    """A Trestle slide, whose tiles overlap."""
    text = f"Background Color=ffffff;White Balance=1;Objective Power=20;OverlapsXY= {overlap} {overlap};"
    whole = laid_out(pixels, 64, overlap)
    return tiff(path, whole, software="MedScan", description=text, resolution=(MPP, MPP))  # um a pixel
