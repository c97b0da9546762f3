"""Elements of a SpatialData store: where its shapes, points and labels lie, and on which of its images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError, one_line
from napari_nh2st.expression.apart import read_apart
from napari_nh2st.expression.frame import FRAME
from napari_nh2st.expression.parquet_file import NEEDS, can_read_parquet
from napari_nh2st.expression.pool import MPP
from napari_nh2st.expression.transform import NOWHERE_ELSE, Transform
from napari_nh2st.reading import read_json

KINDS = ("shapes", "points", "labels")
"""What a table may be about, by the folders in which they lie."""

_META = ("zarr.json", ".zattrs")
_MOST = 16 << 20  # bytes of a group's facts
GLOBAL = "global"
"""The coordinate system that is taken of several."""

_UM = ("micrometer", "micrometre", "um", "µm", "micron")
_TOUCH = 0.9  # of their distance: circles that are as wide touch, and are bins
_ON_ONE_ANOTHER = 0.2  # of the smaller of two: fields of view share less, sections far more
_SAME, _AS_MANY, _ASKED = 0.9, 0.05, 5000  # parts of an image, and of the places; places that are asked for
_COLOUR = ("u1", "u2", "uint8", "uint16")  # endings of the types of pixels that a slide may have


class Places:
    """Centres (n, 2) of shapes, points or labels in their own coordinates, their names, and radii of circles."""

    def __init__(
        self,
        names: Sequence[str],
        centres: npt.NDArray[np.float64],
        radius: npt.NDArray[np.float64] | None,
    ) -> None:
        self.names, self.centres, self.radius = list(names), centres, radius

    def unit(self) -> str:
        """Say what they are: cells; bins, which are circles of one size that touch; or spots, "", with gaps between."""
        if self.radius is None or len(self.radius) < 2 or np.ptp(self.radius) > 1e-6 * self.radius.max():
            return "cells"
        from scipy.spatial import cKDTree

        apart = float(np.median(cKDTree(self.centres).query(self.centres, 2)[0][:, 1]))
        return "" if 2 * self.radius[0] < _TOUCH * apart else "bins"


@dataclass(frozen=True)
class OnImage:
    """Where a coordinate system lies on the image of its store.

    Attributes
    ----------
    transform : Transform
        From the system to pixels of the image; nothing is moved where there is no image.
    facts : dict
        What is known of that image, for ``uns``.
    image : Path or None
        The image; None where there is none, or only a picture that was made smaller.
    """

    transform: Transform
    facts: dict[str, Any]
    image: Path | None = None


@dataclass(frozen=True)
class _Image:
    """An image of three channels in a coordinate system: `transform` leads there, `size` is (height, width)."""

    path: Path
    size: tuple[int, int]
    transform: Transform

    def box(self) -> npt.NDArray[np.float64]:
        return _box(self.size, self.transform)

    def share_of(self, places: npt.NDArray[np.float64]) -> float:
        """Return the part of places (n, 2) of the system that lie on it."""
        x, y = self.transform.inverse.place(places).T
        return float(((x >= 0) & (y >= 0) & (x <= self.size[1]) & (y <= self.size[0])).mean())


def find_element(store: Path, region: str) -> Path | None:
    """Return the folder of the shapes, points or labels of this name; None where the store has none."""
    folders = (store / kind / region for kind in KINDS)
    return next((f for f in folders if is_group(f) and f.parent.parent == store), None)


def places_of(element: Path, wanted: Iterable[str]) -> Places:
    """Read the centres of shapes or points, or of the wanted labels.

    Raises
    ------
    SampleError
        If the element is damaged, or of a kind that is not read.
    """
    if element.parent.name == "labels":
        from napari_nh2st.expression.label_image import label_centres

        return Places(*label_centres(element, _multiscale(element) or {}, wanted), None)
    return _shapes(element)


def _shapes(element: Path) -> Places:
    from napari_nh2st.expression import shapes_file
    from napari_nh2st.expression.zarr_table import arrays_of

    parquet = element / f"{element.parent.name}.parquet"
    if parquet.exists():
        if not can_read_parquet():
            raise SampleError(NEEDS.format(parquet))
        parts = sorted(parquet.glob("*.parquet")) if parquet.is_dir() else [parquet]
        read = [read_apart("shapes", part)[1] for part in parts]
        if not read:
            raise SampleError(f"{parquet} is empty")
        columns = {name: np.concatenate([r[name] for r in read]) for name in read[0]}
        names, radius = columns[shapes_file.INDEX], columns.get(shapes_file.RADIUS)
        centres = np.stack([columns[shapes_file.X], columns[shapes_file.Y]], axis=1)
    else:  # of the first versions
        arrays = arrays_of(element, ("coords", "Index", "radius"))
        if not {"coords", "Index"} <= set(arrays):
            raise SampleError(f"{element} lacks {parquet.name}")
        if "radius" not in arrays:
            raise SampleError(f"{element} holds polygons of an old version: open and save the store with spatialdata")
        names, centres, radius = arrays["Index"], arrays["coords"].astype(np.float64), arrays["radius"]
    if centres.ndim != 2 or centres.shape[1] < 2 or len(centres) != len(names):
        raise SampleError(f"{element} is damaged: {len(names):,} names, but centres of the shape {centres.shape}")
    texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in names.tolist()]
    return Places(texts, centres[:, :2], None if radius is None else radius.astype(np.float64))


def fields_of_view(store: Path, regions: Sequence[str]) -> list[Path]:
    """Return the label images of regions that are parts of one section; none where they are sections of their own.

    Parts lie side by side in one coordinate system, as the fields of view of CosMx.
    """
    found = [find_element(store, region) for region in regions]
    parts = [element for element in found if element is not None and element.parent.name == "labels"]
    if len(parts) < len(regions) or len(parts) < 2 or not _shared(parts):
        return []
    system = system_of(store, parts)
    boxes = np.array([_box(_label_size(part), placed(part, system)[0]) for part in parts])
    low, high = boxes[:, :2], boxes[:, 2:]
    area = np.prod(high - low, axis=1)
    for i in range(1, len(boxes)):
        sides = np.minimum(high[i], high[:i]) - np.maximum(low[i], low[:i])
        if (np.prod(np.maximum(sides, 0), axis=1) > _ON_ONE_ANOTHER * np.minimum(area[i], area[:i])).any():
            return []
    return parts


def system_of(store: Path, elements: Sequence[Path]) -> str:
    """Choose a coordinate system of elements: the global one, else that of most images, else the finest.

    Raises
    ------
    SampleError
        If they share none.
    """
    names = _shared(elements)
    if GLOBAL in names or not names:
        return GLOBAL  # where there is none, `placed` says so
    images = [_steps(image) for image in _colour_images(store)] if len(names) > 1 else []
    shown = {name: sum(name in steps for steps in images) for name in names}
    most = [name for name in names if shown[name] == max(shown.values())]
    return most[0] if len(most) == 1 else max(most, key=lambda name: placed(elements[0], name)[0].scale)


def _shared(elements: Sequence[Path]) -> list[str]:
    steps = [_steps(element) for element in elements]
    return [name for name in steps[0] if all(name in others for others in steps)]


def on_image(store: Path, system: str, unit: str, places: Callable[[], npt.NDArray[np.float64]]) -> OnImage:
    """Lay a coordinate system on the finest image of three channels in it that shows the places.

    A picture that was made smaller, as Space Ranger's, has the pixels of the full image as coordinate system: these
    are kept then.

    Parameters
    ----------
    unit : str
        Of the system.
    places : callable
        Returns places (n, 2) in the system; asked only where its images show different parts.
    """
    facts: dict[str, Any] = {MPP: 1.0} if unit.casefold() in _UM else {}
    images = [
        _Image(path, size, placed(path, system)[0])
        for path, size in _colour_images(store).items()
        if system in _steps(path)
    ]
    if len(images) > 1 and not _alike(images):
        asked = places()
        shares = [image.share_of(asked[:: max(1, len(asked) // _ASKED)]) for image in images]
        images = [i for i, share in zip(images, shares, strict=True) if share >= max(0.5, max(shares) - _AS_MANY)]
    if not images:
        return OnImage(NOWHERE_ELSE, facts)
    image = min(images, key=lambda found: found.transform.scale)
    scale, (height, width) = image.transform.scale, image.size
    (a, b, c), (d, e, f) = image.transform.matrix
    smaller = scale >= 1 and abs(a - e) < 1e-6 * a and not (b or c or d or f)
    if smaller and not (scale > 1 and MPP in facts):
        facts[FRAME] = {"shape": (height * e, width * a), "within": 0.5 * scale}
        return OnImage(NOWHERE_ELSE, facts, None if scale > 1 else image.path)
    facts[FRAME] = {"shape": (float(height), float(width)), "within": 0.5}
    if MPP in facts:
        facts[MPP] = scale
    return OnImage(image.transform.inverse, facts, image.path)


def _alike(images: Sequence[_Image]) -> bool:
    """Tell whether all images show the same part of a system, to a tenth of the largest."""
    boxes = np.array([image.box() for image in images])
    common = np.prod(np.maximum(boxes[:, 2:].min(axis=0) - boxes[:, :2].max(axis=0), 0))
    return bool(common >= _SAME * np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).max())


def _box(size: tuple[int, int], transform: Transform) -> npt.NDArray[np.float64]:
    """Return the smallest box (left, top, right, bottom) of a system around an image of that height and width."""
    height, width = size
    corners = transform.place(np.array([(0, 0), (width, 0), (0, height), (width, height)], dtype=np.float64))
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def outline(element: Path, system: str) -> npt.NDArray[np.float64]:
    """Return places (n, 2) of a system over which an element lies: its own, or a lattice over a label image."""
    if element.parent.name == "labels":
        height, width = _label_size(element)
        lattice = np.stack(np.meshgrid(*(np.linspace(0, side, 12) for side in (width, height))), axis=-1)
        return placed(element, system)[0].place(lattice.reshape(-1, 2))
    return placed(element, system)[0].place(places_of(element, ()).centres)


def _label_size(element: Path) -> tuple[int, int]:
    """Return height and width of a label image."""
    shape = _level(element).get("shape")
    if not isinstance(shape, list) or len(shape) < 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise SampleError(f"{element} is damaged: it does not say how large it is")
    return shape[-2], shape[-1]


def _multiscale(element: Path) -> dict[str, Any] | None:
    """Return what OME-NGFF 0.4 or 0.5 says of an image's levels; None for what is no image."""
    about = attributes(element)
    about = about.get("ome", about)
    scales = about.get("multiscales") if isinstance(about, dict) else None
    return scales[0] if isinstance(scales, list) and scales and isinstance(scales[0], dict) else None


