"""OME-TIFF: a pyramid with one channel a gene and one pixel a tile, which lies over the slide.

Opens in QuPath, Fiji (Bio-Formats), napari and tifffile. The image begins at the slide's corner; only where tiles
overlap the grid of the slide by a part of a tile is there a rest, which ``PositionX`` and ``PositionY`` have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.formats.exporter import Exporter, Progress
from napari_nh2st.formats.importer import Contents, Importer
from napari_nh2st.formats.lattice_image import TILE, Frame, Plane, contents_of, frame_of, memory, planes, pyramid
from napari_nh2st.formats.table import CARD, flat, gene_facts, nested, slide_name, written_record
from napari_nh2st.model.card import Card

NAMESPACE = "napari-nh2st"


def _metadata(prediction: Prediction, genes: Sequence[str], frame: Frame) -> dict[str, Any]:
    """Return what the OME-XML says: channels, pixel size, place and provenance."""
    facts, place = gene_facts(prediction, genes), frame.corner * frame.mpp
    plane = {"PositionX": [place] * len(genes), "PositionXUnit": ["µm"] * len(genes)}
    plane |= {"PositionY": plane["PositionX"], "PositionYUnit": plane["PositionXUnit"]}
    notes = {key: str(value) for key, value in flat(written_record(prediction)).items()}
    return {
        "axes": "CYX",
        "Name": f"{slide_name(prediction)}, predicted expression",
        "Description": f"predicted expression, not a measurement; {prediction.card.unit}",
        "PhysicalSizeX": frame.side_um,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": frame.side_um,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": list(genes)},
        "Plane": plane,
        "MapAnnotation": [
            {"Namespace": NAMESPACE, "Value": notes},
            {"Namespace": f"{NAMESPACE}/genes", "Value": {gene: json.dumps(fact) for gene, fact in facts.items()}},
        ],
    }


def _pieces(images: Iterator[Plane]) -> Iterator[Plane]:
    """Cut planes into the tiles of the file, those at the end filled up."""
    for image in images:
        for row in range(0, image.shape[0], TILE):
            for column in range(0, image.shape[1], TILE):
                piece = image[row : row + TILE, column : column + TILE]
                whole = np.full((TILE, TILE), np.nan, dtype=np.float32)
                whole[: piece.shape[0], : piece.shape[1]] = piece
                yield whole


def write(prediction: Prediction, path: Path, genes: Sequence[str], progress: Progress) -> None:
    """Write the levels one after the other, a few genes at a time."""
    import tifffile

    frame = frame_of(prediction)
    levels = frame.levels()
    size = sum(4 * len(genes) * rows * columns for rows, columns in levels)
    form: dict[str, Any] = {
        "dtype": np.float32,
        "tile": (TILE, TILE),
        "compression": "zlib",
        "photometric": "minisblack",
    }
    metadata = _metadata(prediction, genes, frame)
    with tifffile.TiffWriter(path, ome=True, bigtiff=size > 2**31) as file:
        for level, shape in enumerate(levels):

            def told(share: float, level: int = level) -> None:
                progress((level + share) / len(levels))

            maps = (pyramid(p, level + 1)[-1] for p in planes(prediction, genes, frame, told))
            file.write(
                _pieces(maps),
                shape=(len(genes), *shape),
                resolution=(1e4 / (frame.side_um * 2**level),) * 2,
                resolutionunit="CENTIMETER",
                **form,
                **({"subifds": len(levels) - 1, "metadata": metadata} if level == 0 else {"subfiletype": 1}),
            )


def read_record(path: Path) -> dict[str, Any]:
    """Return the provenance, flat, each value as text."""
    import tifffile

    from napari_nh2st.reading.xml import elements, parsed_xml

    with tifffile.TiffFile(path) as file:
        notes = elements(parsed_xml(file.ome_metadata), "MapAnnotation")
    (note,) = (note for note in notes if note.get("Namespace") == NAMESPACE)
    return {str(entry.get("K")): entry.text or "" for entry in elements(note, "M")}


def read(path: Path) -> Contents:
    """Read the finest level."""
    import tifffile

    record = nested(read_record(path))
    with tifffile.TiffFile(path) as file:
        level = file.series[0].levels[0]
        genes = list(Card.model_validate(record[CARD]).genes)
        return contents_of(record, genes, (page.asarray() for page in level.pages if page is not None))


IMPORTER = Importer("ome-tiff", read)
EXPORTER = Exporter(
    "ome-tiff",
    ".ome.tif",
    "Image, a pixel a tile and a channel a gene, in QuPath and Fiji (OME-TIFF)",
    write,
    read_record=read_record,
    other_suffixes=(".ome.tiff",),
    lattice=True,
    memory=memory,
)
