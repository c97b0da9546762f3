"""Writes a figure or a report of a prediction. Slow: it is called off the GUI thread. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nh2st.formats.figure import DPI
from napari_nh2st.viewer.export.repeat import figure_line, report_line, store_path

if TYPE_CHECKING:
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.formats.display import Display
    from napari_nh2st.formats.exporter import Progress
    from napari_nh2st.geometry import FloatArray


def write_figure(
    prediction: Prediction,
    display: Display,
    path: Path,
    *,
    width_mm: float | None = None,
    dpi: int = DPI,
    progress: Progress = lambda share: None,
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
            *(prediction, display, path.expanduser()),
            slide=slide,
            width_mm=width_mm,
            dpi=dpi,
            command=command,
            progress=progress,
        )
    finally:
        if slide is not None:
            slide.close()
    return f"{written}, without tissue: {reason}" if reason else str(written)


def write_report(
    prediction: Prediction,
    display: Display,
    path: Path,
    *,
    model: str | None,
    regions: Mapping[str, Sequence[FloatArray]],
    check_tissue: bool,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> Path:
    """Write a report of a slide.

    Parameters
    ----------
    display : Display
        Genes, colours and limits of the maps.
    model : str or None
        Name or folder of the model that predicted, None where that is not known.
    regions : mapping
        Outlines (k, 2) of each drawn region, level-0 pixels.
    """
    from napari_nh2st.report import write

    path = path.expanduser()
    shapes = {name: {"type": "MultiPolygon", "coordinates": [[o] for o in parts]} for name, parts in regions.items()}
    return write.write_report(
        *(prediction, path, display.genes),
        regions=shapes or None,
        model=model,
        check_tissue=check_tissue,
        display=display,
        command=report_line(store_path(prediction.slide), display.genes, path.name),
        progress=progress,
        cancelled=cancelled,
    )
