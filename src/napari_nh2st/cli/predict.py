"""`nh2st predict`: expression over slides, as folders that last and as files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_nh2st.cli.checks import check_folder, check_slides
from napari_nh2st.cli.options import (
    DeviceOption,
    GenesOption,
    JsonOption,
    MppOption,
    PrecisionOption,
    RegionOption,
    SlidesArg,
    checked_precision,
    genes_of,
    names,
    prediction_options,
    region_box,
    slides_and_mpp,
)
from napari_nh2st.cli.output import export_bar, print_json
from napari_nh2st.errors import Cancelled, Nh2stError, SlideAway
from napari_nh2st.provenance import repeat_command
from napari_nh2st.slide_path import slide_stem
from napari_nh2st.terminal import Bar, interruptible, say

if TYPE_CHECKING:
    from napari_nh2st.engine.options import PredictionOptions
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.engine.store import PredictionStore
    from napari_nh2st.formats.selection import Selection
    from napari_nh2st.geometry import Box, TileSet
    from napari_nh2st.model.models import AnyModel
    from napari_nh2st.slides import Slide


@dataclass(frozen=True)
class _Choices:
    """The options of the command line that hold for every slide; `region` in level-0 pixels."""

    region: Box | None
    pitch: int | None
    out: Path
    formats: list[str]
    genes: list[str] | None
    quiet: bool

    @property
    def selection(self) -> Selection:
        """The tiles and genes that the files are to hold."""
        from napari_nh2st.formats.selection import Selection

        return Selection.of(self.region, self.genes)


def predict(
    slides: SlidesArg,
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="M", help="A model's name (nh2st models) or a model folder.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.", show_default=False)],
    region: RegionOption = None,
    pitch: Annotated[int | None, typer.Option("--pitch", help="Distance between tiles in model pixels.")] = None,
    genes: GenesOption = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="F,...",
            help="Files to write: h5ad, csv, parquet, geojson, ome-tiff, ome-zarr, spatialdata; or none.",
        ),
    ] = "h5ad",
    mpp: MppOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Predict expression over slides; a second run encodes only what is missing.

    Results last in OUT/<slide>.nh2st, from which `nh2st export` makes any format without predicting again.
    """
    box, exporters = region_box(region), _checked_formats(formats)
    precision = checked_precision(precision)
    check_folder(out)
    targets = slides_and_mpp(slides, mpp)
    check_slides(path for path, _ in targets)
    _check_distinct([path for path, _ in targets])
    from napari_nh2st.model.models import load_card

    choices = _Choices(box, pitch, out, exporters, genes_of(load_card(model), genes), quiet=as_json)
    for path, _ in targets:
        _refuse_smaller(slide_stem(path), choices)
    from napari_nh2st.engine.predict import provenance
    from napari_nh2st.model.models import load_model

    if "h5ad" in exporters:
        import anndata  # noqa: F401 (now: where memory is short, it is better that this fails before the work than after)
    options = prediction_options(device, precision, interruptible())
    loaded = load_model(model)
    rows = [_predict_one(path, its_mpp, loaded, options, choices) for path, its_mpp in targets]
    if as_json:
        print_json({"slides": rows, "provenance": provenance(loaded, options)})


def _checked_formats(text: str) -> list[str]:
    from napari_nh2st.formats import EXPORTERS

    formats = [f for f in names(text) or [] if f not in ("none", "nh2st")]  # the folder is always written
    unknown = [f for f in formats if f not in EXPORTERS]
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(EXPORTERS)}", param_hint="--format")
    return formats


def _check_distinct(paths: list[Path]) -> None:
    """Refuse two slides of one name: results are named after the slide's file, and would meet in one folder."""
    stems = [slide_stem(path) for path in paths]
    twice = sorted({s for s in stems if stems.count(s) > 1})
    if twice:
        raise Nh2stError(f"several slides are named {', '.join(twice)}: predict them into folders of their own")


