"""`nh2st predict`: expression over slides, as folders that last and as files."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nh2st.cli.checks import check_folder, check_slides, check_workers
from napari_nh2st.cli.options import (
    COHORT,
    DeviceOption,
    GenesOption,
    IntervalsOption,
    JsonOption,
    MppOption,
    PrecisionOption,
    RegionOption,
    SchedulerOption,
    SlidesArg,
    WorkersOption,
    checked_precision,
    genes_of,
    names,
    prediction_options,
    read_drawn,
    region_box,
)
from napari_nh2st.cli.output import export_bar, overviews_bar, print_json
from napari_nh2st.cli.values import complete_formats, complete_models
from napari_nh2st.errors import Nh2stError
from napari_nh2st.slide_path import shown, slide_stem
from napari_nh2st.terminal import Bar, interruptible, say

if TYPE_CHECKING:
    from napari_nh2st.analysis.drawn_regions import DrawnRegions
    from napari_nh2st.cohort.listing import ListedSlide
    from napari_nh2st.cohort.one_slide import Telling
    from napari_nh2st.cohort.wishes import Wishes
    from napari_nh2st.engine.options import PredictionOptions
    from napari_nh2st.model.models import AnyModel


def predict(
    slides: SlidesArg,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="M",
            help="A model's name (nh2st models) or a model folder.",
            show_default=False,
            autocompletion=complete_models,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.", show_default=False)],
    region: RegionOption = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            "--regions",
            metavar="R.geojson",
            help="Only in these regions of the slide, with a table of their genes: QuPath, ASAP, NDPA.",
        ),
    ] = None,
    pitch: Annotated[int | None, typer.Option("--pitch", help="Distance between tiles in model pixels.")] = None,
    genes: GenesOption = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="F,...",
            help="Files to write: {formats}; or none.",
            autocompletion=complete_formats,
        ),
    ] = "h5ad",
    intervals: IntervalsOption = False,
    quality: Annotated[
        bool,
        typer.Option("--quality", help="Of whole slides: also the shares of tissue that artefacts cover."),
    ] = False,
    skip_artefacts: Annotated[
        bool,
        typer.Option("--skip-artefacts", help="Leave tiles out that blur, pen, folds or bubbles cover by a quarter."),
    ] = False,
    mpp: MppOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    split: Annotated[
        float,
        typer.Option(
            "--split",
            metavar="MM2",
            min=0.1,
            help="On workers: a slide with more tissue than this becomes several tasks.",
            rich_help_panel=COHORT,
        ),
    ] = 200.0,
    as_json: JsonOption = False,
) -> None:
    """Predict expression over slides; a second run encodes only what is missing.

    Results last in OUT/<slide>.nh2st, from which `nh2st export` makes any format without predicting again.
    """
    box, exporters = region_box(region), _checked_formats(formats)
    precision = checked_precision(precision)
    check_folder(out)
    on_workers = check_workers(workers, scheduler)
    from napari_nh2st.cohort.listing import list_slides

    listed = list_slides(slides, mpp)
    if not on_workers:  # a cohort goes on without a slide that is not there
        check_slides(slide.path for slide in listed)
    _check_distinct([slide.path for slide in listed])
    from napari_nh2st.cohort.wishes import Wishes, refuse_smaller_files
    from napari_nh2st.model.models import load_card

    drawn = None if regions is None else _drawn(regions, listed, alone=box is None and not on_workers)
    card = load_card(model)
    if intervals:
        from napari_nh2st.formats import check_intervals

        check_intervals(card, exporters)
    wishes = Wishes(out, exporters, box, pitch, genes_of(card, genes), drawn, intervals, quality)
    if not on_workers:  # they look themselves
        for slide in listed:
            refuse_smaller_files(slide_stem(slide.path), wishes)
    from napari_nh2st.engine.predict import provenance
    from napari_nh2st.model.models import load_model

    if "h5ad" in exporters:
        import h5py  # noqa: F401 (now: where memory is short, it is better that this fails before the work than after)
    options = prediction_options(device, precision, interruptible(), skip_artefacts=skip_artefacts)
    loaded = load_model(model)
    if on_workers:
        cohort = Cohort(workers, scheduler, split)
        status = _predict_cohort(listed, model, loaded, options, wishes, cohort, as_json=as_json)
        raise typer.Exit(status)
    rows = [_predict_one(slide, loaded, options, wishes, quiet=as_json) for slide in listed]
    if as_json:
        print_json({"slides": rows, "provenance": provenance(loaded, options)})


def _checked_formats(text: str) -> list[str]:
    from napari_nh2st.formats import EXPORTERS

    formats = [f for f in names(text) or [] if f not in ("none", "nh2st")]  # the folder is always written
    unknown = [f for f in formats if f not in EXPORTERS]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(EXPORTERS)}", param_hint="--format")
    return formats


def _drawn(file: Path, listed: list[ListedSlide], *, alone: bool) -> DrawnRegions:
    """Read the regions that a prediction is to keep to."""
    if len(listed) != 1 or not alone:
        raise typer.BadParameter("goes with one slide, and with neither --region nor workers", param_hint="--regions")
    from napari_nh2st.analysis.drawn_regions import DrawnRegions

    return DrawnRegions(read_drawn(file, listed[0].path).named())


def _check_distinct(paths: list[Path]) -> None:
    """Refuse two slides of one name: results are named after the slide's file, and would meet in one folder."""
    stems = Counter(map(slide_stem, paths))
    twice = sorted(stem for stem, count in stems.items() if count > 1)
    if twice:
        raise Nh2stError(f"several slides are named {', '.join(twice)}: predict them into folders of their own")


