"""Regions that people drew in other programs, and back: QuPath's GeoJSON, ASAP's XML, Hamamatsu's NDPA.

Places are continuous level-0 pixels (x, y) everywhere. A new format is a module and a line in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_nh2st.annotations import asap, ndpa, qupath
from napari_nh2st.annotations.annotation import Annotation, Annotations
from napari_nh2st.annotations.qupath import write_annotations
from napari_nh2st.errors import Nh2stError
from napari_nh2st.reading import told

READERS: dict[str, Callable[[Path, Path | None], Annotations]] = {
    ".geojson": qupath.read,
    ".json": qupath.read,
    ".xml": asap.read,
    ".ndpa": ndpa.read,
}

__all__ = ["READERS", "Annotation", "Annotations", "read_annotations", "write_annotations"]


def read_annotations(path: str | Path, slide: str | Path | None = None) -> Annotations:
    """Read regions that were drawn in another program.

    Parameters
    ----------
    path : path
        Its ending says the format.
    slide : path, optional
        The slide that they were drawn on; NDPA files need it.

    Raises
    ------
    Nh2stError
        In one line: if it cannot be read, is another file, or holds nothing that encloses an area.
    """
    path = Path(path)
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise Nh2stError(f"{path.name} is no file of regions: give one of {', '.join(READERS)}")
    with told(path, "the regions"):
        found = read(path, None if slide is None else Path(slide))
    if not found.annotations:
        only = f", only {found.left_out}" if found.left_out else ""
        raise Nh2stError(f"{path.name} holds no region that encloses an area{only}")
    return found