def _predict_one(
    path: Path, mpp: float | None, model: AnyModel, options: PredictionOptions, choices: _Choices
) -> dict[str, Any]:
    from napari_nh2st.engine.places import warnings_for
    from napari_nh2st.slides import open_slide

    started = time.monotonic()
    with open_slide(path, mpp=mpp) as slide:
        for warning in warnings_for(slide, model.card, model.reference):
            say(f"warning: {warning}")
        store, places, encoded = _fill_store(slide, model, options, choices)
        warnings = warnings_for(slide, model.card, model.reference)  # reading may have found damage
    outputs = [str(store.path), *_export(store, places, slide_stem(path), choices, options.cancelled)]
    total = len(places)
    row = {
        "path": str(path),
        "tiles_total": total,
        "tiles_encoded": encoded,
        "tiles_skipped": total - encoded,
        "seconds": round(time.monotonic() - started, 2),
        "outputs": outputs,
        "warnings": warnings,
    }
    if not choices.quiet:
        print(f"{path}: {total} tiles, {encoded} newly encoded, {row['seconds']} s -> {', '.join(outputs)}")
    return row


def _fill_store(
    slide: Slide, model: AnyModel, options: PredictionOptions, choices: _Choices
) -> tuple[PredictionStore, TileSet, int]:
    """Predict what the slide's folder lacks; returns it, the tiles, and how many were encoded."""
    from napari_nh2st.engine.going_on import settle
    from napari_nh2st.engine.places import tissue_places
    from napari_nh2st.engine.predict import predict_places, results_folder, store_for

    settled = settle(results_folder(choices.out, slide), slide, model, choices.pitch, options)
    for note in settled.notes:
        say(f"note: {note}")
    options = settled.options
    places = tissue_places(slide, model.card, choices.region, settled.pitch)
    _ask_for_memory(len(places), model, choices)
    store = store_for(choices.out, slide, model, places.pitch, options)
    if store.mended:
        say(f"note: damaged tiles of {store.path}, computed again: {store.mended}")
    bar = Bar(slide.path.name)
    try:
        _, encoded = predict_places(slide, model, places, replace(options, store=store), lambda p: bar(p.done, p.total))
    except Cancelled:
        raise Nh2stError(f"stopped; what was predicted is kept in {store.path}, and the same command goes on") from None
    except SlideAway as error:
        kept = f"What was predicted is kept in {store.path}, and the same command goes on when the slide is back"
        raise SlideAway(f"{error} {kept}") from error
    return store, places, encoded


def _ask_for_memory(tiles: int, model: AnyModel, choices: _Choices) -> None:
    """Say before anything is computed that results would not fit into memory."""
    from napari_nh2st.engine.memory import ask_for
    from napari_nh2st.formats import check_size

    width = model.decoder.width
    ask_for(2 * 2 * tiles * width, f"a prediction of {tiles:,} tiles", "give a --region or a larger --pitch")
    genes = len(model.card.genes if choices.genes is None else choices.genes)
    for name in choices.formats:
        check_size(name, tiles, genes)


def _export(
    store: PredictionStore, places: TileSet, stem: str, choices: _Choices, cancelled: Callable[[], bool]
) -> list[str]:
    """Write the files that were asked for, with the tiles of this command; returns their paths."""
    from napari_nh2st.formats import export

    part = _only_at(store.prediction(), places)
    part = choices.selection.of_prediction(part, {"command": repeat_command()})
    kept = f"what was predicted is kept in {store.path}, and the same command goes on"
    return [
        str(export(part, name, file, choices.genes, export_bar(file, cancelled, kept)))
        for name, file in _files(stem, choices)
    ]


def _only_at(prediction: Prediction, places: TileSet) -> Prediction:
    """Leave out what other commands have put into the folder."""
    import numpy as np

    assert prediction.places.grid is not None
    assert places.grid is not None
    columns = 1 + max(int(grid[:, 1].max(initial=0)) for grid in (prediction.places.grid, places.grid))
    there, asked = (grid[:, 0] * columns + grid[:, 1] for grid in (prediction.places.grid, places.grid))
    keep = np.isin(there, asked)
    return replace(prediction, places=prediction.places.select(keep), hidden=prediction.hidden[keep])


def _files(stem: str, choices: _Choices) -> list[tuple[str, Path]]:
    from napari_nh2st.formats import EXPORTERS

    return [(name, choices.out / f"{stem}{EXPORTERS[name].suffix}") for name in choices.formats]


def _refuse_smaller(stem: str, choices: _Choices) -> None:
    """Make sure that no file of an earlier command is replaced by a part of it."""
    from napari_nh2st.formats import record_in
    from napari_nh2st.formats.selection import refuse_smaller

    instead = (
        "choose another --out, or --format none and then nh2st export with --region, --genes and an --out of its own"
    )
    for name, file in _files(stem, choices):
        refuse_smaller(choices.selection, file, record_in(name, file), instead)
