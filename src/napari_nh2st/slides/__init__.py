"""Slides: opening, reading at any scale, pixel size with its provenance, tissue. No torch, no Qt.

The names load tifffile and zarr when they are first used: the dock must not wait for these.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_nh2st.slides.formats import FORMATS
    from napari_nh2st.slides.picture import Picture
    from napari_nh2st.slides.slide import Slide, SlideHeader, open_slide, read_header
    from napari_nh2st.slides.tissue import Ground, TissueMask

_WHERE = {
    "FORMATS": "formats",
    "Ground": "tissue",
    "Picture": "picture",
    "Slide": "slide",
    "SlideHeader": "slide",
    "TissueMask": "tissue",
    "open_slide": "slide",
    "read_header": "slide",
}

__all__ = ["FORMATS", "Ground", "Picture", "Slide", "SlideHeader", "TissueMask", "open_slide", "read_header"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
