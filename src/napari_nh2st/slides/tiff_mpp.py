"""The pixel size of each kind of TIFF."""

from __future__ import annotations

import re
from typing import Any

from tifffile import TiffFile, TiffPage

from napari_nh2st.reading.xml import elements, parsed_xml
from napari_nh2st.slides.mpp import UNITS, UNKNOWN, Mpp, from_density, judge
from napari_nh2st.slides.overlap import ventana_xml
from napari_nh2st.slides.tiff_ome import ome_pixels, told_size

# TIFF 6.0, section 8, ResolutionUnit: 2 is inch, 3 is centimetre; micrometres in each
LENGTHS = {2: (25400.0, "inch"), 3: (10000.0, "cm")}

# "46000x32914 [42673,5576 2220x2967] (240x240)": the scan, the part of it, and a tile, which is left out here
_APERIO_SIZE = re.compile(r"(?<![\d(])(\d{1,7})x(\d{1,7})(?![\d)])")


def aperio(tif: TiffFile, page: TiffPage, series: int) -> Mpp:
    """Read MPP from the description of an Aperio slide, else the resolution tags."""
    said = re.search(r"(?:^|\|)\s*MPP\s*=\s*([^|\r\n]*)", str(page.description or ""))
    if said is None:
        return resolution(tif, page, series)
    size = judge(said[1].strip(), said[1].strip(), "aperio").beside(_from_tags(page))
    first = str(page.description).partition("|")[0]
    told = [(int(w), int(h)) for w, h in _APERIO_SIZE.findall(first)]
    return size.of_image(told, (int(page.imagewidth), int(page.imagelength)))


def ndpi(_tif: TiffFile, page: TiffPage, _series: int) -> Mpp:
    """Read the resolution that Hamamatsu scanners write, in pixels per centimetre."""
    return _from_tags(page, "ndpi")


def ome(tif: TiffFile, page: TiffPage, series: int) -> Mpp:
    """Read PhysicalSizeX and Y, with their units, else the resolution tags."""
    pixels = ome_pixels(tif, series, page)
    x, y = (None, None) if pixels is None else (pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeY"))
    if pixels is None or (x is None and y is None):
        return resolution(tif, page, series)
    units = [pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "XY"]
    unknown = [unit for unit in units if unit not in UNITS]
    if unknown:
        return Mpp(None, "none", f'gives the size of its pixels in "{unknown[0][:20]}", not a unit of length')
    if UNITS[units[0]] != UNITS[units[1]]:
        return Mpp(None, "none", f"gives the width of its pixels in {units[0]} and their height in {units[1]}")
    size = judge(x or y, y or x, "ome", factor=UNITS[units[0]], unit=units[0]).beside(_from_tags(page))
    return size.of_image([told_size(pixels)], (int(page.imagewidth), int(page.imagelength)))


def philips(tif: TiffFile, page: TiffPage, series: int) -> Mpp:
    """Read the first DICOM_PIXEL_SPACING, that of the finest level: height and width of a pixel in mm."""
    root = parsed_xml(tif.philips_metadata)
    spacings = [e.text for e in elements(root, "Attribute") if e.get("Name") == "DICOM_PIXEL_SPACING"]
    numbers = (spacings[0] or "").replace('"', " ").split() if spacings else []
    if len(numbers) != 2:
        return resolution(tif, page, series)
    return judge(numbers[1], numbers[0], "philips", factor=1e3, unit="mm").beside(_from_tags(page))


def leica(tif: TiffFile, page: TiffPage, series: int) -> Mpp:
    """Divide the width of an image's view, in nm, by that of its pixels."""
    images = [image for image in elements(parsed_xml(tif.pages.first.description), "image")]
    views, pixels = (elements(images[series] if series < len(images) else None, name) for name in ("view", "pixels"))
    try:
        sizes = [float(views[0].get(f"size{a}", "")) / float(pixels[0].get(f"size{a}", "")) for a in "XY"]
    except (IndexError, ValueError, ZeroDivisionError):
        return resolution(tif, page, series)
    told = [(int(float(pixels[0].get("sizeX", ""))), int(float(pixels[0].get("sizeY", ""))))]
    size = judge(sizes[0], sizes[1], "leica", factor=1e-3, unit="nm")
    return size.of_image(told, (int(page.imagewidth), int(page.imagelength)))


def ventana(tif: TiffFile, page: TiffPage, series: int) -> Mpp:
    """Read ScanRes, um per pixel."""
    said = re.search(r"""<iScan\b[^>]*?\bScanRes\s*=\s*["']([^"']*)["']""", ventana_xml(tif))
    if said is None:
        return resolution(tif, page, series)
    return judge(said[1].strip(), said[1].strip(), "ventana").beside(_from_tags(page))


def resolution(tif: TiffFile, page: TiffPage, _series: int) -> Mpp:
    """Read the generic resolution tags, if they have a unit, in ImageJ's words or in the tag."""
    imagej = (tif.imagej_metadata or {}) if tif.is_imagej else {}
    unit = str(imagej.get("unit", "")).encode().decode("unicode_escape", "ignore") if imagej.get("unit") else ""
    if unit and int(page.tags.valueof(296) or 1) == 1:
        if unit not in UNITS:
            return Mpp(None, "none", f'gives the size of its pixels in "{unit[:20]}", not a unit of length')
        x, y = (_ratio(page.tags.valueof(code)) for code in (282, 283))
        return UNKNOWN if x is None or y is None else from_density(x, y, UNITS[unit], unit, "imagej")
    return _from_tags(page)


def _from_tags(page: TiffPage, source: str = "tiff resolution") -> Mpp:
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
