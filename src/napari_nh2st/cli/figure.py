"""`nh2st figure`: a prediction as a figure for print, as the window draws it, without a window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_nh2st.cli.checks import check_parent
from napari_nh2st.cli.options import PredictionArg, RegionOption, genes_of, region_box
from napari_nh2st.cli.output import export_bar
from napari_nh2st.cli.values import complete_genes
from napari_nh2st.errors import Nh2stError
from napari_nh2st.terminal import interruptible, say

if TYPE_CHECKING:
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.formats.display import Display
    from napari_nh2st.slides import Slide


def figure(
    prediction: PredictionArg,
    out: Annotated[
        Path, typer.Option("--out", metavar="F", help="The file: .png, .pdf, .svg or .tiff.", show_default=False)
    ],
    genes: Annotated[
        list[str] | None,
        typer.Option(
            "--genes",
            "--gene",
            metavar="A,B",
            help="A panel each: symbols, other names, or a file of them.",
            autocompletion=complete_genes,
        ),
    ] = None,
    display: Annotated[
        Path | None, typer.Option("--display", metavar="VIEW.json", help="Draw what a saved view shows.")
    ] = None,
    region: RegionOption = None,
    colormap: Annotated[
        str | None, typer.Option("--colormap", metavar="C", help="Colours by matplotlib's name; else viridis.")
    ] = None,
    limits: Annotated[
        str | None, typer.Option("--limits", metavar="LO,HI", help="Ends of the colours, in the model's unit.")
    ] = None,
    percentiles: Annotated[
        str | None, typer.Option("--percentiles", metavar="LO,HI", help="Ends of the colours, in percent; else 1,99.")
    ] = None,
    opacity: Annotated[
        float | None, typer.Option("--opacity", metavar="F", help="Of the heatmap over the tissue; else 0.7.")
    ] = None,
    smooth: Annotated[bool, typer.Option("--smooth", help="Interpolate between places, for the eye.")] = False,
    slide: Annotated[
        Path | None, typer.Option("--slide", metavar="SLIDE", help="The slide, where it is no longer in its place.")
    ] = None,
    no_tissue: Annotated[bool, typer.Option("--no-tissue", help="Leave the tissue out: white below.")] = False,
    width_mm: Annotated[
        float | None, typer.Option("--width-mm", metavar="MM", help="Else 85, or 180 for several genes.")
    ] = None,
    dpi: Annotated[int, typer.Option("--dpi", help="Dots per inch.")] = 300,
) -> None:
    """Draw a prediction as a figure: tissue, heatmap, scale bar and colour bar; neither model nor GPU is needed.

    One panel a gene. What --display sets, the other options change.
    """
    from napari_nh2st.engine.store import open_prediction
    from napari_nh2st.formats.figure import SUFFIXES, write_figure
    from napari_nh2st.formats.table import means_nothing

    if out.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"{out}: the name ends in {', '.join(SUFFIXES)}", param_hint="--out")
    if limits is not None and percentiles is not None:
        raise typer.BadParameter("give either limits or percentiles", param_hint="--limits")
    if not genes and display is None:
        raise typer.BadParameter("give a gene, or a saved view", param_hint="--genes")
    box = region_box(region)
    check_parent(out)
    stored = open_prediction(prediction)
    view = _start(display, genes_of(stored.card, ",".join(genes)) if genes else None, stored)
    for warning in means_nothing(stored):
        say(f"warning: {warning}")
    if box is not None:
        view = view.changed(region=(box.x0, box.y0, box.width, box.height))
    if limits is not None:
        pair = _numbers(limits, 2, "--limits", "0.5,2.5")
        view = view.changed(limits={name: pair for name in view.genes})
    if percentiles is not None:
        view = view.changed(percentiles=_numbers(percentiles, 2, "--percentiles", "1,99"), limits={}, locked=False)
    options = {"colormap": colormap, "opacity": opacity, "smooth": smooth or None}
    view = view.changed(**{name: value for name, value in options.items() if value is not None})
    tissue = None if no_tissue else _tissue(stored, slide)
    try:
        bar = export_bar(out, interruptible())
        print(write_figure(stored, view, out, slide=tissue, width_mm=width_mm, dpi=dpi, progress=bar))
    finally:
        if tissue is not None:
            tissue.close()


def _start(path: Path | None, genes: list[str] | None, prediction: Prediction) -> Display:
    """Return what a saved view shows, or a gene as it is shown at first."""
    from napari_nh2st.formats.display import display_of, load_display, same_slide

    if path is None:
        return display_of(genes=tuple(genes or ()))
    saved = load_display(path)
    if not same_slide(saved, prediction.slide.get("fingerprint")):
        say(f"warning: {path} was made on another slide: its colours are taken over, its region is not")
        saved = saved.changed(region=None)
    return saved.changed(genes=tuple(genes)) if genes else saved


def _tissue(prediction: Prediction, path: Path | None) -> Slide | None:
    """Open the slide that was predicted; without it the figure is drawn on white."""
    from napari_nh2st.formats.picture import find_slide
    from napari_nh2st.slides import open_slide

    if path is None:
        slide, reason = find_slide(prediction)
        if slide is None:
            say(f"warning: drawn without tissue, {reason}")
        return slide
    slide = open_slide(path)
    if prediction.slide.get("fingerprint") not in (None, slide.fingerprint):
        slide.close()
        raise Nh2stError(f"{path} is another slide than the one that was predicted")
    return slide


def _numbers(text: str, count: int, option: str, such_as: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise typer.BadParameter(f"{text!r}: give {count} numbers, such as {such_as}", param_hint=option)
    return numbers
