"""Hamamatsu's NDPA: annotations beside an NDPI slide, in nanometres from the middle of the glass.

The slide's tags 65422 and 65423 say where the middle of its image lies, in the same unit: a pixel is
``(x - offset) / nm per pixel + width / 2``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from napari_nh2st.annotations.annotation import Annotation, Annotations, ellipse, hex_colour, ring
from napari_nh2st.annotations.xml import root_of
from napari_nh2st.errors import Nh2stError
from napari_nh2st.geometry import FloatArray
from napari_nh2st.reading.xml import elements
from napari_nh2st.slide_path import address_of, slide_file

_OFFSETS = (65422, 65423)
_SIDES, _RESOLUTIONS, _UNIT = ("ImageWidth", "ImageLength"), ("XResolution", "YResolution"), "ResolutionUnit"
_NM = {2: 25.4e6, 3: 1e7}  # nanometres in an inch, a centimetre: TIFF's units
_OTHERS = {"pin": "points", "pointer": "points", "linearmeasure": "lines"}
_BESIDE = "its places count from the middle of the glass, which only the NDPI slide it was drawn on can tell"

Place = Callable[[FloatArray], FloatArray]


def read(path: Path, slide: Path | None = None) -> Annotations:
    """Read the closed outlines and circles of a file."""
    root = root_of(path)
    states = elements(root, "ndpviewstate")
    if root.tag != "annotations" or not states:
        raise ValueError("it is no NDPA file: it has no ndpviewstate")
    if slide is None:
        raise Nh2stError(f"{path.name} needs its slide: {_BESIDE}")
    place, dropped = _placing(slide, path), Counter[str]()
    annotations = []
    for state in states:
        drawn = state.find("annotation")
        outline = None if drawn is None else _outline(drawn)
        if drawn is None or outline is None:
            dropped[_OTHERS.get("" if drawn is None else drawn.get("type", ""), "open lines")] += 1
            continue
        name = (state.findtext("title") or "").strip()
        annotations.append(Annotation([[ring(place(outline))]], name, colour=hex_colour(drawn.get("color"))))
    return Annotations(annotations, dropped)


def _outline(drawn: Element) -> FloatArray | None:
    """Return an outline in nanometres, None for what encloses nothing."""
    kind = drawn.get("type", "")
    if kind == "circle":
        x, y, radius = (float(drawn.findtext(name) or "") for name in ("x", "y", "radius"))
        return ellipse((x, y), (radius, radius))
    if kind in _OTHERS or (drawn.findtext("closed") or "1").strip() == "0":
        return None
    points = [(float(p.findtext("x") or ""), float(p.findtext("y") or "")) for p in elements(drawn, "point")]
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _placing(slide: Path, path: Path) -> Place:
    """Return what turns nanometres from the middle of the glass into level-0 pixels of a slide.

    Raises
    ------
    Nh2stError
        If the slide does not say where its image lies.
    """
    import tifffile

    file = slide_file(slide)
    if address_of(slide) is not None:
        raise Nh2stError(f"{path.name} is placed by tags of its slide: download {file.name}")
    try:
        with tifffile.TiffFile(file) as tif:
            tags = tif.pages[0].tags  # type: ignore[union-attr]
            offset, side = (np.array([float(tags[t].value) for t in names]) for names in (_OFFSETS, _SIDES))
            per_unit = [float(np.divide(*tags[name].value)) for name in _RESOLUTIONS]
            step = _NM[int(tags[_UNIT].value)] / np.array(per_unit)
    except (OSError, ValueError, KeyError, TypeError, tifffile.TiffFileError) as error:
        raise Nh2stError(f"{path.name} cannot be placed on {file.name}: {_BESIDE}") from error
    return lambda points: (points - offset) / step + side / 2
