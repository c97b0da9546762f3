"""OME-Zarr 0.4 and 0.5: slides in a folder or a zip file of chunks."""

from __future__ import annotations

import asyncio
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import ZipStore

from napari_nh2st.errors import OtherImage, SlideError
from napari_nh2st.slide_path import address_of
from napari_nh2st.slides.chunks import as_array
from napari_nh2st.slides.companions import ZARR_MARKS, SlideFiles
from napari_nh2st.slides.damage import Damage, damage_of
from napari_nh2st.slides.deep_colour import Depth, settle_depth, spread_over
from napari_nh2st.slides.file import SlideFile, fingerprint
from napari_nh2st.slides.mpp import UNITS, UNKNOWN, Mpp, judge
from napari_nh2st.slides.picture import Picture, choose_picture, left_out
from napari_nh2st.slides.picture_rules import PictureFacts, picture_warnings, refuse_picture
from napari_nh2st.slides.remote import RemoteFile, zarr_store
from napari_nh2st.slides.source import Format, OtherFormatError, Rgb, Source, refuse_size

SAMPLES = 16  # parts of level 0 that go into the fingerprint
# OME-NGFF 0.4, section "axes": names of units as UDUNITS-2 writes them
LENGTHS = UNITS | {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}
# Colours of the channels of an RGB image, as programs write them beside it
RED_GREEN_BLUE = ("FF0000", "00FF00", "0000FF")
OURS, SPATIALDATA = "nh2st", "spatialdata_attrs"  # attributes of an exported prediction, and of a SpatialData store


