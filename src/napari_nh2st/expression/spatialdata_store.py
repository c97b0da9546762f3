"""SpatialData stores: a table of counts, the elements that it is about, and where they lie on the store's image.

Read without the package spatialdata: a store is AnnData and OME-Zarr in zarr, and shapes in Parquet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nh2st.errors import SampleError, one_line
from napari_nh2st.expression.counts import SAYS
from napari_nh2st.expression.frame import FRAME
from napari_nh2st.expression.pool import UNIT
from napari_nh2st.expression.spatialdata_elements import (
    GLOBAL,
    KINDS,
    Places,
    attributes,
    fields_of_view,
    find_element,
    is_group,
    may_be_slide,
    on_image,
    outline,
    placed,
    places_of,
    system_of,
)

if TYPE_CHECKING:
    import anndata as ad

_TABLES = ("tables", "table")  # today, and in the first versions
_BINS = ("008um", "016um", "002um")  # of Visium HD: the first is read
_NAMED = 6  # tables or regions that are named before the rest is counted
_ZARR = re.compile(r"(\.sdata)?\.zarr$", re.IGNORECASE)


def spatialdata_store(path: Path) -> Path | None:
    """Return the store that a path means, or that path where it names a table or an element of one.

    None for anything else, also for a prediction.
    """
    if path.parent.name in (*_TABLES, *KINDS) and is_group(path) and spatialdata_store(path.parent.parent) is not None:
        return path
    if not path.is_dir() or not is_group(path) or not _table_names(path):
        return None
    try:
        return None if "nh2st" in attributes(path) else path
    except SampleError:
        return path  # reading it says why


def part_of_store(path: Path) -> tuple[Path, str]:
    """Return the store of a path that `spatialdata_store` knows, and the name of its element; "" where it has none."""
    if path.parent.name in (*_TABLES, *KINDS) and spatialdata_store(path.parent.parent) is not None:
        return path.parent.parent, path.name if path.parent.name in KINDS else ""
    return path, ""


def section_name(path: Path) -> str:
    """Name a section by its store, and by its element where the path names one."""
    store, element = part_of_store(path)
    name = _ZARR.sub("", store.resolve().name) or store.resolve().name
    return f"{name}-{element}" if element else name


def slide_names(path: Path) -> list[str]:
    """Return what the slide of a region may be called, by the region and by its coordinate system.

    Empty for the only region of a store, whose slide is called as the store.
    """
    try:
        store, table, element = _parts(path)
        if element is None or _said(table) == [element.name]:
            return []
        system = system_of(store, [element])
    except SampleError:  # reading it says why
        return []
    return [section_name(path), element.name, *([] if system == GLOBAL else [system])]


def own_slide(path: Path) -> Path | None:
    """Return the image of the store in whose pixels a section's places are given, if it may be a slide."""
    try:
        store, table, element = _parts(path)
        elements = [element] if element is not None else _elements(store, table, _said(table))
        system = system_of(store, elements)
        unit = placed(elements[0], system)[1]
        image = on_image(store, system, unit, lambda: np.concatenate([outline(e, system) for e in elements])).image
        return image if image is not None and may_be_slide(image) else None
    except SampleError:  # reading it says why
        return None


def sections_in(path: Path) -> tuple[list[Path], list[str]]:
    """Return the sections of a store: itself, or the folders of several regions; and regions that are not there."""
    try:
        store, table, element = _parts(path)
        regions = [] if element is not None else _said(table)
    except SampleError:  # reading it says why
        return [path], []
    try:
        whole = bool(fields_of_view(store, regions))
    except SampleError:  # reading it says why
        whole = False
    found = {region: find_element(store, region) for region in regions}
    there = [element for element in found.values() if element is not None]
    if whole or len(found) < 2 or not there:
        return [path], []
    return there, [region for region, element in found.items() if element is None]


def read_spatialdata(expression: Path, spots: Path | None) -> ad.AnnData:
    """Read a store's table, or its rows about one element, with the centres of what these are about.

    Returns
    -------
    AnnData
        Raw counts; ``obsm["spatial"]`` in pixels of the store's image, else in its coordinate system;
        ``uns["frame"]``: the size of that image; ``uns["unit"]``: empty for spots, which are not pooled.

    Raises
    ------
    SampleError
        If the store lacks something, or it is not clear which table or which region is meant.
    """
    found = spatialdata_store(expression)
    if found is None:
        raise SampleError(f"{expression} is no SpatialData store with a table of measured counts")
    data = _read(*_parts(found))
    data.var_names_make_unique()
    return data


def _parts(path: Path) -> tuple[Path, Path, Path | None]:
    """Return the store, the table and the element of a path; None where it names no element."""
    store, name = part_of_store(path)
    if name:
        return store, _table_about(store, path), path
    return store, path if path != store else _the_table(store), None


def _table_names(store: Path) -> list[Path]:
    return [p for name in _TABLES if (store / name).is_dir() for p in sorted((store / name).iterdir()) if is_group(p)]