def _predict_one(
    listed: ListedSlide, model: AnyModel, options: PredictionOptions, wishes: Wishes, *, quiet: bool
) -> dict[str, Any]:
    from napari_nh2st.cohort.one_slide import artefact_facts, fill, write_files
    from napari_nh2st.engine.places import warnings_for
    from napari_nh2st.slides import open_slide

    started, path = time.monotonic(), listed.path
    telling = _telling(path, options.cancelled)
    with open_slide(path, mpp=listed.mpp) as slide:
        slide.tissue(tell=overviews_bar(path), cancelled=options.cancelled)
        for warning in warnings_for(slide, model.card, model.reference):
            say(f"warning: {warning}")
        filled = fill(slide, model, options, wishes, telling)
        warnings = warnings_for(slide, model.card, model.reference)  # reading may have found damage
        facts = artefact_facts(slide, filled)
    outputs = [str(filled.store.path), *write_files(filled, slide_stem(path), wishes, telling)[1]]
    total, encoded = len(filled.places), filled.encoded
    row = {
        "path": shown(path),
        "tiles_total": total,
        "tiles_encoded": encoded,
        "tiles_skipped": total - encoded,
        "seconds": round(time.monotonic() - started, 2),
        "outputs": outputs,
        "warnings": warnings,
        **facts,
    }
    if not quiet:
        said = f"{total} tiles, {encoded} newly encoded{filled.left_out_words}, {row['seconds']} s"
        print(f"{shown(path)}: {said} -> {', '.join(outputs)}")
    return row


@dataclass(frozen=True)
class Cohort:
    """Where a cohort runs, and from which size on a slide is several tasks (mm² of tissue)."""

    workers: int | None
    scheduler: str | None
    split: float


def _predict_cohort(
    listed: list[ListedSlide],
    name: str,
    model: AnyModel,
    options: PredictionOptions,
    wishes: Wishes,
    cohort: Cohort,
    *,
    as_json: bool,
) -> int:
    """Predict on workers; returns the exit status."""
    from napari_nh2st.cohort.job import Settings
    from napari_nh2st.cohort.together import pictured_genes, predict_cohort
    from napari_nh2st.engine.predict import provenance
    from napari_nh2st.reading import expanded

    folder, box, origin = expanded(name), wishes.region, provenance(model, options)
    settings = Settings(
        model=str(folder.absolute()) if folder.exists() else name,
        model_hash=model.hash,
        out=str(wishes.out.expanduser().absolute()),
        formats=tuple(wishes.formats),
        genes=None if wishes.genes is None else tuple(wishes.genes),
        region=None if box is None else (box.x0, box.y0, box.width, box.height),
        pitch=wishes.pitch,
        device=options.device,
        precision=options.precision,
        split=cohort.split,
        pictured=pictured_genes(model.card, wishes.genes),
        command=origin["command"],
        intervals=wishes.intervals,
        skip_artefacts=options.skip_artefacts,
        quality=wishes.quality,
    )
    outcome = predict_cohort(
        listed,
        settings,
        origin,
        workers=cohort.workers,
        scheduler=cohort.scheduler,
        cancelled=options.cancelled,
    )
    failed = [slide for slide in outcome.slides if slide.error]
    what = f"{len(failed)} of {len(outcome.slides)} slides failed: {wishes.out / 'cohort.csv'} says why"
    if as_json:
        rows = [slide.answer["row"] for slide in outcome.slides if not slide.error]
        document: dict[str, Any] = {"slides": rows, "failed": [{"path": s.job.path, "error": s.error} for s in failed]}
        document |= {"outputs": [str(path) for path in outcome.paths], "provenance": origin}
        print_json(document | ({"error": what, "status": 1} if failed else {}))
    else:
        done, files = len(outcome.slides) - len(failed), ", ".join(map(str, outcome.paths))
        print(f"{done} slides, {outcome.seconds:.1f} s -> {files}")
    if failed:
        say(f"error: {what}")
    return 1 if failed else 0


def _telling(path: Path, cancelled: Callable[[], bool]) -> Telling:
    """Tell on standard error how far a slide is."""
    from napari_nh2st.cohort.one_slide import Telling

    bar = Bar(path.name)
    return Telling(say, lambda p: bar(p.done, p.total), lambda file, kept: export_bar(file, cancelled, kept))
