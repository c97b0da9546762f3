"""Small slides of every kind, written for a test."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from support import scanners
from support.pictures import picture, shrunk, tiff

APERIO = "Aperio Image Library v11.2.1\r\n{w}x{h} (64x64) JPEG/RGB Q=30|AppMag = 20|MPP = {mpp}"


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


def philips(path: Path, pixels: np.ndarray, spacing: str = "0.0005", levels: int = 2) -> Path:
    """A Philips TIFF: levels padded to whole tiles, each with its pixel spacing in the XML of the first page."""

    def attribute(n: int) -> str:
        size = spacing if n == 0 else f"{0.0005 * 2**n:.6f}"
        value = f"&quot;{size}&quot; &quot;{size}&quot;"
        return (
            '<DataObject ObjectType="PixelDataRepresentation">'
            f'<Attribute Name="DICOM_PIXEL_SPACING" PMSVR="IDoubleArray">{value}</Attribute></DataObject>'
        )

    about = "".join(attribute(n) for n in range(levels))
    xml = f'<DataObject ObjectType="DPUfsImport"><Attribute Name="A">{about}</Attribute></DataObject>'
    options = {"tile": (64, 64), "photometric": "rgb", "metadata": None, "software": "Philips DP v1.0"}
    height, width = pixels.shape[:2]
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, description=xml, **options)
        for n in range(1, levels):
            small = shrunk(pixels, height >> n, width >> n)
            pad = [(0, -small.shape[0] % 64), (0, -small.shape[1] % 64), (0, 0)]
            file.write(np.pad(small, pad), description="", **options)
    return path


def leica(path: Path, pixels: np.ndarray, nm: float = 500, macro: bool = True) -> Path:
    """A Leica SCN: a macro photograph of the whole glass, and one scanned area."""
    height, width = pixels.shape[:2]
    glass = shrunk(pixels[::-1], 40, 120)

    def image(name: str, ifd: int, shape: tuple[int, ...], view: tuple[float, float]) -> str:
        size = f'sizeX="{shape[1]}" sizeY="{shape[0]}"'
        seen = f'<view sizeX="{view[0]:g}" sizeY="{view[1]:g}" offsetX="0" offsetY="0"/>'
        return f'<image name="{name}"><pixels {size}><dimension r="0" ifd="{ifd}" {size}/></pixels>{seen}</image>'

    whole = (120 * 16000.0, 40 * 16000.0)
    images = image("image_0", 0, glass.shape, whole) if macro else ""
    images += image("image_1", int(macro), pixels.shape, (width * nm, height * nm))
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection sizeX="{whole[0]:g}" sizeY="{whole[1]:g}">{images}</collection></scn>'
    )
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for n, part in enumerate((glass, pixels) if macro else (pixels,)):
            file.write(part, tile=(64, 64), photometric="rgb", metadata=None, description=xml if n == 0 else "")
    return path


def ventana(
    path: Path, pixels: np.ndarray, joints: list[tuple[int, int]] | None = None, scan: str = "0.465", further: str = ""
) -> Path:
    """A Ventana BIF, or the TIFF that its scanner exports; `joints` are the overlaps of joined tiles."""
    told = "".join(
        f'<TileJointInfo FlagJoined="1" Direction="RIGHT" OverlapX="{x}" OverlapY="{y}"/>'
        for x, y in joints or [(0, 0)]
    )
    xml = (
        f'<EncodeInfo Ver="2"><SlideInfo><iScan ScanRes="{scan}" Magnification="20"/></SlideInfo>'
        f'<SlideStitchInfo><ImageInfo AOIScanned="1">{told}{further}</ImageInfo></SlideStitchInfo></EncodeInfo>'
    ).encode()
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "extratags": [(700, "B", len(xml), xml, True)]}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(picture(40, 50, seed=9), description="Label Image", software="ScanOutputManager 1.1", **options)
        file.write(pixels, tile=(64, 64), description="level=0 mag=20 quality=90", **options)
    return path


def ome_zarr(
    path: Path, pixels: np.ndarray, version: str = "0.5", levels: int = 1, axes: str = "cyx", **more: Any
) -> Path:
    """An OME-Zarr image in a folder; where a level has too few pixels for a chunk, one chunk holds it."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for level in range(levels):
        part = shrunk(pixels, pixels.shape[0] >> level, pixels.shape[1] >> level) if level else pixels
        data = part.transpose([("yxc").index(axis) for axis in axes if axis in "yxc"])
        data = data.reshape([part.shape["yxc".index(axis)] if axis in "yxc" else 1 for axis in axes])
        array = group.create_array(
            str(level),
            shape=data.shape,
            chunks=tuple(min(64, size) if axis in "yx" else 1 for axis, size in zip(axes, data.shape, strict=True)),
            dtype=data.dtype,
            **({"chunk_key_encoding": {"name": "v2", "separator": "/"}} if version == "0.4" else {}),
        )
        array[:] = data
        scale = [0.5 * 2**level if axis in "yx" else 1.0 for axis in axes]
        transform = {"type": "scale", "scale": scale}
        datasets.append({"path": str(level), "coordinateTransformations": [transform]})
    kinds = {"c": {"type": "channel"}, "t": {"type": "time"}}
    space = {"type": "space", "unit": "micrometer"}
    told = {
        "multiscales": [
            {"axes": [{"name": axis, **kinds.get(axis, space)} for axis in axes], "datasets": datasets, "name": "/"}
        ],
        **more,
    }
    group.attrs.update(told if version == "0.4" else {"ome": {"version": version, **told}})
    return path


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
    "philips": (philips, ".tiff"),
    "leica": (leica, ".scn"),
    "ventana": (lambda path, pixels: ventana(path, pixels, scan="0.5"), ".bif"),
    "tiff": (generic, ".tiff"),
    "mirax": (scanners.mirax, ".mrxs"),
    "dicom": (scanners.dicom, ".dcm"),
    "zeiss": (scanners.zeiss, ".czi"),
    "sakura": (scanners.sakura, ".svslide"),
    "hamamatsu": (scanners.vmu, ".vmu"),
    "trestle": (scanners.trestle, ".tif"),
    "ome-zarr": (ome_zarr, ".ome.zarr"),
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
