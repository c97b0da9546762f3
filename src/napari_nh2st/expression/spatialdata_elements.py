"""Elements of a SpatialData store: where its shapes, points and labels lie, and on which of its images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
from napari_nh2st.expression.transform import Transform
from napari_nh2st.reading import read_json

KINDS = ("shapes", "points", "labels")
"""What a table may be about, by the folders in which they lie."""

_META = ("zarr.json", ".zattrs")
_MOST = 16 << 20  # bytes of a group's facts
GLOBAL = "global"
"""The coordinate system that is taken of several."""

_UM = ("micrometer", "micrometre", "um", "µm", "micron")
_TOUCH = 0.9  # of their distance: circles that are as wide touch, and are bins
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
    """Where an element lies on the image of its store.

    Attributes
    ----------
    transform : Transform
        From the element's own coordinates to pixels of the image, else to its coordinate system.
    facts : dict
        What is known of that image, for ``uns``.
    image : Path or None
        The image; None where there is none, or only a picture that was made smaller.
    """

    transform: Transform
    facts: dict[str, Any]
    image: Path | None = None


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


def on_image(store: Path, element: Path) -> OnImage:
    """Lay an element on the finest image of three channels in its coordinate system.

    A picture that was made smaller, as Space Ranger's, has the pixels of the full image as coordinate system: these
    are kept then.
    """
    system, to_system, unit = _placed(element)
    facts: dict[str, Any] = {MPP: 1.0} if unit.casefold() in _UM else {}
    images: list[tuple[float, Transform, tuple[int, int], Path]] = []
    folder = store / "images"
    for image in sorted(folder.iterdir()) if folder.is_dir() else ():
        size = _size(image) if is_group(image) else None
        if size is not None and (placed := _placed(image, system)) is not None:
            images.append((placed[1].scale, placed[1], size, image))
    if not images:
        return OnImage(to_system, facts)
    scale, image_to_system, (height, width), image = min(images, key=lambda found: found[0])
    (a, b, c), (d, e, f) = image_to_system.matrix
    smaller = scale >= 1 and abs(a - e) < 1e-6 * a and not (b or c or d or f)
    if smaller and not (scale > 1 and MPP in facts):
        facts[FRAME] = {"shape": (height * e, width * a), "within": 0.5 * scale}
        return OnImage(to_system, facts, None if scale > 1 else image)
    facts[FRAME] = {"shape": (float(height), float(width)), "within": 0.5}
    if MPP in facts:
        facts[MPP] = scale
    return OnImage(to_system.then(image_to_system.inverse), facts, image)


def system_of(element: Path) -> str:
    """Return the name of the coordinate system in which an element lies.

    Raises
    ------
    SampleError
        If it does not say where it lies.
    """
    return str(_placed(element)[0])


def _multiscale(element: Path) -> dict[str, Any] | None:
    """Return what OME-NGFF 0.4 or 0.5 says of an image's levels; None for what is no image."""
    about = attributes(element)
    about = about.get("ome", about)
    scales = about.get("multiscales") if isinstance(about, dict) else None
    return scales[0] if isinstance(scales, list) and scales and isinstance(scales[0], dict) else None


def _placed(element: Path, system: str = "") -> Any:
    """Return the coordinate system of an element, the map into it, and its unit.

    None where `system` is asked for and an image does not lie in it.
    """
    source = _multiscale(element)
    steps = (attributes(element) if source is None else source).get("coordinateTransformations")
    named = {
        str(step["output"].get("name")): step
        for step in (steps if isinstance(steps, list) else [])
        if isinstance(step, dict) and isinstance(step.get("output"), dict)
    }
    chosen = system or (GLOBAL if GLOBAL in named or len(named) != 1 else next(iter(named)))
    if chosen not in named:
        if system:
            return None
        raise SampleError(f"{element} does not say where it lies: it has no transform to {chosen}")
    step = named[chosen]
    try:
        matrix = _matrix(step)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SampleError(f"{element}: its transform to {one_line(chosen, 40)} cannot be read") from error
    units = {str(axis.get("unit", "")) for axis in step["output"].get("axes", ()) if axis.get("name") in ("x", "y")}
    return chosen, Transform.of(matrix), units.pop() if len(units) == 1 else ""


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
