"""TIFFs whose tiles overlap, as Ventana and Trestle scanners write them."""

from __future__ import annotations

import re
from pathlib import Path

from tifffile import TiffFile, TiffPage

from napari_nh2st.errors import TilesOverlap

_LOOKED_AT = 8  # the first pages: Ventana describes the slide in one of them
_XMP_BYTES = 64 * 2**20
_JOINT = re.compile(r"<TileJointInfo\b[^>]*>")


def ventana_xml(tif: TiffFile) -> str:
    """Return what Ventana scanners say about the slide, from the XMP tags of the first pages; empty if nothing."""
    texts = [_xmp(page) for page in tif.pages[:_LOOKED_AT] if isinstance(page, TiffPage)]
    return "\n".join(text for text in texts if "<iScan" in text or "<TileJointInfo" in text)


def _xmp(page: TiffPage) -> str:
    tag = page.tags.get(700)
    if tag is None or not 0 < tag.valuebytecount <= _XMP_BYTES:
        return ""
    value = tag.value
    return value if isinstance(value, str) else bytes(value).decode("utf-8", "replace")


def refuse_overlaps(tif: TiffFile, path: Path) -> None:
    """Refuse a TIFF whose tiles overlap: laid side by side, they show tissue twice at every seam.

    Raises
    ------
    TilesOverlap
        It names the scanner and says what to do.
    """
    if tif.is_svs or tif.is_ndpi or tif.is_ome or tif.is_philips or tif.is_scn:
        return
    joints = [joint for joint in _JOINT.findall(ventana_xml(tif)) if _attribute(joint, "FlagJoined") != "0"]
    overlap = max((abs(_whole(_attribute(j, f"Overlap{axis}"))) for j in joints for axis in "XY"), default=0)
    maker = "Ventana"
    if not overlap:
        maker, overlap = "Trestle", _trestle_overlap(tif)
    if overlap:
        raise TilesOverlap(
            f"{path} is a {maker} slide whose tiles overlap by up to {overlap} px, so that they show tissue twice: "
            "convert it to OME-TIFF (QuPath and bfconvert do that)"
        )


def _trestle_overlap(tif: TiffFile) -> int:
    """Return the overlap in the description of a Trestle slide: ``OverlapsXY=``, then a pair for each level."""
    page = tif.pages.first
    said = re.search(r"OverlapsXY=([\s\d.-]+)", str(page.description or ""))
    if said is None or not str(page.software or "").startswith("MedScan"):
        return 0
    return max((abs(_whole(number)) for number in said[1].split()), default=0)


def _attribute(element: str, name: str) -> str:
    said = re.search(rf"""\b{name}\s*=\s*["']([^"']*)["']""", element)
    return "" if said is None else said[1]


def _whole(text: str) -> int:
    try:
        return round(float(text))
    except (ValueError, OverflowError):
        return 0