def _the_table(store: Path) -> Path:
    """Return the one table; of several sizes of bins that of 8 um."""
    there = _table_names(store)
    for size in _BINS:
        if len(named := [p for p in there if size in p.name]) == 1 and all("um" in p.name for p in there):
            return named[0]
    if len(there) > 1:
        raise SampleError(f"{store} holds several tables ({_listed(there)}): name the folder of one as expression")
    return there[0]


def _table_about(store: Path, element: Path) -> Path:
    """Return the table that is about an element."""
    there = _table_names(store)
    about = there if len(there) == 1 else [table for table in there if element.name in _said(table)]
    if len(about) != 1:
        tables = f"several tables are ({_listed(about)}): name the folder of one" if about else "no table is"
        raise SampleError(f"{element}: of {store.name}, {tables} about it")
    return about[0]


def _said(table: Path) -> list[str]:
    """Return the regions that a table says it is about; nothing of the table itself is read."""
    said = attributes(table).get("region")
    return list(dict.fromkeys(map(str, said if isinstance(said, list) else [] if said is None else [said])))


def _read(store: Path, table: Path, element: Path | None) -> ad.AnnData:
    """Read the counts of the rows about an element, or about the only one."""
    from napari_nh2st.expression import h5ad_file
    from napari_nh2st.expression.hdf5 import Table
    from napari_nh2st.expression.zarr_table import as_hdf5

    about = attributes(table)
    with as_hdf5(table) as file:
        if "obs" not in file or "var" not in file:
            raise SampleError(f"{table} holds no table: it has no obs and var")
        obs = Table(file["obs"])
        region_key, instance_key = (str(about.get(key) or "") for key in ("region_key", "instance_key"))
        if region_key not in obs.columns or instance_key not in obs.columns:
            raise SampleError(f"{table} does not say which shapes its rows are about (region_key, instance_key)")
        regions, instances = np.array(obs.texts(region_key), object), np.array(obs.texts(instance_key), object)
        elements = [element] if element is not None else _elements(store, table, sorted(set(regions.tolist())))
        system, read = system_of(store, elements), []
        centres = np.full((len(regions), 2), np.nan)  # rows about other regions have no place, and go
        for e, rows in ((e, regions == e.name) for e in elements):
            (places, order), (to_system, unit) = _places(table, e, instances[rows].tolist()), placed(e, system)
            centres[rows] = to_system.place(places.centres[order])
            read.append((places, to_system))
        own = np.isin(regions, [e.name for e in elements])
        on = on_image(store, system, unit, lambda: centres[own])
        if "obsm" in file and "spatial" in file["obsm"]:
            del file["obsm/spatial"]
        file.require_group("obsm")["spatial"] = on.transform.place(centres)
        data = h5ad_file.read_open(file, table.name).to_anndata()
    (places, to_system), frame = read[0], on.facts.pop(FRAME, {})
    what = places.unit()
    if not what and places.radius is not None:
        frame["spot_diameter"] = 2 * float(places.radius[0]) * to_system.then(on.transform).scale
    data.uns |= {UNIT: what, FRAME: frame, **on.facts}
    if len(elements) > 1:
        says = f"its {len(elements)} label images lie side by side, and are read as one section"
        data.uns[SAYS] = [*data.uns[SAYS], says]
    if not own.all():
        data = data[own].copy()
    nowhere = int((regions == "").sum())
    if nowhere:
        data.uns[SAYS] = [*data.uns[SAYS], f"{nowhere:,} rows of {table.name} are about no region, and are left out"]
    return data


def _places(table: Path, element: Path, wanted: list[str]) -> tuple[Places, list[int]]:
    """Return the places of an element, and which of them are those of a table's rows about it."""
    if not wanted:
        raise SampleError(f"{table} has no row about {element.parent.name}/{one_line(element.name, 60)}")
    places = places_of(element, wanted)
    number = {name: i for i, name in enumerate(places.names)}
    rows = [number.get(name, -1) for name in wanted]
    if min(rows) < 0:
        lost, what = sum(row < 0 for row in rows), element.parent.name
        raise SampleError(f"{element} lacks {lost:,} of the {len(rows):,} {what} that {table.name} is about")
    return places, rows


def _elements(store: Path, table: Path, regions: Sequence[str]) -> list[Path]:
    """Return the folders of the one region of a table, or of those that make one section; else say which to choose."""
    names = [region for region in regions if region]
    if not names:
        raise SampleError(f"{table} has no row that is about a region")
    there = [element for name in names if (element := find_element(store, name)) is not None]
    if len(names) == 1 and there:
        return there
    if there:
        if parts := fields_of_view(store, names):
            return parts
        raise SampleError(
            f"{table} is about {len(names)} regions: give the folder of one instead: {_listed(there, store)}"
        )
    region = names[0]
    image = (store / "images" / region).is_dir()
    what = (
        f"is about the image {one_line(region, 60)}" if image else f"names {one_line(region, 60)}, which is not there"
    )
    raise SampleError(f"{table} {what}: it should be about shapes, points or labels of {store.name}")


def _listed(folders: list[Path], store: Path | None = None) -> str:
    before = "" if store is None else f"{store.name}/"
    more = f" and {len(folders) - _NAMED} more" if len(folders) > _NAMED else ""
    return ", ".join(one_line(f"{before}{p.parent.name}/{p.name}", 120) for p in folders[:_NAMED]) + more
