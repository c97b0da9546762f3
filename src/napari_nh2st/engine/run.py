"""Run a model over places of a slide: encode what is missing, look, and hand out what is ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.engine.cache import Index
from napari_nh2st.engine.device import Precision, choose_device, choose_precision
from napari_nh2st.engine.embeddings import PREPROCESSING_VERSION, Embeddings, damaged_places
from napari_nh2st.engine.places import lattice_for, neighbourhood, slide_box, warnings_for
from napari_nh2st.engine.prediction import Prediction
from napari_nh2st.engine.store import DAMAGED, EMPTY, PREDICTED, SUFFIX, Header, PredictionStore
from napari_nh2st.errors import Cancelled
from napari_nh2st.geometry import Box, IntArray, TileSet
from napari_nh2st.model.folder import Model, decoder_of, load_model
from napari_nh2st.provenance import repeat_command, versions
from napari_nh2st.slides import Slide, TissueMask, open_slide
from napari_nh2st.slides.cache import cache_folder

if TYPE_CHECKING:
    from napari_nh2st.model.card import Card

__all__ = ["Chunk", "Job", "Progress", "lattice_for", "predict", "run", "stream", "warnings_for"]

# Side of a group of tiles that is handed out at once, in model pixels.
GROUP = 1024
# Given places (spots of a patch encoder) that are encoded at once.
SPOT_BATCH = 64


def never() -> bool:
    """Never cancel."""
    return False


@dataclass(frozen=True)
class Job:
    """What to compute with and where to keep it.

    Attributes
    ----------
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "fp32", "bf16"}
    tissue : TissueMask or None
        Which neighbours are tissue; the slide's own mask by default.
    store : PredictionStore or None
        Where results last; what it holds already is not computed again.
    cache : bool
        Keep embeddings on disk, in the user's cache folder.
    cancelled : callable
        Asked between stages of the encoder.
    """

    device: str = "auto"
    precision: Precision = "auto"
    tissue: TissueMask | None = None
    store: PredictionStore | None = None
    cache: bool = True
    cancelled: Callable[[], bool] = never


@dataclass(frozen=True, eq=False)
class Chunk:
    """Places that are ready.

    Attributes
    ----------
    indices : (k,) int64
        Positions in the places that were asked for.
    hidden : (k, h) float16
        NaN rows where the file is damaged under a place.
    done, total : int
        Places handed out so far, this chunk included, and in all.
    encoded : int
        How many of these k places were encoded for this run; the others were there already.
    """

    indices: IntArray
    hidden: npt.NDArray[np.float16]
    done: int
    total: int
    encoded: int


@dataclass(frozen=True)
class Progress:
    """Where a run stands: places done, of total."""

    done: int
    total: int


def _groups(places: TileSet, model: Model) -> list[IntArray]:
    """Split places into squares of the lattice (or batches of given places), row by row."""
    if not len(places):
        return []
    if places.grid is None and not model.net.dense:
        return [np.arange(i, min(i + SPOT_BATCH, len(places))) for i in range(0, len(places), SPOT_BATCH)]
    corner = places.centres / places.scale - model.card.patch / 2
    side = max(1, GROUP // places.pitch) * places.pitch
    square = np.floor(corner[:, ::-1] / side + 1e-6).astype(np.int64)
    _, owner = np.unique(square, axis=0, return_inverse=True)
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)


@dataclass(frozen=True, eq=False)
class _Group:
    """Places that are handed out at once, with their surroundings.

    Attributes
    ----------
    indices : (k,) int64
    places : TileSet
    centres, present : (k, 9, 2), (k, 9)
        Their neighbourhoods.
    needs : (m, 2) float64
        Every place whose embedding is read for them.
    """

    indices: IntArray
    places: TileSet
    centres: npt.NDArray[np.float64]
    present: npt.NDArray[np.bool_]
    needs: npt.NDArray[np.float64]


class _Looker:
    """Turns embeddings into hidden vectors for groups of places."""

    def __init__(self, slide: Slide, model: Model, places: TileSet, job: Job) -> None:
        device = choose_device(job.device)
        self.embeddings = Embeddings(
            slide,
            model,
            pitch=places.pitch,
            device=device,
            precision=choose_precision(job.precision, device),
            cache_root=cache_folder() if job.cache else None,
            cancelled=job.cancelled,
        )
        self.slide, self.model, self.places, self.device = slide, model, places, device
        self.tissue = slide.tissue() if job.tissue is None else job.tissue

    def group(self, indices: IntArray) -> _Group:
        """Lay out the neighbourhoods of some places, once for reading, encoding and looking."""
        places = self.places.select(indices)
        centres, present = neighbourhood(places, self.model.card, slide_box(self.slide), self.tissue)
        return _Group(indices, places, centres, present, centres[present] if self.model.net.dense else places.centres)

    def look(self, group: _Group) -> npt.NDArray[np.float16]:
        """Hidden vectors (k, h) of a group whose blocks are there; NaN where the file is damaged."""
        places, centres, present = group.places, group.centres, group.present
        net = self.model.net
        if not net.dense:
            spots = places.grid is None
            target = self.embeddings.patches_at(places.centres) if spots else self.embeddings.at(places.centres)
            near = np.broadcast_to(target[:, None], (len(target), 9, target.shape[1]))
        else:
            near = np.zeros((*present.shape, self.embeddings.cache.dim), dtype=np.float32)
            near[present] = self.embeddings.at(centres[present])
            target = self.embeddings.at(places.centres)
        with torch.inference_mode():
            arrays = (torch.from_numpy(np.array(a)).to(self.device) for a in (target, near, present))
            hidden = net.look(*arrays).float().cpu().numpy()
        hidden[damaged_places(self.slide, places, self.model.card.patch)] = np.nan
        return np.asarray(hidden, dtype=np.float16)


def stream(slide: Slide, model: Model, places: TileSet, job: Job | None = None) -> Iterator[Chunk]:
    """Predict at places and hand them out as they are ready.

    Parameters
    ----------
    slide : Slide
        Its mpp must be known.
    model : Model
    places : TileSet
        From `lattice_for`, or given places such as spots.
    job : Job, optional

    Yields
    ------
    Chunk
        First what the store holds already, then groups of tiles, row by row.

    Raises
    ------
    Cancelled
        Within a fraction of a block after `job.cancelled` turns true. What was encoded stays in the cache, what was
        handed out stays in the store.
    """
    job = Job() if job is None else job
    total = len(places)
    done = 0
    todo = np.arange(total)
    if job.store is not None and places.grid is not None and total:
        state = job.store.state_at(places.grid)
        known = np.flatnonzero(state != EMPTY)
        if len(known):
            done = len(known)
            yield Chunk(known, job.store.read(places.grid[known]), done, total, 0)
        todo = np.flatnonzero(state == EMPTY)
    if not len(todo):
        return
    looker = _Looker(slide, model, places.select(todo), job)
    for group, hidden, encoded in _work(looker, job):
        indices = todo[group]
        if job.store is not None and places.grid is not None:
            state = np.where(np.isfinite(hidden).all(axis=1), PREDICTED, DAMAGED).astype(np.uint8)
            job.store.write(places.grid[indices], hidden, state)
        done += len(indices)
        yield Chunk(indices, hidden, done, total, encoded)


def _work(looker: _Looker, job: Job) -> Iterator[tuple[IntArray, npt.NDArray[np.float16], int]]:
    """Read ahead in a thread, encode, look: yields (group, hidden, newly encoded places)."""
    embeddings = looker.embeddings
    with ThreadPoolExecutor(1, thread_name_prefix="nh2st-read") as reader:
        ahead: dict[Index, Future[npt.NDArray[np.uint8]]] = {}
        groups = [looker.group(g) for g in _groups(looker.places, looker.model)]
        on_grid = looker.places.grid is not None or looker.model.net.dense
        try:
            for i, group in enumerate(groups):
                if job.cancelled():
                    raise Cancelled("stopped")
                for index in embeddings.missing(group.needs) if on_grid else []:
                    pixels = ahead.pop(index, None) or reader.submit(embeddings.read, index, group.needs)
                    _read_ahead(embeddings, reader, ahead, [g.needs for g in groups[i + 1 : i + 3]], index)
                    embeddings.encode(index, pixels.result(), group.needs)
                yield group.indices, looker.look(group), _count_encoded(looker, group.places, on_grid)
        finally:
            for future in ahead.values():
                future.cancel()


def _read_ahead(
    embeddings: Embeddings,
    reader: ThreadPoolExecutor,
    ahead: dict[Index, Future[npt.NDArray[np.uint8]]],
    wants: list[npt.NDArray[np.float64]],
    current: Index,
) -> None:
    """Start to read the next missing block while this one is encoded. Blocks of patches differ by what is wanted."""
    if not embeddings.dense:
        return
    for centres in wants:
        for index in embeddings.missing(centres):
            if index != current and index not in ahead and len(ahead) < 2:
                ahead[index] = reader.submit(embeddings.read, index, centres)


def _count_encoded(looker: _Looker, places: TileSet, on_grid: bool) -> int:
    if not on_grid:
        return len(places)
    fresh = looker.embeddings.encoded_blocks
    if not fresh:
        return 0
    return sum(bool(fresh.intersection(looker.embeddings.blocks_for(c[None]))) for c in places.centres)


def run(
    slide: Slide,
    model: Model,
    places: TileSet,
    job: Job | None = None,
    progress: Callable[[Progress], Any] | None = None,
) -> tuple[Prediction, int]:
    """Predict at all places.

    Returns
    -------
    Prediction
    int
        How many places were encoded for this run.

    Raises
    ------
    Cancelled
        As `stream`.
    """
    width = model.net.decoder.in_features
    hidden = np.full((len(places), width), np.nan, dtype=np.float16)
    encoded = 0
    for chunk in stream(slide, model, places, job):
        hidden[chunk.indices] = chunk.hidden
        encoded += chunk.encoded
        if progress is not None:
            progress(Progress(chunk.done, chunk.total))
    facts = slide_facts(slide), provenance(model, job or Job())
    return Prediction(places, hidden, decoder_of(model.net), model.card, *facts), encoded


def slide_facts(slide: Slide) -> dict[str, Any]:
    """Say which slide a prediction is of, as files keep it."""
    return {
        "path": str(slide.path.resolve()),
        "fingerprint": slide.fingerprint,
        "mpp": slide.mpp,
        "mpp_source": slide.mpp_source,
        "shape": [int(v) for v in slide.shape],
        "synthetic": slide.synthetic,
    }


def provenance(model: Model, job: Job) -> dict[str, Any]:
    """Say what made a prediction: model hash, device, precision, versions and the command."""
    device = choose_device(job.device)
    return {
        "model": model.card.name,
        "model_hash": model.hash,
        "device": str(device),
        "precision": choose_precision(job.precision, device),
        "versions": versions(),
        "command": repeat_command(),
    }


def store_for(folder: Path, slide: Slide, model: Model, pitch: int, job: Job) -> PredictionStore:
    """Open or make the durable folder ``<slide stem>.nh2st`` for the whole lattice of a slide.

    Raises
    ------
    Nh2stError
        If the folder holds the prediction of another slide, model, pitch or precision.
    """
    card: Card = model.card
    scale = card.scale_on(slide.require_mpp())
    facts = provenance(model, job)
    signature = {
        "slide": slide.fingerprint,
        "mpp": slide.mpp,
        "model": model.hash,
        "pitch": pitch,
        "device": choose_device(job.device).type,
        "precision": facts["precision"],
        "preprocessing": PREPROCESSING_VERSION,
    }
    lattice = {"scale": scale, "pitch": pitch, "patch": card.patch}
    grid = tuple(int(np.ceil(v / scale / pitch)) for v in slide.shape)
    header = Header(signature, lattice, card, decoder_of(model.net), slide_facts(slide), facts)
    path = folder / f"{slide.path.stem}{SUFFIX}"
    return PredictionStore.create(path, (grid[0], grid[1]), max(1, GROUP // pitch), header)


def predict(
    slide: str | Path | Slide,
    model: str | Path | Model = "demo",
    *,
    region: Box | None = None,
    pitch: int | None = None,
    mpp: float | None = None,
    out: str | Path | None = None,
    job: Job | None = None,
    progress: Callable[[Progress], Any] | None = None,
) -> Prediction:
    """Predict expression over a slide, or a region of it.

    Parameters
    ----------
    slide : path or Slide
    model : name, path or Model
        A bundled model's name, a model folder, or a model from `load_model`.
    region : Box, optional
        Level-0 pixels; the whole slide by default.
    pitch : int, optional
        Distance between tiles in model pixels; the patch size by default.
    mpp : float, optional
        Micrometres per level-0 pixel, where the slide does not say so itself.
    out : path, optional
        A folder in which results last (``<slide stem>.nh2st``); a second run computes only what is missing.
    job : Job, optional
        Device, precision, tissue mask, cancel.
    progress : callable, optional
        Called with a `Progress` after every group of tiles.

    Returns
    -------
    Prediction
        At the tissue tiles of the region.

    Raises
    ------
    SlideError, MppNeeded, ModelError
        One line each, that says what to do.
    Cancelled
        If `job.cancelled` turns true.
    """
    slide = slide if isinstance(slide, Slide) else open_slide(slide, mpp=mpp)
    model = model if isinstance(model, Model) else load_model(model)
    job = Job() if job is None else job
    pitch = model.card.patch if pitch is None else pitch
    places = lattice_for(slide, model.card, region, pitch, job.tissue)
    if out is not None:
        job = replace(job, store=store_for(Path(out), slide, model, pitch, job))
    return run(slide, model, places, job, progress)[0]
