"""`nh2st adapt`: a few measured spots correct a prediction, and where to measure next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nh2st.cli.checks import check_folder, check_slides
from napari_nh2st.cli.options import DeviceOption, JsonOption, MppOption, names
from napari_nh2st.cli.output import print_json
from napari_nh2st.cli.values import complete_models
from napari_nh2st.errors import Nh2stError
from napari_nh2st.slide_path import slide_stem
from napari_nh2st.terminal import Bar, interruptible, say

if TYPE_CHECKING:
    from napari_nh2st.api.prediction import Prediction
    from napari_nh2st.model.models import AnyModel


def adapt(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTION or SLIDE",
            help="What predict left of the slide; or the slide, which --model then predicts.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.", show_default=False)],
    anchors: Annotated[
        list[Path] | None,
        typer.Option("--anchors", metavar="F", help="Measured spots of this slide (twice: counts, positions)."),
    ] = None,
    spots: Annotated[
        str | None, typer.Option("--spots", metavar="A,B", help="Only these spots, by their names.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", metavar="N", min=1, help="Only N spots: those that tell most.")
    ] = None,
    propose: Annotated[
        int | None, typer.Option("--next", metavar="N", min=1, help="Say where to measure next: N places.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="M",
            help="The model that predicted: it then predicts at the spots themselves.",
            show_default=False,
            autocompletion=complete_models,
        ),
    ] = None,
    slide: Annotated[
        Path | None,
        typer.Option("--slide", metavar="SLIDE", help="With a prediction, if it is no longer in its place."),
    ] = None,
    mpp: MppOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Correct a prediction with a few measured spots of its slide, without training; say where to measure next.

    The corrected prediction is OUT/<slide>-corrected.nh2st; proposals are OUT/<slide>-next.csv and .geojson. Nothing
    is replaced.
    """
    if not anchors and propose is None:
        raise typer.BadParameter("give measured spots (--anchors F), or ask where to measure (--next N)")
    if not anchors and (spots is not None or count is not None):
        raise typer.BadParameter("goes with --anchors", param_hint="--spots, --count")
    if spots is not None and count is not None:
        raise typer.BadParameter("give names or a number, not both", param_hint="--spots, --count")
    check_folder(out)
    stored = source.is_dir() and not (source / ".zattrs").exists()
    if not stored:
        check_slides([source])
        if model is None:
            raise typer.BadParameter("a slide has to be predicted first: give a model", param_hint="--model")
    from napari_nh2st.api.prediction import open_prediction
    from napari_nh2st.formats.table import means_nothing

    opened = open_prediction(source) if stored else None
    stem = slide_stem(str((source if opened is None else opened.slide.get("path")) or source))
    targets = _targets(out, stem, corrected=bool(anchors), proposed=propose is not None)
    loaded = None if model is None else _load(model)
    made = opened if opened is not None else _predicted(source, loaded, mpp, device)
    for warning in means_nothing(made):
        say(f"warning: {warning}")
    document: dict[str, Any] = {}
    if anchors:
        made = made.adapt(
            anchors, spots=names(spots), count=count, slide=slide or (None if stored else source), model=loaded
        )
        document |= _save(made, targets["prediction"], as_json)
    if propose is not None:
        document |= _propose(made, propose, targets, as_json)
    if as_json:
        print_json(document)


def _targets(out: Path, stem: str, *, corrected: bool, proposed: bool) -> dict[str, Path]:
    """Return the files to write; refuse to replace one."""
    targets = {"prediction": out / f"{stem}-corrected.nh2st"} if corrected else {}
    if proposed:
        targets |= {"csv": out / f"{stem}-next.csv", "geojson": out / f"{stem}-next.geojson"}
    there = [str(path) for path in targets.values() if path.exists()]
    if there:
        raise Nh2stError(f"{there[0]} is there already: choose another --out, or remove it")
    return targets


def _load(model: str) -> AnyModel:
    from napari_nh2st.model.models import load_model

    return load_model(model)


def _predicted(slide: Path, model: AnyModel | None, mpp: float | None, device: str) -> Prediction:
    """Predict a whole slide, in memory; what is encoded stays in the cache."""
    from napari_nh2st.api.predict import predict
    from napari_nh2st.cli.options import prediction_options

    bar = Bar(slide.name)
    options = prediction_options(device, "auto", interruptible())
    return predict(slide, model, mpp=mpp, options=options, progress=lambda at: bar(at.done, at.total))


def _save(made: Prediction, target: Path, as_json: bool) -> dict[str, Any]:
    from napari_nh2st.api.anchors import agreement_words
    from napari_nh2st.engine.store import save_prediction

    save_prediction(made, target)
    if not as_json:
        say(agreement_words(made))
        print(target)
    return {"prediction": str(target), "anchors": made.provenance["anchors"]}


def _propose(made: Prediction, count: int, targets: dict[str, Path], as_json: bool) -> dict[str, Any]:
    from napari_nh2st.analysis.where_next import where_next, write_proposal

    proposal = where_next(made, count)
    write_proposal(proposal, targets["csv"], targets["geojson"])
    if not as_json:
        print(f"{targets['csv']}, {targets['geojson']}")
    places = proposal.table().reset_index().to_dict("records")
    return {"next": {"csv": str(targets["csv"]), "geojson": str(targets["geojson"]), "places": places}}
