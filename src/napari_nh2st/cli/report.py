"""`nh2st report`: what is known of a predicted slide, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_nh2st.cli.checks import check_parent
from napari_nh2st.cli.options import PredictionArg, genes_of
from napari_nh2st.cli.output import export_bar
from napari_nh2st.cli.values import complete_genes, complete_models
from napari_nh2st.terminal import interruptible, say


def report(
    prediction: PredictionArg,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The file: .html or .pdf.", show_default=False)],
    genes: Annotated[
        str | None,
        typer.Option(
            "--genes",
            metavar="A,B",
            help="Maps of these; else of the six that the model predicts best.",
            autocompletion=complete_genes,
        ),
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option("--regions", metavar="R.geojson", help="Describe the genes in these regions: QuPath, ASAP, NDPA."),
    ] = None,
    slide: Annotated[
        Path | None, typer.Option("--slide", metavar="SLIDE", help="The slide, if it is no longer in its place.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="M",
            help="The model that predicted, if it is no bundled one.",
            autocompletion=complete_models,
        ),
    ] = None,
    tissue_check: Annotated[
        bool,
        typer.Option(
            "--tissue-check/--no-tissue-check", help="Say how much of the tissue is unlike that of the training."
        ),
    ] = True,
) -> None:
    """Write a report of a slide: maps, trust in each gene, regions, origin; one file that opens anywhere."""
    from napari_nh2st.report.write import WRITERS, write_report

    if out.suffix.lower() not in WRITERS:
        raise typer.BadParameter(f"{out}: the name ends in {' or '.join(WRITERS)}", param_hint="--out")
    check_parent(out)
    from napari_nh2st.engine.store import open_prediction
    from napari_nh2st.formats.picture import of_prediction
    from napari_nh2st.formats.table import means_nothing

    stored = open_prediction(prediction)
    chosen = genes_of(stored.card, genes)
    for warning in means_nothing(stored):
        say(f"warning: {warning}")
    cancelled = interruptible()
    with of_prediction(stored, slide) as opened:
        written = write_report(
            stored, out, chosen, slide=opened, regions=regions, model=model, check_tissue=tissue_check,
            progress=export_bar(out, cancelled), cancelled=cancelled,
        )  # fmt: skip
    print(written)
