"""SpatialData stores: a table of counts, the shapes that it is about, and where they lie on the store's image.

Read without the package spatialdata: a store is AnnData and OME-Zarr in zarr, and shapes in Parquet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.errors import SampleError, one_line
from napari_nh2st.expression.apart import read_apart
from napari_nh2st.expression.frame import FRAME
from napari_nh2st.expression.parquet_file import NEEDS, can_read_parquet
from napari_nh2st.expression.pool import MPP, UNIT
from napari_nh2st.expression.transform import Transform
from napari_nh2st.reading import read_json

if TYPE_CHECKING:
    import anndata as ad

    from napari_nh2st.expression.counts import Counts

_TABLES = ("tables", "table")  # today, and in the first versions
_META = ("zarr.json", ".zattrs")
_MOST = 16 << 20  # bytes of a group's facts
_GLOBAL = "global"
_UM = ("micrometer", "micrometre", "um", "µm", "micron")
_BINS = ("008um", "016um", "002um")  # of Visium HD: the first is read
_TOUCH = 0.9  # of their distance: circles that are as wide touch, and are bins


def spatialdata_store(path: Path) -> Path | None:
    """Return the store that a path means, or its table of that path; None for anything else, also for a prediction."""
    if path.parent.name in _TABLES and _is_group(path) and spatialdata_store(path.parent.parent) is not None:
        return path
    if not path.is_dir() or not _is_group(path) or not _table_names(path):
        return None
    try:
        return None if "nh2st" in _attributes(path) else path
    except SampleError:
        return path  # reading it says why


def read_spatialdata(expression: Path, spots: Path | None) -> ad.AnnData:
    """Read a store's table, with the centres of its shapes.

    Returns
    -------
    AnnData
        Raw counts; ``obsm["spatial"]`` in pixels of the store's image, else in its coordinate system;
        ``uns["frame"]``: the size of that image; ``uns["unit"]``: empty for spots, which are not pooled.

    Raises
    ------
    SampleError
        If the store lacks something, or it is not clear which table is meant.
    """
    found = spatialdata_store(expression)
    if found is None:
        raise SampleError(f"{expression} is no SpatialData store with a table of measured counts")
    table = found if found.parent.name in _TABLES else _the_table(found)
    counts, unit, facts = _read(table.parent.parent, table)
    data = counts.to_anndata()
    data.var_names_make_unique()
    data.uns[UNIT] = unit
    data.uns[FRAME] = facts.pop(FRAME, {})
    data.uns.update(facts)
    return data


def _table_names(store: Path) -> list[Path]:
    return [p for name in _TABLES if (store / name).is_dir() for p in sorted((store / name).iterdir()) if _is_group(p)]


def _the_table(store: Path) -> Path:
    """Return the one table; of several sizes of bins that of 8 um."""
    there = _table_names(store)
    for size in _BINS:
        if len(named := [p for p in there if size in p.name]) == 1 and all("um" in p.name for p in there):
            return named[0]
    if len(there) > 1:
        names = ", ".join(f"{p.parent.name}/{p.name}" for p in there[:6])
        raise SampleError(f"{store} holds several tables ({names}): name the folder of one as expression")
    return there[0]


def _read(store: Path, table: Path) -> tuple[Counts, str, dict[str, Any]]:
    """Read the counts; the unit that is pooled; and what is known of the image."""
    from napari_nh2st.expression import h5ad_file
    from napari_nh2st.expression.hdf5 import Table
    from napari_nh2st.expression.zarr_table import as_hdf5

    about = _attributes(table)
    with as_hdf5(table) as file:
        if "obs" not in file or "var" not in file:
            raise SampleError(f"{table} holds no table: it has no obs and var")
        obs = Table(file["obs"])
        region_key, instance_key = (str(about.get(key) or "") for key in ("region_key", "instance_key"))
        if region_key not in obs.columns or instance_key not in obs.columns:
            raise SampleError(f"{table} does not say which shapes its rows are about (region_key, instance_key)")
        regions = sorted(set(obs.texts(region_key)))
        if len(regions) != 1:
            raise SampleError(
                f"{table} is about several regions ({', '.join(regions[:4])}): save each section in a store of its own"
            )
        element = _element(store, regions[0], table)
        shapes = _shapes(element)
        places = {name: i for i, name in enumerate(shapes.names)}
        rows = [places.get(name, -1) for name in obs.texts(instance_key)]
        if not rows or min(rows) < 0:
            lost = sum(row < 0 for row in rows)
            raise SampleError(f"{element} lacks {lost:,} of the {len(rows):,} shapes that {table.name} is about")
        on_image, facts = _on_image(store, element)
        if "obsm" in file and "spatial" in file["obsm"]:
            del file["obsm/spatial"]
        file.require_group("obsm")["spatial"] = on_image.place(shapes.centres[rows])
        counts = h5ad_file.read_open(file, table.name)
    unit = shapes.unit()
    if not unit and shapes.radius is not None:
        facts.setdefault(FRAME, {})["spot_diameter"] = 2 * float(shapes.radius[0]) * on_image.scale
    return counts, unit, facts


def _element(store: Path, region: str, table: Path) -> Path:
    """Return the folder of the shapes or points of a region."""
    for kind in ("shapes", "points"):
        if _is_group(element := store / kind / region) and element.parent.parent == store:
            return element
    other = next((kind for kind in ("labels", "images") if (store / kind / region).is_dir()), "")
    what = (
        f"is about the {other} {one_line(region, 60)}" if other else f"names {one_line(region, 60)}, which is not there"
    )
    raise SampleError(f"{table} {what}: it should be about shapes or points of {store.name}")


class _Shapes:
    """Centres (n, 2) of shapes in their own coordinates, their names, and radii where they are circles."""

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


def _shapes(element: Path) -> _Shapes:
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
    return _Shapes(texts, centres[:, :2], None if radius is None else radius.astype(np.float64))


def _on_image(store: Path, element: Path) -> tuple[Transform, dict[str, Any]]:
    """Return the map from an element to pixels of the finest image of three channels, and facts about that image.

    A picture that was made smaller, as Space Ranger's, has the pixels of the full image as coordinate system: these
    are kept then.
    """
    system, to_system, unit = _placed(element)
    facts: dict[str, Any] = {MPP: 1.0} if unit.casefold() in _UM else {}
    images: list[tuple[float, Transform, tuple[int, int]]] = []
    folder = store / "images"
    for image in sorted(folder.iterdir()) if folder.is_dir() else ():
        size = _size(image) if _is_group(image) else None
        if size is not None and (placed := _placed(image, system)) is not None:
            images.append((placed[1].scale, placed[1], size))
    if not images:
        return to_system, facts
    scale, image_to_system, (height, width) = min(images, key=lambda found: found[0])
    (a, b, c), (d, e, f) = image_to_system.matrix
    smaller = scale >= 1 and abs(a - e) < 1e-6 * a and not (b or c or d or f)
    if smaller and not (scale > 1 and MPP in facts):
        facts[FRAME] = {"shape": (height * e, width * a), "within": 0.5 * scale}
        return to_system, facts
    facts[FRAME] = {"shape": (float(height), float(width)), "within": 0.5}
    if MPP in facts:
        facts[MPP] = scale
    return to_system.then(image_to_system.inverse), facts


def _placed(element: Path, system: str = "") -> Any:
    """Return the coordinate system of an element, the map into it, and its unit.

    None where `system` is asked for and an image does not lie in it.
    """
    about = _attributes(element)
    scales = about.get("ome", about).get("multiscales") if isinstance(about.get("ome", about), dict) else None
    source = scales[0] if isinstance(scales, list) and scales and isinstance(scales[0], dict) else about
    steps = source.get("coordinateTransformations")
    named = {
        str(step["output"].get("name")): step
        for step in (steps if isinstance(steps, list) else [])
        if isinstance(step, dict) and isinstance(step.get("output"), dict)
    }
    chosen = system or (_GLOBAL if _GLOBAL in named or len(named) != 1 else next(iter(named)))
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


def _size(image: Path) -> tuple[int, int] | None:
    """Return height and width of an image of three channels; None for any other."""
    about = _attributes(image)
    inside = about.get("ome", about)
    try:
        first = inside["multiscales"][0]
        path, axes = str(first["datasets"][0]["path"]), [axis["name"] for axis in first["axes"]]
        if "/" in path or ".." in path:
            return None
        level = image / path
        meta = next((p for name in ("zarr.json", ".zarray") if (p := level / name).is_file()), None)
        shape = read_json(meta, error=SampleError, most=_MOST)["shape"] if meta is not None else []
        sizes = dict(zip(axes, map(int, shape), strict=True))
        return (sizes["y"], sizes["x"]) if sizes.get("c") == 3 else None
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _is_group(path: Path) -> bool:
    return path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup"))


def _attributes(group: Path) -> dict[str, Any]:
    """Return the attributes of a zarr group of version 2 or 3."""
    for name in _META:
        if (path := group / name).is_file():
            about = read_json(path, error=SampleError, most=_MOST, infinite=True)
            about = about.get("attributes", {}) if name == "zarr.json" and isinstance(about, dict) else about
            if not isinstance(about, dict):
                raise SampleError(f"cannot read {path}: it holds no attributes")
            return about
    return {}
