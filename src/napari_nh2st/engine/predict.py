"""Predicting places of a slide into one `Prediction`; and the folder in which results last."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.engine.chunk import Progress
from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.embeddings import PREPROCESSING_VERSION
from napari_nh2st.engine.going_on import settle
from napari_nh2st.engine.groups import GROUP
from napari_nh2st.engine.open_session import open_session
from napari_nh2st.engine.options import OWN_PRECISION, PredictionOptions
from napari_nh2st.engine.precision import chosen
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.engine.result_header import Header
from napari_nh2st.engine.store import SUFFIX, PartStore, PredictionStore
from napari_nh2st.geometry import TileSet
from napari_nh2st.provenance import printable, repeat_command, versions
from napari_nh2st.slide_path import slide_stem, whole_path
from napari_nh2st.slides import Slide
from napari_nh2st.slides.artefacts import RULES_VERSION, rounded_shares

if TYPE_CHECKING:
    from napari_nh2st.engine.place_session import PlaceSession
    from napari_nh2st.engine.tile_arrays import Place
    from napari_nh2st.model.card import Card
    from napari_nh2st.model.models import AnyModel


def predict_places(
    slide: Slide,
    model: AnyModel,
    places: TileSet,
    options: PredictionOptions | None = None,
    progress: Callable[[Progress], Any] | None = None,
    *,
    session: PlaceSession | None = None,
) -> tuple[Prediction, int]:
    """Predict at all places, in a session of their own if none is given.

    Returns
    -------
    Prediction
    int
        How many places were encoded for this run.

    Raises
    ------
    Cancelled
        As `Session.stream`.
    """
    hidden = np.full((len(places), model.decoder.width), np.nan, dtype=np.float16)
    encoded = 0
    session = open_session(slide, model, pitch=places.pitch, options=options) if session is None else session
    for chunk in session.stream(places):
        hidden[chunk.indices] = chunk.hidden
        encoded += chunk.encoded
        if progress is not None:
            progress(Progress(chunk.done, chunk.total))
    facts = slide_facts(slide), provenance(model, options or PredictionOptions())
    return Prediction(places, hidden, model.decoder, model.card, *facts), encoded


def slide_facts(slide: Slide) -> dict[str, Any]:
    """Return the facts about a slide that a prediction keeps."""
    return {
        "path": printable(whole_path(slide.path)),  # a link into a store keeps its own name
        "fingerprint": slide.fingerprint,
        "mpp": slide.mpp,
        "mpp_source": slide.mpp_source,
        "shape": [int(v) for v in slide.shape],
        "synthetic": slide.synthetic,
        **({} if slide.artefact_shares is None else {"artefacts": rounded_shares(slide.artefact_shares)}),
    }


def provenance(model: AnyModel, options: PredictionOptions) -> dict[str, Any]:
    """Return the origin of a prediction: model hash, device, precision, versions and the command."""
    facts = model.card.predictor
    device, precision = (
        chosen(options) if facts is None or facts.encoder else (choose_device(options.device), OWN_PRECISION)
    )
    return {
        "model": model.card.name,
        **({} if facts is None else {"model_version": facts.version, "model_source": facts.source}),
        "model_hash": model.hash,
        "device": str(device),
        "precision": precision,
        **({} if options.skip_artefacts is None else {"skip_artefacts": options.skip_artefacts}),
        "versions": versions(),
        "command": repeat_command(),
    }


def results_folder(folder: Path, slide: Slide) -> Path:
    """Name the folder in which the results of a slide last."""
    return folder / f"{slide_stem(slide.path)}{SUFFIX}"


def store_for(folder: Path, slide: Slide, model: AnyModel, pitch: int, options: PredictionOptions) -> PredictionStore:
    """Open or make the durable folder ``<slide stem>.nh2st`` for the whole lattice of a slide, and lock it for writing.

    Device and precision that are "auto" are those of a folder that is there already.

    Raises
    ------
    Nh2stError
        If the folder holds the prediction of another slide, model, pitch or precision, or another process writes it.
    """
    path = results_folder(folder, slide)
    options = settle(path, slide, model, pitch, options).options
    grid = tuple(int(np.ceil(v / model.card.scale_on(slide.require_mpp()) / pitch)) for v in slide.shape)
    return PredictionStore.create(path, (grid[0], grid[1]), chunk_tiles(pitch), _header(slide, model, pitch, options))


def part_store_for(
    folder: Path, slide: Slide, model: AnyModel, pitch: int, options: PredictionOptions, chunks: Iterable[Place]
) -> PartStore:
    """Open some chunks of a folder that `store_for` has made, beside other processes that write others.

    Raises
    ------
    Nh2stError
        As `PartStore`.
    """
    path = results_folder(folder, slide)
    options = settle(path, slide, model, pitch, options).options
    return PartStore(path, chunks, _header(slide, model, pitch, options))


def chunk_tiles(pitch: int) -> int:
    """Return the tiles per side of a chunk of the durable folder."""
    return max(1, GROUP // pitch)


def _header(slide: Slide, model: AnyModel, pitch: int, options: PredictionOptions) -> Header:
    card: Card = model.card
    facts = provenance(model, options)
    signature = {
        "slide": slide.fingerprint,
        "mpp": slide.mpp,
        "model": model.hash,
        "pitch": pitch,
        "device": choose_device(options.device).type,
        "precision": facts["precision"],
        "preprocessing": PREPROCESSING_VERSION,
        **({} if options.skip_artefacts is None else {"limit of artefacts": [options.skip_artefacts, RULES_VERSION]}),
        **({} if card.predictor is None else {"version of the model": f"{card.name} {card.predictor.version}"}),
    }
    lattice = {"scale": card.scale_on(slide.require_mpp()), "pitch": pitch, "patch": card.patch}
    return Header(signature, lattice, card, model.decoder, slide_facts(slide), facts)
