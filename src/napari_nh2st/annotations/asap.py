"""ASAP's XML: annotations with their groups, level-0 pixels.

A group is a class. Splines are taken as polygons through their points; dots, point sets and measurements are left out.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element

from napari_nh2st.annotations.annotation import Annotation, Annotations, hex_colour, ring
from napari_nh2st.annotations.xml import root_of
from napari_nh2st.reading.xml import elements

_OUTLINES = ("Polygon", "Rectangle", "Spline")
_OTHERS = {"Dot": "points", "PointSet": "points", "Measurement": "lines"}
_NO_GROUP = ("", "None")


def read(path: Path, slide: Path | None = None) -> Annotations:
    """Read the polygons, rectangles and splines of a file."""
    root = root_of(path)
    if root.tag != "ASAP_Annotations":
        raise ValueError("it is no XML of ASAP: its first element is not ASAP_Annotations")
    colours = {group.get("Name", ""): hex_colour(group.get("Color")) for group in elements(root, "Group")}
    dropped: Counter[str] = Counter()
    annotations = []
    for element in elements(root, "Annotation"):
        kind, group = element.get("Type", ""), element.get("PartOfGroup", "")
        if kind not in _OUTLINES:
            dropped[_OTHERS.get(kind, "objects without an outline")] += 1
            continue
        known = "" if group in _NO_GROUP else group
        colour = colours.get(known) or hex_colour(element.get("Color"))
        annotations.append(Annotation([[ring(_corners(element))]], element.get("Name", ""), known, colour))
    return Annotations(annotations, dropped)


def _corners(element: Element) -> list[tuple[float, float]]:
    found = sorted(elements(element, "Coordinate"), key=lambda e: float(e.get("Order", "0")))
    return [(float(e.get("X", "")), float(e.get("Y", ""))) for e in found]