class ZarrLevel:
    """A level of an OME-Zarr image, with its axes in any order, as a `ChunkReader`.

    Parameters
    ----------
    array : zarr.Array
        uint8 or uint16.
    axes : str
        A letter for each dimension: "tczyx", or some of them.
    index : int
        0 is the finest level.
    """

    def __init__(self, array: zarr.Array[Any], axes: str, index: int) -> None:
        self._array, self._axes, self._index = array, axes, index
        sizes = dict(zip(axes, array.shape, strict=True))
        chunks = dict(zip(axes, array.shards or array.chunks, strict=True))
        self.shape = (sizes["y"], sizes["x"])
        self.channels = sizes.get("c", 1)
        self.chunk = (chunks["y"], chunks["x"])
        self._damage: Damage | None = None
        self._deep: Depth | None = None

    def depth(self) -> Depth | None:
        """Find out how many of 16 bits are used (see `DeepLevel`)."""
        if self._array.dtype.itemsize == 1:
            return None
        grid = (-(-size // chunk) for size, chunk in zip(self.shape, self.chunk, strict=True))
        read = (asyncio.run(self._fetch(row, column)) for row, column in spread_over(*grid))
        return Depth.of(None, (chunk for chunk in read if chunk is not None))

    def show_by(self, depth: Depth) -> None:
        """Scale samples of 16 bits (see `DeepLevel`)."""
        self._deep = depth

    def enter_damage(self, damage: Damage, downsample: tuple[float, float]) -> None:
        """Report chunks that cannot be decoded, as they are met."""
        damage.add_chunks(self._index, self.shape, self.chunk, downsample)
        self._damage = damage

    def read_chunk(self, row: int, column: int) -> Rgb | None:
        """Return one chunk (see `ChunkReader`).

        In an event loop of its own: this may run in a thread that Zarr's loop waits for.
        """
        got = asyncio.run(self._fetch(row, column))
        if got is None:
            return None
        rgb = got if self._deep is None else self._deep.to_eight(got)
        out = np.full((*self.chunk, 3), 255, np.uint8)
        out[: rgb.shape[0], : rgb.shape[1]] = rgb
        return out

    async def _fetch(self, row: int, column: int) -> npt.NDArray[Any] | None:
        """Return the samples of a chunk, cut at the image's edge, (h, w, 3)."""
        top, left = row * self.chunk[0], column * self.chunk[1]
        part = {
            "y": slice(top, min(top + self.chunk[0], self.shape[0])),
            "x": slice(left, min(left + self.chunk[1], self.shape[1])),
            "c": slice(0, 3),
        }
        try:
            got = np.asarray(await self._array.async_array.getitem(tuple(part.get(axis, 0) for axis in self._axes)))
        except Exception as error:  # each codec has its own kinds of error; all mean the same here
            if self._damage is not None:
                self._damage.found(self._index, row, column, error)
            return None
        if not got.any():  # a chunk that is not there is glass, as scanners leave it out
            return None
        rest = "".join(axis for axis in self._axes if axis in "yxc")
        rgb = got.transpose([rest.index(axis) for axis in "yxc" if axis in rest])
        return np.broadcast_to(rgb.reshape(*rgb.shape[:2], -1), (*rgb.shape[:2], 3))


@dataclass(frozen=True)
class _Image:
    """One multiscale image of a store: its group, its axes, and what is said of its levels."""

    group: zarr.Group
    axes: str
    units: Mapping[str, str]
    levels: Sequence[zarr.Array[Any]]
    scale: Sequence[float]
    about: Mapping[str, Any]
    name: str

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the finest level."""
        sizes = dict(zip(self.axes, self.levels[0].shape, strict=True))
        return sizes["y"], sizes["x"]


def open_zarr(path: Path, number: int | None = None) -> Source:
    """Open an OME-Zarr image by its metadata file or its zip file (see `Format.open`)."""
    zipped, remote = path.name not in ZARR_MARKS, address_of(path) is not None
    if zipped and (remote or not is_zipped_zarr(path)):
        raise OtherFormatError("not the metadata of a Zarr folder")
    folder = path if zipped else path.parent
    away = RemoteFile(path) if remote else None  # it tells what is wrong with an address
    store = ZipStore(path, mode="r") if zipped else zarr_store(folder)
    try:
        images = _images(zarr.open_group(store, mode="r"))
        if not images:
            raise OtherImage("it has no image (no multiscales in its metadata)")
        others = [] if zipped or remote else _metadata_files(folder, images)
    except SlideError as error:
        raise type(error)(f"{folder} is no slide: {error}") from error
    except Exception as error:  # metadata that breaks any line of a parser
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise SlideError(f"{folder} is a damaged OME-Zarr image: its metadata cannot be read ({reason})") from error
    file = SlideFiles(path, others) if away is None else away
    try:
        return _source(file, folder, images, number)
    except BaseException:
        file.close()
        raise


def _source(file: SlideFile, folder: Path, images: Sequence[_Image], number: int | None) -> Source:
    listed = [Picture(n, image.shape, image.name) for n, image in enumerate(images, 1)]
    opened = choose_picture(listed, number, folder)
    image = images[opened.number - 1]
    levels = [ZarrLevel(array, image.axes, index) for index, array in enumerate(image.levels)]
    facts = _facts(image, levels[0])
    try:
        refuse_picture(facts)
    except SlideError as error:
        raise type(error)(f"{folder}: {error}") from error
    _refuse_channels(image, folder)
    shape = levels[0].shape
    refuse_size(folder, shape)
    rule = settle_depth(levels)
    arrays = [as_array(level) for level in levels]
    return Source(
        file=file,
        shape=shape,
        levels=arrays,
        mpp=_mpp(image),
        fingerprint=fingerprint(file, shape, _sample(arrays[0])),
        damage=damage_of(levels),
        warnings=[
            *(left_out(listed, opened, folder) if number is None else []),
            *picture_warnings(facts),
            *rule,
            *_planes(image),
        ],
        pictures=listed,
        picture=opened.number,
    )


def is_zipped_zarr(path: Path) -> bool:
    """Tell whether a file is a zip archive with a Zarr group at its root."""
    try:
        with zipfile.ZipFile(path) as archive:
            return bool(set(ZARR_MARKS) & set(archive.namelist()))
    except (OSError, zipfile.BadZipFile):
        return False


def _images(root: zarr.Group) -> list[_Image]:
    """List the images of a store: the root itself, the series that Bio-Formats wrote into it, or those of SpatialData.

    Raises
    ------
    OtherImage
        If it is something else; it says what.
    """
    said = _about(root)
    if SPATIALDATA in root.attrs:
        inside = root.get("images")
        groups = list(inside.groups()) if isinstance(inside, zarr.Group) else []
        return [_image(group, _about(group), name) for name, group in groups]
    if OURS in root.attrs:
        raise OtherImage("it is a prediction that was exported, not a slide")
    if "plate" in said:
        raise OtherImage("it is a plate of many fields: open one of its images")
    if "multiscales" in said:
        return [_image(root, said)]
    series = said.get("series") or _about(root.get("OME")).get("series") or []
    names = series or _numbered(root)
    members = [(str(name), root.get(_inside(name))) for name in names]
    return [
        _image(member, _about(member), name)
        for name, member in members
        if isinstance(member, zarr.Group) and "multiscales" in _about(member)
    ]


def _numbered(root: zarr.Group) -> list[str]:
    """List the groups whose names are numbers; a web server that lists no folders is asked for them one by one."""
    try:
        return sorted((name for name in root.group_keys() if name.isdigit()), key=int)
    except Exception:  # each store has its own kinds of error
        return list(takewhile(lambda name: isinstance(root.get(name), zarr.Group), map(str, count())))


def _about(group: Any) -> dict[str, Any]:
    """Return what OME-NGFF says of a group: in version 0.5 under `ome`, before that beside other attributes."""
    if not isinstance(group, zarr.Group):
        return {}
    attributes: dict[str, Any] = dict(group.attrs)
    return dict(attributes.get("ome", attributes))


def _inside(name: object) -> str:
    """Return the path of a part of a store; nothing outside it is followed."""
    text = str(name)
    if text.startswith("/") or ".." in text.split("/") or "\\" in text:
        raise SlideError(f"it names a part outside itself ({text[:80]!r})")
    return text


def _image(group: zarr.Group, said: Mapping[str, Any], name: str = "") -> _Image:
    multiscale = said["multiscales"][0]
    axes = [{"name": axis} if isinstance(axis, str) else axis for axis in multiscale.get("axes", "tczyx")]
    letters = "".join(str(axis["name"]) for axis in axes)
    arrays = [group[_inside(dataset["path"])] for dataset in multiscale["datasets"]]
    if not {"y", "x"} <= set(letters) <= set("tczyx") or not all(isinstance(array, zarr.Array) for array in arrays):
        raise SlideError(f"its axes are {letters!r}, and not among tczyx: save it with these")
    units = {str(axis["name"]): str(axis.get("unit", "")) for axis in axes}
    scale = np.ones(len(letters))
    for step in (
        *multiscale["datasets"][0].get("coordinateTransformations", ()),
        *multiscale.get("coordinateTransformations", ()),
    ):
        if step.get("type") == "scale":
            scale = scale * np.asarray(step["scale"], dtype=float)
    named = str(multiscale.get("name") or name)
    return _Image(group, letters, units, arrays, scale.tolist(), said, "" if named == "/" else named)  # type: ignore[arg-type]


def _facts(image: _Image, level: ZarrLevel) -> PictureFacts:
    numbers = image.levels[0].dtype
    kind = "grey" if level.channels == 1 else "rgb"
    return PictureFacts(kind=kind, channels=level.channels, bits=8 * numbers.itemsize, numbers=numbers.name)


def _refuse_channels(image: _Image, folder: Path) -> None:
    """Refuse three channels that are stains of fluorescence: their colours say so, where there are any."""
    channels = (image.about.get("omero") or {}).get("channels") or []
    colours = tuple(str(channel.get("color", "")).upper() for channel in channels)
    if len(colours) >= 3 and all(colours) and colours[:3] != RED_GREEN_BLUE:
        raise OtherImage(f"{folder} holds {len(colours)} separate channels, not colour: convert it to 8-bit RGB")


def _planes(image: _Image) -> list[str]:
    sizes = dict(zip(image.axes, image.levels[0].shape, strict=True))
    planes = math.prod(size for axis, size in sizes.items() if axis in "tz")
    return (
        [f"the file holds {planes} planes of this image (axes {image.axes}); the first is shown"] if planes > 1 else []
    )


def _mpp(image: _Image) -> Mpp:
    sizes, units = dict(zip(image.axes, image.scale, strict=True)), [image.units.get(axis, "") for axis in "xy"]
    if not any(units):
        return UNKNOWN
    unknown = [unit for unit in units if unit not in LENGTHS]
    if unknown:
        return Mpp(None, "none", f'gives the size of its pixels in "{unknown[0][:20]}", not a unit of length')
    return judge(sizes["x"] * LENGTHS[units[0]], sizes["y"] * LENGTHS[units[1]], "ome")


def _sample(level: zarr.Array[Any]) -> bytes:
    """Read small parts of the finest level, spread over it: the metadata of two slides may be the same."""
    height, width = level.shape[:2]
    side = int(math.sqrt(SAMPLES))
    parts = []
    for y in np.linspace(0, max(height - 8, 0), side).astype(int):
        for x in np.linspace(0, max(width - 8, 0), side).astype(int):
            parts.append(np.asarray(level[int(y) : int(y) + 8, int(x) : int(x) + 8]).tobytes())
    return b"".join(parts)


def _metadata_files(folder: Path, images: Sequence[_Image]) -> list[Path]:
    """List the metadata of the levels, so that a store that is written anew is noticed."""
    levels = [folder / array.path for image in images for array in image.levels]
    return [file for level in levels for name in ("zarr.json", ".zarray") if (file := level / name).is_file()]


FORMATS = [Format("ome-zarr", (".zarr", ".ozx"), "OME-Zarr, a folder or a zip file", open_zarr, open_zarr, remote=True)]
