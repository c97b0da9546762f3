"""`nh2st export`: a prediction as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_nh2st.cli.checks import check_parent
from napari_nh2st.cli.options import GenesOption, IntervalsOption, PredictionArg, RegionOption, genes_of, region_box
from napari_nh2st.cli.output import export_bar
from napari_nh2st.cli.values import complete_formats
from napari_nh2st.provenance import repeat_command
from napari_nh2st.terminal import interruptible, say


def export(
    prediction: PredictionArg,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The file; its ending says the format.", show_default=False)
    ],
    fmt: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="F",
            help="The format, if the name does not say it: {formats}.",
            autocompletion=complete_formats,
        ),
    ] = None,
    genes: GenesOption = None,
    region: RegionOption = None,
    intervals: IntervalsOption = False,
) -> None:
    """Write a prediction as a file; neither model nor GPU is needed.

    Example: nh2st export results/a.nh2st --out a.h5ad
    """
    from napari_nh2st.formats import export_path

    name, box = _format(fmt, out), region_box(region)
    check_parent(out)
    from napari_nh2st.engine.store import open_prediction
    from napari_nh2st.formats import export as write
    from napari_nh2st.formats.selection import Selection
    from napari_nh2st.formats.table import means_nothing

    stored = open_prediction(prediction)
    chosen = genes_of(stored.card, genes)
    part = Selection.of(box, chosen).of_prediction(stored.only_done(), {"export_command": repeat_command()})
    for warning in means_nothing(stored):
        say(f"warning: {warning}")
    file = export_path(part, name, out)
    print(write(part, name, file, chosen, export_bar(file, interruptible()), intervals=intervals))


def _format(fmt: str | None, out: Path) -> str:
    """Return the format that was named, or that the file's ending says; they must not contradict each other."""
    from napari_nh2st.formats import EXPORTERS, format_of

    choices = ", ".join(EXPORTERS)
    if fmt is not None and fmt not in EXPORTERS:
        raise typer.BadParameter(f"{fmt!r}: choose from {choices}", param_hint="--format")
    ending = format_of(out)
    if fmt is None and ending is None:
        endings = " or ".join(exporter.suffix for exporter in EXPORTERS.values())
        raise typer.BadParameter(f"{out}: end the file's name in {endings}, or give a --format", param_hint="--out")
    if fmt is not None and ending not in (None, fmt):
        raise typer.BadParameter(f"{out} ends as {ending}, but --format says {fmt}: leave --format out, or rename it",
                                 param_hint="--out")  # fmt: skip
    return fmt or str(ending)
