"""The description of an OME-TIFF: its images, and the files that hold their pixels."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tifffile import TiffFile, TiffPage

from napari_nh2st.errors import OtherImage
from napari_nh2st.reading.xml import elements, parsed_xml

NO_SIZE = (0, 0)


def ome_pixels(tif: TiffFile, series: int, page: TiffPage) -> ElementTree.Element | None:
    """Return the element Pixels of a series; if it tells another size than its page has, the only one that tells it."""
    images = elements(parsed_xml(tif.ome_metadata), "Pixels")
    own = images[series] if series < len(images) else None
    size = (int(page.imagewidth), int(page.imagelength))
    if own is not None and told_size(own) in (size, NO_SIZE):
        return own
    alike = [pixels for pixels in images if told_size(pixels) == size]
    if len(alike) == 1 or len(images) == 1:
        return [*alike, *images][0]
    return None


def told_size(pixels: ElementTree.Element) -> tuple[int, int]:
    """Return the width and height that an element Pixels tells, `NO_SIZE` if it tells none."""
    try:
        return int(pixels.get("SizeX", "")), int(pixels.get("SizeY", ""))
    except ValueError:
        return NO_SIZE


def refuse_other_files(tif: TiffFile, path: Path) -> None:
    """Refuse an OME-TIFF that keeps some or all of its pixels in another file.

    A file that was renamed names itself otherwise: by the identifier of the whole, or by one identifier for all of its
    planes, all of which are there.

    Raises
    ------
    OtherImage
        It names the other file, which is never opened: the name may lead anywhere.
    """
    root = parsed_xml(tif.ome_metadata) if tif.is_ome else None
    if root is None:
        return
    files = [element for element in elements(root, "UUID") if element.get("FileName") is not None]
    identifiers = {(element.text or "").strip() for element in files}
    own = root.get("UUID")
    complete = len(identifiers) == 1 and identifiers != {""} and _planes(root) <= len(tif.pages)
    for element in files:
        name = str(element.get("FileName"))
        elsewhere = bool(re.search(r"[/\\]", name)) or name == ".."
        renamed = complete or (own is not None and (element.text or "").strip() == own)
        if elsewhere or not (renamed or name.lower() == path.name.lower()):
            raise OtherImage(
                f'{path} keeps pixels in another file, "{name[:80]}", which is not supported: join the files first'
            )


def _planes(root: ElementTree.Element) -> int:
    """Count the planes of all images: Z x T x channels, a colour image being one."""
    planes = 0
    for pixels in elements(root, "Pixels"):
        try:
            sizes = [int(pixels.get(f"Size{axis}", "1")) for axis in "ZTC"]
            samples = [int(channel.get("SamplesPerPixel", "1")) for channel in elements(pixels, "Channel")]
        except ValueError:
            return 2**31
        planes += sizes[0] * sizes[1] * max(sizes[2] // max(samples, default=1), 1)
    return planes
