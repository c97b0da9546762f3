"""Pictures of a report as PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence

from napari_nh2st.report.content import Picture

Told = Callable[[Sequence[Picture]], Iterable[Picture]]  # yields pictures, and tells how many are drawn


def png_of(picture: Picture, dpi: int) -> bytes:
    """Draw a picture."""
    from matplotlib import style

    file = io.BytesIO()
    with style.context(["default", {"font.size": 7.0}]):
        picture.draw(dpi).savefig(file, dpi=dpi, format="png")
    return file.getvalue()
