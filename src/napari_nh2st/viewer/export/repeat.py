"""Text that repeats what the dock does: commands for a shell and Python. No Qt; tests run it as it is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_nh2st.engine.store import SUFFIX
from napari_nh2st.formats.display import Display
from napari_nh2st.formats.figure import DPI
from napari_nh2st.geometry import Box
from napari_nh2st.slides.artefacts import LIMIT
from napari_nh2st.slides.mpp import GIVEN
from napari_nh2st.viewer.predict.events import Request

OUT = "predictions"  # where the copied `nh2st predict` writes
_OPACITY, _PERCENTILES = (Display.model_fields[name].default for name in ("opacity", "percentiles"))


def store_path(slide: Mapping[str, object]) -> str:
    """Return the folder in which the copied command leaves the prediction of a slide."""
    return f"{OUT}/{Path(str(slide.get('path') or 'slide')).stem}{SUFFIX}"


def figure_line(prediction: str, display: Display, *, width_mm: float | None = None, dpi: int = DPI) -> str:
    """Return the `nh2st figure` line that draws a prediction folder as a display shows it."""
    genes = [word for gene in display.genes for word in ("--gene", gene)]
    file = "-".join("".join(c if c.isalnum() or c in "-_." else "_" for c in gene) for gene in display.genes)
    words = ["nh2st", "figure", prediction, *genes, "--out", f"{file}.pdf", "--colormap", display.colormap]
    limits = display.limits_for(display.genes[0])
    if limits is not None and len({display.limits_for(gene) for gene in display.genes}) == 1:
        words += ["--limits", ",".join(f"{v:.6g}" for v in limits)]
    elif display.percentiles != _PERCENTILES:
        words += ["--percentiles", ",".join(f"{v:g}" for v in display.percentiles)]
    if display.region is not None:
        words += ["--region", ",".join(str(round(v)) for v in display.region)]
    if display.opacity != _OPACITY:
        words += ["--opacity", f"{display.opacity:.3g}"]
    if display.smooth:
        words += ["--smooth"]
    if width_mm is not None:
        words += ["--width-mm", f"{width_mm:.6g}"]
    if dpi != DPI:
        words += ["--dpi", str(dpi)]
    return shlex.join(words)


def report_line(prediction: str, genes: Sequence[str], file: str) -> str:
    """Return the `nh2st report` line that writes a report of a prediction folder."""
    return shlex.join(["nh2st", "report", prediction, "--genes", ",".join(genes), "--out", file])


def python_lines(request: Request, gene: tuple[str, str] | None, colormap: str) -> str:
    """Return a script that predicts what a request asks for, and draws a gene.

    Parameters
    ----------
    request : Request
        A drawn outline is given by its bounding box, and an edited tissue mask is left out; the script says so.
    gene : (symbol, unit) or None
        Whose values it takes and draws.
    colormap : str
    """
    box, slide = request.region.box, request.slide
    mpp = f", mpp={slide.mpp:.6g}" if slide.mpp_source in GIVEN else ""
    how = [] if box is None else [f"region=Box.from_xywh({', '.join(str(round(v)) for v in _xywh(box))})"]
    how += [] if request.pitch is None else [f"pitch={request.pitch}"]
    options = [] if request.device == "auto" else [f"device={request.device!r}"]
    options += [f"skip_artefacts={LIMIT}"] if request.skip_artefacts else []
    how += [f"options=PredictionOptions({', '.join(options)})"] if options else []
    left_out = (
        ("the outline: all tiles of its bounding box", bool(request.region.polygons)),
        ("the edited tissue mask", request.tissue is not None),
    )
    lines = [
        "from napari_nh2st import load_model, open_slide, predict",
        *(["from napari_nh2st.engine.options import PredictionOptions"] if options else []),
        *(["from napari_nh2st.geometry import Box"] if box is not None else []),
        "",
        *(f"# without {what}" for what, said in left_out if said),
        f"slide = open_slide({str(slide.path)!r}{mpp})",
        f"prediction = predict({', '.join(['slide', f'load_model({str(request.model)!r})', *how])})",
    ]
    return _script(lines, gene, colormap, "slide")


def python_of_file(folder: str, gene: tuple[str, str] | None, colormap: str) -> str:
    """Return a script that opens a prediction folder, takes a gene's values and draws them."""
    lines = ["from napari_nh2st import open_prediction", "", f"prediction = open_prediction({folder!r})"]
    return _script(lines, gene, colormap, "None")


def _script(lines: list[str], gene: tuple[str, str] | None, colormap: str, slide: str) -> str:
    """Write a script that ends in the gene's values and a picture of them."""
    centres = "centres = prediction.places.centres  # (n, 2): x, y in pixels of the slide's finest level"
    if gene is None:
        return "\n".join([*lines, centres]) + "\n"
    symbol, unit = gene
    imports = [
        "from napari_nh2st.formats.display import Display",
        "from napari_nh2st.formats.figure import write_figure",
    ]
    file = f"{''.join(c if c.isalnum() or c in '-_.' else '_' for c in symbol)}.png"
    picture = f"write_figure(prediction, Display(genes=({symbol!r},), colormap={colormap!r}), {file!r}, slide={slide})"
    at = lines.index("")  # the end of the imports
    values = f"values = prediction.gene({symbol!r})  # (n,): {unit}"
    return "\n".join([*lines[:at], *imports, *lines[at:], centres, values, picture]) + "\n"


def _xywh(box: Box) -> tuple[float, float, float, float]:
    return box.x0, box.y0, box.width, box.height
