"""`nh2st regions`: the genes of regions that were drawn in another program, or of domains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_nh2st.cli.checks import check_parent
from napari_nh2st.cli.options import GenesOption, PredictionArg, genes_of, read_drawn
from napari_nh2st.terminal import say

if TYPE_CHECKING:
    from napari_nh2st.annotations import Annotation
    from napari_nh2st.engine.prediction import Prediction

_ENDINGS = (".geojson", ".csv")


def regions(
    prediction: PredictionArg,
    drawn: Annotated[
        Path | None,
        typer.Argument(
            metavar="REGIONS",
            help="Regions of QuPath (.geojson), ASAP (.xml) or NDP.view (.ndpa).",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="GeoJSON for QuPath, or a table (CSV).", show_default=False)
    ] = Path("regions.geojson"),
    genes: GenesOption = None,
    domains: Annotated[
        bool, typer.Option("--domains", help="Instead of REGIONS, the domains that the predictions show.")
    ] = False,
) -> None:
    """Write the genes of drawn regions, or of domains: GeoJSON with measurements for QuPath, or a table.

    Example: nh2st regions results/a.nh2st a.geojson --out a-genes.geojson
    """
    if (drawn is None) != domains:
        raise typer.BadParameter("give a file of regions, or --domains instead", param_hint="REGIONS")
    if out.suffix.lower() not in _ENDINGS:
        raise typer.BadParameter(f"{out}: end the file's name in {' or '.join(_ENDINGS)}", param_hint="--out")
    check_parent(out)
    from napari_nh2st.analysis.region_files import write_regions
    from napari_nh2st.engine.store import open_prediction
    from napari_nh2st.formats.table import means_nothing

    stored = open_prediction(prediction).only_done()
    chosen = genes_of(stored.card, genes)
    annotations = _domains(stored) if drawn is None else read_drawn(drawn, stored.slide.get("path")).annotations
    for warning in means_nothing(stored):
        say(f"warning: {warning}")
    print(write_regions(stored, annotations, out, chosen))


def _domains(prediction: Prediction) -> list[Annotation]:
    from napari_nh2st.analysis.domains import find_domains
    from napari_nh2st.analysis.region_files import domain_annotations

    return domain_annotations(prediction, find_domains(prediction).labels)
