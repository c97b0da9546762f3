"""OME-Zarr 0.5: a pyramid with one channel a gene and one pixel a tile, which lies over the slide.

Opens in napari, Vitessce and every reader of NGFF. Places are those of napari: the transforms give the centre of a
pixel, and 0 µm is the centre of the slide's first pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.formats.exporter import Exporter, Progress
from napari_nh2st.formats.importer import Contents, Importer, display_of
from napari_nh2st.formats.lattice_image import TILE, Frame, contents_of, frame_of, memory, planes, pyramid
from napari_nh2st.formats.table import gene_facts, slide_name, written_record
from napari_nh2st.reading import read_json


def _transforms(frame: Frame, level: int) -> list[dict[str, Any]]:
    """Return scale and translation (channel, y, x) of a level, micrometres."""
    side = frame.side * 2**level
    centre = (frame.corner + side / 2 - 0.5) * frame.mpp
    return [
        {"type": "scale", "scale": [1.0, side * frame.mpp, side * frame.mpp]},
        {"type": "translation", "translation": [0.0, centre, centre]},
    ]


def _multiscales(prediction: Prediction, frame: Frame) -> dict[str, Any]:
    space = [{"name": name, "type": "space", "unit": "micrometer"} for name in ("y", "x")]
    return {
        "name": f"{slide_name(prediction)}, predicted expression",
        "axes": [{"name": "c", "type": "channel"}, *space],
        "datasets": [
            {"path": str(level), "coordinateTransformations": _transforms(frame, level)}
            for level in range(len(frame.levels()))
        ],
        "type": "mean of 2 x 2",
    }


def _omero(prediction: Prediction, genes: Sequence[str], ends: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return how viewers show the channels: names, the gene that was shown, its limits; else lowest to highest."""
    display = display_of(prediction)
    limits = {} if display is None else {gene: display.limits_for(gene) for gene in genes}
    shown = next((g for g in (() if display is None else display.genes) if g in genes), genes[0])
    channels = []
    for gene, (low, high) in zip(genes, ends, strict=True):
        start, end = limits.get(gene) or (low, high)
        window = {"min": min(low, start), "max": max(high, end), "start": start, "end": end}
        channels.append({"label": gene, "color": "FFFFFF", "active": gene == shown, "window": window})
    return {"channels": channels}


def write(prediction: Prediction, path: Path, genes: Sequence[str], progress: Progress) -> None:
    """Fill a folder, one gene after the other; chunks without tiles are left out."""
    import zarr

    frame = frame_of(prediction)
    shapes = frame.levels()
    group = zarr.open_group(path, mode="w", zarr_format=3)
    arrays = [
        group.create_array(
            str(level),
            shape=(len(genes), *shape),
            chunks=(1, min(TILE, shape[0]), min(TILE, shape[1])),
            dtype="float32",
            fill_value=np.nan,
            dimension_names=("c", "y", "x"),
        )
        for level, shape in enumerate(shapes)
    ]
    ends = []
    for number, plane in enumerate(planes(prediction, genes, frame, progress)):
        ends.append((float(np.nanmin(plane)), float(np.nanmax(plane))))
        for array, image in zip(arrays, pyramid(plane, len(shapes)), strict=True):
            array[number] = image
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [_multiscales(prediction, frame)],
        "omero": _omero(prediction, genes, ends),
    }
    group.attrs["nh2st"] = written_record(prediction) | {"gene_facts": gene_facts(prediction, genes)}


def read_record(path: Path) -> dict[str, Any]:
    """Return the provenance."""
    return dict(read_json(path / "zarr.json")["attributes"]["nh2st"])


def read(path: Path) -> Contents:
    """Read the finest level, a gene at a time."""
    import zarr

    record = read_record(path)
    group = zarr.open_group(path, mode="r")
    genes, array = list(record["gene_facts"]), group["0"]
    if not isinstance(array, zarr.Array):
        raise TypeError("its finest level is no image")
    return contents_of(record, genes, (np.asarray(array[row]) for row in range(array.shape[0])))


IMPORTER = Importer("ome-zarr", read)
EXPORTER = Exporter(
    "ome-zarr",
    ".ome.zarr",
    "Image, a pixel a tile and a channel a gene, in napari and Vitessce (OME-Zarr 0.5; a folder)",
    write,
    read_record=read_record,
    folder=True,
    lattice=True,
    memory=memory,
)