def _steps(element: Path) -> dict[str, Any]:
    """Return the transformations of an element by the names of the coordinate systems to which they lead."""
    source = _multiscale(element)
    steps = (attributes(element) if source is None else source).get("coordinateTransformations")
    return {
        str(step["output"].get("name")): step
        for step in (steps if isinstance(steps, list) else [])
        if isinstance(step, dict) and isinstance(step.get("output"), dict)
    }


def placed(element: Path, system: str) -> tuple[Transform, str]:
    """Return the map from an element to a coordinate system, and the unit of the system.

    Raises
    ------
    SampleError
        If there is none that can be read.
    """
    step = _steps(element).get(system)
    if step is None:
        raise SampleError(f"{element} does not say where it lies: it has no transform to {one_line(system, 40)}")
    try:
        matrix = _matrix(step)
        units = {str(axis.get("unit", "")) for axis in step["output"].get("axes", ()) if axis.get("name") in ("x", "y")}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise SampleError(f"{element}: its transform to {one_line(system, 40)} cannot be read") from error
    return Transform.of(matrix), units.pop() if len(units) == 1 else ""


def _matrix(step: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """Return the matrix (3, 3) of x and y of a transformation, as NGFF 0.5-dev writes it and SpatialData stores it."""
    kind = step["type"]
    if kind == "sequence":
        matrix = np.eye(3)
        for part in step["transformations"]:
            matrix = _matrix(part) @ matrix
        return matrix
    out = np.eye(3)
    if kind == "identity":
        return out
    into, of = ([axis["name"] for axis in step[end]["axes"]] for end in ("input", "output"))
    columns, rows = [into.index("x"), into.index("y")], [of.index("x"), of.index("y")]
    if kind == "scale":
        out[[0, 1], [0, 1]] = [step["scale"][i] for i in columns]
    elif kind == "translation":
        out[:2, 2] = [step["translation"][i] for i in columns]
    elif kind == "affine":
        affine = np.asarray(step["affine"], dtype=np.float64)
        out[:2] = affine[np.ix_(rows, [*columns, affine.shape[1] - 1])]
    else:
        raise SampleError(f"a transform of the kind {one_line(kind, 40)} is not read")
    return out


def may_be_slide(image: Path) -> bool:
    """Tell whether the pixels of an image are such as those of a slide: whole numbers of 8 or 16 bits."""
    about = _level(image)
    return str(about.get("data_type", about.get("dtype"))).endswith(_COLOUR)


def _colour_images(store: Path) -> dict[Path, tuple[int, int]]:
    """Return the images of three channels of a store, with height and width."""
    folder = store / "images"
    there = [image for image in sorted(folder.iterdir()) if is_group(image)] if folder.is_dir() else []
    return {image: size for image in there if (size := _size(image)) is not None}


def _size(image: Path) -> tuple[int, int] | None:
    """Return height and width of an image of three channels; None for any other."""
    try:
        axes = [axis["name"] for axis in (_multiscale(image) or {})["axes"]]
        sizes = dict(zip(axes, map(int, _level(image)["shape"]), strict=True))
        return (sizes["y"], sizes["x"]) if sizes.get("c") == 3 else None
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _level(image: Path) -> dict[str, Any]:
    """Return what zarr says of the finest level of an image; nothing where it cannot be found."""
    try:
        path = str((_multiscale(image) or {})["datasets"][0]["path"])
    except (KeyError, TypeError, IndexError):
        return {}
    if "/" in path or ".." in path:
        return {}
    meta = next((p for name in ("zarr.json", ".zarray") if (p := image / path / name).is_file()), None)
    about = {} if meta is None else read_json(meta, error=SampleError, most=_MOST)
    return about if isinstance(about, dict) else {}


def is_group(path: Path) -> bool:
    """Tell whether a folder is a zarr group of version 2 or 3."""
    return path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup"))


def attributes(group: Path) -> dict[str, Any]:
    """Return the attributes of a zarr group of version 2 or 3."""
    for name in _META:
        if (path := group / name).is_file():
            about = read_json(path, error=SampleError, most=_MOST, infinite=True)
            about = about.get("attributes", {}) if name == "zarr.json" and isinstance(about, dict) else about
            if not isinstance(about, dict):
                raise SampleError(f"cannot read {path}: it holds no attributes")
            return about
    return {}
