"""XML that others made, without entities of its own."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from napari_nh2st.reading import read_text
from napari_nh2st.reading.xml import parsed_xml


def root_of(path: Path) -> Element:
    """Return the first element of a file.

    Raises
    ------
    ValueError
        If it is no sound XML, or declares a document type: entities that it defines could grow without end.
    """
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it declares a document type, which no file of annotations needs: remove that line")
    root = parsed_xml(text)
    if root is None:
        raise ValueError("it is not sound XML: it is damaged, or cut off")
    return root
