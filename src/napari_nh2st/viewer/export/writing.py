"""Writes a figure of a prediction. Slow: it is called off the GUI thread. No Qt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.formats.figure import DPI
from napari_nh2st.viewer.export.repeat import figure_line, store_path

if TYPE_CHECKING:
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.formats.display import Display


def write_figure(
    prediction: Prediction, display: Display, path: Path, *, width_mm: float | None = None, dpi: int = DPI
) -> str:
    """Draw a figure, with the tissue where its slide is there.

    Returns
    -------
    str
        The file, and why the tissue is not drawn.
    """
    from napari_nh2st.formats import figure
    from napari_nh2st.formats.picture import find_slide

    slide, reason = find_slide(prediction)
    command = figure_line(store_path(prediction.slide), display, width_mm=width_mm, dpi=dpi)
    try:
        written = figure.write_figure(
            prediction, display, path.expanduser(), slide=slide, width_mm=width_mm, dpi=dpi, command=command
        )
    finally:
        if slide is not None:
            slide.close()
    return f"{written}, without tissue: {reason}" if reason else str(written)
