"""XML without entities of its own: such could grow without end."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree


def parsed_xml(text: str | None) -> ElementTree.Element | None:
    """Parse the XML of a file; None if there is none, if it is damaged, or if it defines entities of its own."""
    if not text or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError):
        return None


def elements(root: ElementTree.Element | None, name: str) -> list[ElementTree.Element]:
    """Return all elements of a name, whatever their namespace."""
    return [] if root is None else [e for e in root.iter() if str(e.tag).rsplit("}", 1)[-1] == name]
