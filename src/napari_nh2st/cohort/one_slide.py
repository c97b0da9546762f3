"""Predicting one slide into its folder and its files, as the command line does alone and each worker of a cohort."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.analysis.region_files import write_table
from napari_nh2st.cohort.wishes import Wishes
from napari_nh2st.engine.going_on import settle
from napari_nh2st.engine.memory import ask_for
from napari_nh2st.engine.open_session import open_session
from napari_nh2st.engine.places import ground_of, tissue_places
from napari_nh2st.engine.predict import predict_places, results_folder, store_for
from napari_nh2st.errors import Cancelled, Nh2stError, SlideAway
from napari_nh2st.formats import check_size, export
from napari_nh2st.provenance import repeat_command
from napari_nh2st.slides.artefacts import count_kinds, counts_in_words, rounded_shares

if TYPE_CHECKING:
    from napari_nh2st.engine.chunk import Progress
    from napari_nh2st.engine.going_on import Settled
    from napari_nh2st.engine.options import PredictionOptions
    from napari_nh2st.engine.place_session import PlaceSession
    from napari_nh2st.engine.prediction import Prediction
    from napari_nh2st.engine.store import PredictionStore
    from napari_nh2st.geometry import TileSet
    from napari_nh2st.model.models import AnyModel
    from napari_nh2st.slides import Ground, Slide


@dataclass(frozen=True)
class Telling:
    """Where the work on a slide tells how far it is.

    Attributes
    ----------
    say : callable
        Takes a note, a sentence.
    tiles : callable
        Takes a `Progress`.
    export : callable
        Takes a file and what is kept when somebody stops; returns the file's progress callback.
    """

    say: Callable[[str], object]
    tiles: Callable[[Progress], object]
    export: Callable[[Path, str], Callable[[float], None]]


@dataclass(frozen=True)
class Filled:
    """A slide whose tiles are all predicted.

    Attributes
    ----------
    store : PredictionStore
    places : TileSet
        What this command asked for.
    encoded : int
        How many of them were encoded for it.
    session : PlaceSession
    left_out : dict of int or None
        How many tiles were left out, by the kind of artefact that covers most of each; None if none were to be.
    """

    store: PredictionStore
    places: TileSet
    encoded: int
    session: PlaceSession
    left_out: dict[str, int] | None = None

    @property
    def left_out_words(self) -> str:
        """The number of tiles left out, after a comma; or ""."""
        return "" if self.left_out is None else f", left out for artefacts: {counts_in_words(self.left_out)}"


def settled_places(
    slide: Slide, model: AnyModel, options: PredictionOptions, wishes: Wishes
) -> tuple[Settled, TileSet]:
    """Choose the tiles of a slide; make sure that what is to be made of them fits into memory."""
    slide.tissue(cancelled=options.cancelled)
    settled = settle(results_folder(wishes.out, slide), slide, model, wishes.pitch, options)
    places = _places(slide, model, wishes, settled.pitch, ground_of(slide, options))
    _ask_for_memory(len(places), model, wishes)
    return settled, places


def look_for_artefacts(slide: Slide, options: PredictionOptions, wishes: Wishes) -> None:
    """Look for artefacts where they are asked for; a whole slide that is to be without them is looked over as well."""
    asked = wishes.quality or options.skip_artefacts is not None
    if asked and wishes.region is None and wishes.drawn is None:
        slide.artefacts(cancelled=options.cancelled)


def _places(slide: Slide, model: AnyModel, wishes: Wishes, pitch: int, ground: Ground) -> TileSet:
    if wishes.drawn is None:
        return tissue_places(slide, model.card, wishes.region, pitch, ground)
    return wishes.drawn.places(slide, model.card, pitch, ground)


def _left_out(
    slide: Slide, model: AnyModel, wishes: Wishes, pitch: int, options: PredictionOptions
) -> dict[str, int] | None:
    """Count the tiles that artefacts keep out, by kind."""
    if options.skip_artefacts is None:
        return None
    tiles = _places(slide, model, wishes, pitch, slide.tissue())
    shares = slide.artefacts().shares_at(tiles.centres, model.card.patch * tiles.scale)
    return count_kinds(shares, options.skip_artefacts)


def fill(
    slide: Slide,
    model: AnyModel,
    options: PredictionOptions,
    wishes: Wishes,
    telling: Telling,
    *,
    repeatable: bool = False,
) -> Filled:
    """Predict what the slide's folder lacks; if it is to be repeatable, to the same bytes wherever it was stopped.

    Raises
    ------
    Nh2stError
        If it was stopped, or the slide is out of reach: what was predicted is kept, and the line says so.
    """
    look_for_artefacts(slide, options, wishes)
    settled, places = settled_places(slide, model, options, wishes)
    left_out = _left_out(slide, model, wishes, places.pitch, options)
    for note in settled.notes:
        telling.say(f"note: {note}")
    store = store_for(wishes.out, slide, model, places.pitch, settled.options)
    if store.mended:
        telling.say(f"note: damaged tiles of {store.path}, computed again: {store.mended}")
    options = replace(settled.options, store=store, whole=places if repeatable else None)
    try:
        session = open_session(slide, model, pitch=places.pitch, options=options)
        _, encoded = predict_places(slide, model, places, options, telling.tiles, session=session)
    except Cancelled:
        store.close()
        raise Nh2stError(f"stopped; what was predicted is kept in {store.path}, and the same command goes on") from None
    except SlideAway as error:
        store.close()
        kept = f"What was predicted is kept in {store.path}, and the same command goes on when the slide is back"
        raise SlideAway(f"{error} {kept}") from error
    except BaseException:
        store.close()
        raise
    return Filled(store, places, encoded, session, left_out)


def artefact_facts(slide: Slide, filled: Filled) -> dict[str, Any]:
    """Return what `predict --json` says of artefacts: shares of the tissue, and tiles left out; null if not asked."""
    shares = slide.artefact_shares
    return {"artefacts": None if shares is None else rounded_shares(shares), "tiles_left_out": filled.left_out}


def write_files(filled: Filled, stem: str, wishes: Wishes, telling: Telling) -> tuple[Prediction, list[str]]:
    """Write the files that were asked for, with the tiles of this command; returns these and the files' paths.

    With drawn regions, a table of their genes as well: "elsewhere" is everything else in the slide's folder.
    """
    store = filled.store
    part = _only_at(store.prediction(), filled.places)
    named = wishes.selection.of_prediction(part, {"command": repeat_command()})
    kept = f"what was predicted is kept in {store.path}, and the same command goes on"
    polygons = None if wishes.drawn is None else wishes.drawn.polygons
    files = [
        str(export(named, name, file, wishes.genes, bar, regions=polygons, intervals=wishes.intervals))
        for name, file in wishes.files(stem)
        for bar in (telling.export(file, kept),)
    ]
    if wishes.drawn is not None:
        table = wishes.drawn.table(store.prediction(), wishes.genes)
        files.append(str(write_table(table, wishes.out / f"{stem}-regions.csv")))
    return part, files


def _ask_for_memory(tiles: int, model: AnyModel, wishes: Wishes) -> None:
    """Say before anything is computed that results would not fit into memory."""
    width = model.decoder.width
    ask_for(2 * 2 * tiles * width, f"a prediction of {tiles:,} tiles", "give a --region or a larger --pitch")
    genes = len(model.card.genes if wishes.genes is None else wishes.genes)
    for name in wishes.formats:
        check_size(name, tiles, genes)


def _only_at(prediction: Prediction, places: TileSet) -> Prediction:
    """Leave out what other commands have put into the folder."""
    assert prediction.places.grid is not None
    assert places.grid is not None
    columns = 1 + max(int(grid[:, 1].max(initial=0)) for grid in (prediction.places.grid, places.grid))
    there, asked = (grid[:, 0] * columns + grid[:, 1] for grid in (prediction.places.grid, places.grid))
    keep = np.isin(there, asked)
    return prediction.select(keep)
