"""`nh2st export`: a prediction as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_nh2st.cli.options import PredictionArg, names
from napari_nh2st.errors import Nh2stError


def export(
    prediction: PredictionArg,
    fmt: Annotated[str, typer.Option("--format", metavar="F", help="h5ad or csv.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The file to write.", show_default=False)],
    genes: Annotated[str | None, typer.Option("--genes", metavar="A,B", help="Only these genes.")] = None,
) -> None:
    """Write a prediction as a file; neither model nor GPU is needed."""
    from napari_nh2st.engine.store import open_prediction
    from napari_nh2st.formats import EXPORTERS
    from napari_nh2st.formats import export as write

    if fmt not in EXPORTERS:
        raise typer.BadParameter(f"{fmt!r}: choose from {', '.join(EXPORTERS)}", param_hint="--format")
    stored = open_prediction(prediction)
    try:
        print(write(stored, fmt, out, names(genes)))
    except KeyError as error:
        raise Nh2stError(str(error.args[0])) from error
