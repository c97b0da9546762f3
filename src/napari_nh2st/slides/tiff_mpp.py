"""The pixel size of each kind of TIFF."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from tifffile import TiffFile, TiffPage

from napari_nh2st.errors import SlideError
from napari_nh2st.slides.mpp import UNITS, UNKNOWN, Mpp, from_density, judge

# TIFF 6.0, section 8, ResolutionUnit: 2 is inch, 3 is centimetre; micrometres in each
LENGTHS = {2: (25400.0, "inch"), 3: (10000.0, "cm")}


def aperio(tif: TiffFile, page: TiffPage, _series: int) -> Mpp:
    """Read MPP from the description of an Aperio slide, else the resolution tags."""
    said = re.search(r"(?:^|\|)\s*MPP\s*=\s*([^|\r\n]*)", str(page.description or ""))
    if said is None:
        return resolution(tif, page, 0)
    return judge(said[1].strip(), said[1].strip(), "aperio")


def ndpi(_tif: TiffFile, page: TiffPage, _series: int) -> Mpp:
    """Read the resolution that Hamamatsu scanners write, in pixels per centimetre."""
    return _from_tags(page, "ndpi")


def ome(tif: TiffFile, page: TiffPage, series: int) -> Mpp:
    """Read PhysicalSizeX and Y, with their units, else the resolution tags."""
    pixels = _ome_pixels(tif, series)
    x, y = (None, None) if pixels is None else (pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeY"))
    if pixels is None or (x is None and y is None):
        return resolution(tif, page, series)
    units = [pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "XY"]
    unknown = [unit for unit in units if unit not in UNITS]
    if unknown:
        return Mpp(None, "none", f'gives the size of its pixels in "{unknown[0][:20]}", not a unit of length')
    if UNITS[units[0]] != UNITS[units[1]]:
        return Mpp(None, "none", f"gives the width of its pixels in {units[0]} and their height in {units[1]}")
    return judge(x or y, y or x, "ome", factor=UNITS[units[0]], unit=units[0])


def resolution(_tif: TiffFile, page: TiffPage, _series: int) -> Mpp:
    """Read the generic resolution tags, if they have a unit."""
    return _from_tags(page, "tiff resolution")


def _from_tags(page: TiffPage, source: str) -> Mpp:
    unit = LENGTHS.get(int(page.tags.valueof(296) or 0))
    x, y = (_ratio(page.tags.valueof(code)) for code in (282, 283))
    if unit is None or x is None or y is None:
        return UNKNOWN
    return from_density(x, y, unit[0], unit[1], source)


def _ratio(value: Any) -> float | None:
    try:
        return float(value[0]) / float(value[1])
    except (TypeError, IndexError, ZeroDivisionError, ValueError):
        return None


def _ome_root(tif: TiffFile) -> ElementTree.Element | None:
    text = tif.ome_metadata
    if not text or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None


def _ome_pixels(tif: TiffFile, series: int) -> ElementTree.Element | None:
    root = _ome_root(tif)
    images = [] if root is None else [e for e in root.iter() if e.tag.rsplit("}", 1)[-1] == "Pixels"]
    if len(images) == 1:
        return images[0]
    return images[series] if series < len(images) else None


def refuse_other_files(tif: TiffFile, path: Path) -> None:
    """Refuse an OME-TIFF that keeps some or all of its pixels in another file.

    Raises
    ------
    SlideError
        It names the other file, which is never opened: the name may lead anywhere.
    """
    root = _ome_root(tif) if tif.is_ome else None
    if root is None:
        return
    own = root.get("UUID")
    for element in root.iter():
        name = element.get("FileName")
        if element.tag.rsplit("}", 1)[-1] != "UUID" or name is None:
            continue
        elsewhere = bool(re.search(r"[/\\]", name)) or name == ".."
        renamed = own is not None and (element.text or "").strip() == own
        if elsewhere or not (renamed or name.lower() == path.name.lower()):
            raise SlideError(
                f'{path} keeps pixels in another file, "{name[:80]}", which is not read: join the files first'
            )
