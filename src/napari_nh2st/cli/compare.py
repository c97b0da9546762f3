"""`nh2st compare`: what several models predict on one slide, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nh2st.cli.checks import check_parent
from napari_nh2st.cli.options import GenesOption, JsonOption, gene_words, names
from napari_nh2st.cli.output import print_json
from napari_nh2st.errors import Nh2stError
from napari_nh2st.terminal import say

if TYPE_CHECKING:
    import pandas as pd

    from napari_nh2st.analysis.model_comparison import ModelComparison


def compare(
    predictions: Annotated[
        list[Path],
        typer.Argument(
            metavar="A.nh2st B.nh2st...", help="What predict left of one slide, with each model.", show_default=False
        ),
    ],
    measured: Annotated[
        list[Path] | None,
        typer.Option(
            "--measured", metavar="F", help="The section's measurement (twice: counts, positions): who is right where."
        ),
    ] = None,
    genes: GenesOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="T.csv", help="Write the table of genes, instead of printing it.")
    ] = None,
    tiles: Annotated[
        Path | None, typer.Option("--tiles", metavar="T.csv", help="Write how far the models differ at each tile.")
    ] = None,
    model_names: Annotated[
        str | None, typer.Option("--names", metavar="A,B", help="What to call the models; else by their cards.")
    ] = None,
    slide: Annotated[
        Path | None, typer.Option("--slide", metavar="SLIDE", help="With --measured, if it is no longer in its place.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare what several models predict on one slide, gene by gene; neither model nor GPU is needed.

    PCC: correlation of the models over the tiles that all have predicted. apart: share of the tiles where they differ
    by more than one standard deviation. With --measured: each model's PCC with the measurement.
    """
    called = names(model_names)
    if len(predictions) < 2:
        raise typer.BadParameter("give two predictions of one slide, or more", param_hint="PREDICTIONS")
    if called is not None and len(called) != len(predictions):
        raise typer.BadParameter(f"{len(predictions)} predictions need as many names", param_hint="--names")
    for path in (out, tiles):
        if path is not None and path.suffix.lower() != ".csv":
            raise typer.BadParameter(f"{path}: the name ends in .csv", param_hint="--out")
        if path is not None:
            check_parent(path)
    from napari_nh2st.api.compare import compare_models
    from napari_nh2st.engine.store import open_prediction
    from napari_nh2st.formats.table import means_nothing

    stored = [open_prediction(path) for path in predictions]
    for warning in dict.fromkeys(warning for each in stored for warning in means_nothing(each)):
        say(f"warning: {warning}")
    found = compare_models(*stored, names=called, measured=measured or None, slide=slide)
    frame = _table(found, gene_words(genes))
    for prediction, name in zip(stored, found.names, strict=True):
        say(f"{name}: {len(prediction.genes):,} genes, {int(prediction.done.sum()):,} tiles")
    say(f"in common: {len(found.genes):,} genes, {len(found):,} tiles")
    if tiles is not None:
        _write(found.tiles(list(frame.index)), tiles, index=False)
        say(f"tiles: {tiles}")
    _tell(found, frame, out, as_json)


def _table(found: ModelComparison, wanted: list[str] | None) -> pd.DataFrame:
    """Return the table of all genes, or of some, with what was measured beside it."""
    frame = found.table()
    if found.measured is not None:
        frame = frame.join(found.measured.table().add_prefix("measured "))
    if wanted is None:
        return frame
    if not wanted:
        raise Nh2stError("no gene was named")
    return frame.loc[list(dict.fromkeys(found.find(gene) for gene in wanted))]


def _tell(found: ModelComparison, frame: pd.DataFrame, out: Path | None, as_json: bool) -> None:
    if out is not None:
        _write(frame, out)
    if as_json:
        print_json(_document(found, frame))
    elif out is not None:
        print(out)
    else:
        print(frame.to_string(float_format=lambda value: f"{value:z.3f}", na_rep="-"))


def _document(found: ModelComparison, frame: pd.DataFrame) -> dict[str, Any]:
    models = [
        {"name": name, "genes": len(p.genes), "tiles": int(p.done.sum())}
        for name, p in zip(found.names, found.predictions, strict=True)
    ]
    rows = frame.astype(object).where(frame.notna(), None).to_dict("index")
    return {"models": models, "tiles": len(found), "genes": {str(gene): row for gene, row in rows.items()}}


def _write(frame: pd.DataFrame, path: Path, *, index: bool = True) -> None:
    from napari_nh2st.atomic import finished_file
    from napari_nh2st.reading import written_frame

    with finished_file(path) as draft:
        written_frame(frame.reset_index() if index else frame).to_csv(draft, index=False)
