"""A slide in a notebook: its facts and a small picture."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_nh2st.errors import SlideError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_nh2st.slides.slide import Slide

_SIDE = 240  # pixels


def html_of(slide: Slide) -> str:
    """Write a slide as HTML; without the picture where the file cannot be read."""
    height, width = slide.shape
    step = max(1.0, max(height, width) / _SIDE)
    facts = {
        "slide": slide.path.name,
        "size": f"{width:,} x {height:,} px, {len(slide.levels)} levels ({slide.format})",
        "pixel size": "not known" if slide.mpp is None else f"{slide.mpp:.4g} µm ({slide.mpp_source})",
    }
    try:
        picture = slide.read(0, 0, max(1, math.floor(width / step)), max(1, math.floor(height / step)), step)
    except SlideError as error:
        return html_page({**facts, "picture": str(error)})
    return html_page(facts, picture)


def html_page(facts: Mapping[str, str], picture: npt.NDArray[np.uint8] | None = None, caption: str = "") -> str:
    """Write a table of facts, with a picture (h, w, 3) beside it; the caption is HTML."""
    rows = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in facts.items())
    table = f"<table>{rows}</table>"
    if picture is None:
        return table
    image = f'<img src="data:image/png;base64,{_png(picture)}" alt="">'
    figure = f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    return f'<div style="display:flex;gap:1em;align-items:center">{figure}{table}</div>'


def _png(picture: npt.NDArray[Any]) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
