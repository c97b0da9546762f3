"""One slide and one model, open: it predicts at the places it is asked for, and encodes only what is missing.

The way of a tile's value: `Slide.read` gives pixels; `ModelRunner` encodes them; `Embeddings` keeps one embedding (d,)
for each place; `GroupLayout` says which embeddings a place sees; `ModelRunner.hidden_vectors` turns these into a hidden
vector (h,); a `Chunk` hands it out; the decoder of a `Prediction` turns it into one value a gene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from napari_nh2st.engine.block_encoder import BlockEncoder
from napari_nh2st.engine.embeddings import DenseEmbeddings, PatchEmbeddings, read_patches
from napari_nh2st.engine.groups import GroupLayout, PlaceGroup
from napari_nh2st.engine.model_runner import F32, ModelRunner
from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.engine.place_session import F16, PlaceSession, Predicted
from napari_nh2st.engine.places import damaged_at
from napari_nh2st.engine.precision import chosen
from napari_nh2st.engine.read_ahead import reader_threads
from napari_nh2st.engine.slide_sample import sample_places
from napari_nh2st.engine.windows import Window
from napari_nh2st.errors import Cancelled
from napari_nh2st.geometry import SELF, FloatArray, TileSet
from napari_nh2st.model.heads.seen import SlideSample
from napari_nh2st.model.heads.table import SAMPLE_PLACES
from napari_nh2st.slides.cache import cache_folder

if TYPE_CHECKING:
    from napari_nh2st.engine.head_runner import SeenSlide
    from napari_nh2st.model.folder import Model
    from napari_nh2st.model.heads.tissue_graph import TissueGraph
    from napari_nh2st.slides import Slide

# Patches that are encoded at once: spots of a patch encoder, or a preview.
PATCH_BATCH = 32

_Int32 = npt.NDArray[np.int32]


class Session(PlaceSession):
    """Predicts at places of one slide with one model; what is encoded stays at hand for the next question.

    Slow to make (it loads torch and prepares the model), cheap to ask. One stream at a time: a second one waits until
    the first has ended or heard its cancel.

    Parameters
    ----------
    slide : Slide
        Its mpp must be known.
    model : Model
    pitch : int, optional
        Distance between lattice tiles, model pixels; the patch size by default (the coarse map), the encoder's stride
        for the finest one.
    options : PredictionOptions, optional

    Raises
    ------
    MppNeeded
        If the slide does not say how large its pixels are.
    """

    model: Model

    def __init__(
        self, slide: Slide, model: Model, *, pitch: int | None = None, options: PredictionOptions | None = None
    ) -> None:
        super().__init__(slide, model, pitch=pitch, options=options)
        self.runner = (self.options.runner_of or ModelRunner)(model.net, *chosen(self.options))
        root = cache_folder() if self.options.cache else None
        self.dense: bool = model.net.dense
        self.embeddings: DenseEmbeddings | PatchEmbeddings = (
            DenseEmbeddings(slide, model, self.runner, root, self.options.view)
            if self.dense
            else PatchEmbeddings(slide, model, self.runner, self.pitch, root, self.options.view)
        )
        self._layout = GroupLayout(slide, model.card, self.embeddings, self.tissue)
        self._encoder = BlockEncoder(self.embeddings)
        self._windows: list[Window] | None = None
        self._sample = self._sample_group() if "sample" in model.net.needs else None
        self._seen_slide: SeenSlide | None = None
        self.precision = self.runner.precision

    def preview(self, places: TileSet, *, cancelled: Callable[[], bool] | None = None) -> F16:
        """Predict quickly, from each place's patch alone, without its surroundings, nor a slide that is not seen yet.

        Returns
        -------
        (n, h) float16
            Hidden vectors as in `stream`, though not the same: only a preview until the true ones are there.
        """
        stopped = self._stopped(cancelled)
        hidden = np.empty((len(places), self._width), np.float16)
        with self._alone(stopped):
            for i in range(0, len(places), PATCH_BATCH):
                batch = slice(i, i + PATCH_BATCH)
                embeddings = self._encode_patches(places.centres[batch], stopped)  # (k, d)
                own = np.arange(len(embeddings), dtype=np.int32)
                present = np.zeros((len(embeddings), 9), dtype=bool)
                present[:, SELF] = True
                nine = np.repeat(own[:, None], 9, axis=1)
                at = self._micrometres(places.centres[batch])
                hidden[batch] = self.runner.hidden_vectors(embeddings, own, nine, present, self._seen_slide, at)
        return hidden

    def embed(self, places: TileSet, *, cancelled: Callable[[], bool] | None = None) -> F32:
        """Encode places: each patch by itself, before its surroundings come in.

        Returns
        -------
        (n, d) float32
            Of a dense encoder its channels and the stain statistics. What is at hand is not encoded again.
        """
        stopped = self._stopped(cancelled)
        out = np.empty((len(places), self.model.net.embedding_dim), dtype=np.float32)
        with self._alone(stopped):
            if self._spots_of_patches(places):
                for i in range(0, len(places), PATCH_BATCH):
                    batch = slice(i, i + PATCH_BATCH)
                    out[batch] = self._encode_patches(places.centres[batch], stopped)
            else:
                for group in self._encoded_groups(places, None, stopped):
                    out[group.indices] = self._encoder.embeddings_of(group, stopped)[group.own]
        return out

    def graph(self, *, cancelled: Callable[[], bool] | None = None) -> tuple[FloatArray, TissueGraph]:
        """Return the places of the slide's sample (n, 2), level-0 pixels, and how the head links them.

        Only for a head whose row has a graph (`Head.graph`).
        """
        stopped = self._stopped(cancelled)
        with self._alone(stopped):
            self._see_slide(stopped)
        assert self._seen_slide is not None
        sample = self._seen_slide.sample
        centres = sample.centres[sample.present].double().cpu().numpy() / self.slide.require_mpp()
        return centres, self.model.net.head.graph(sample)

    def ready(self, places: TileSet) -> bool:
        """Tell whether places can be answered without encoding anything; cheap."""
        if not len(places):
            return True
        groups = [self._layout.group(places, np.arange(len(places)))]
        groups += [self._sample] if self._sample is not None and self._seen_slide is None else []
        return not any(len(self.embeddings.lacking(self._encoder.entries(group))) for group in groups)

    def _begin(self) -> None:
        self._encoder.fresh.clear()

    def _predict(
        self,
        places: TileSet,
        focus: tuple[float, float] | None,
        cancelled: Callable[[], bool],
        absent: npt.NDArray[np.bool_] | None = None,
    ) -> Iterator[Predicted]:
        """Encode what is missing and predict: yields positions (k,), hidden vectors (k, h), newly encoded places."""
        if self._spots_of_patches(places):
            yield from self._predict_spots(places, cancelled)
            return
        self._see_slide(cancelled)
        for group in self._encoded_groups(places, focus, cancelled):
            seen = group if absent is None or not self.dense else group.without(absent[group.indices])
            embeddings = self._encoder.embeddings_of(group, cancelled)  # (m, d)
            hidden = self._hidden(places.centres[group.indices], embeddings, seen.own, seen.nine, seen.present)
            yield group.indices, hidden, self._encoder.count_fresh(group)

    def _encoded_groups(
        self, places: TileSet, focus: tuple[float, float] | None, cancelled: Callable[[], bool]
    ) -> Iterator[PlaceGroup]:
        """Yield groups of places as soon as everything that they see is encoded."""
        windows = self._windows_of_all()
        with reader_threads() as threads:
            for groups in self._layout.groups(places, focus):
                yield from self._encoder.encode(groups, focus, threads, cancelled, windows)

    def _sample_group(self) -> PlaceGroup:
        """Lay out the slide's sample, which is the same whatever tissue, region or pitch is asked for."""
        places = sample_places(self.slide, self.model.card)
        entries = np.round(self.embeddings.entries(places.centres)).astype(np.int64)
        own = np.arange(len(entries), dtype=np.int32)
        blocks = frozenset(self.embeddings.blocks(entries))
        alone = np.ones((len(entries), 1), dtype=bool)
        return PlaceGroup(np.arange(len(entries)), entries, own, own[:, None], alone, blocks)

    def _see_slide(self, cancelled: Callable[[], bool]) -> None:
        """Encode the slide's sample and let the head look at it, once, if the head needs it."""
        if self._sample is None or self._seen_slide is not None:
            return
        group, out = self._sample, SlideSample.none(SAMPLE_PLACES, self.model.net.embedding_dim)
        count = len(group.indices)
        if count:
            with reader_threads() as threads:
                for _ in self._encoder.encode([group], None, threads, cancelled):
                    out.embeddings[0, :count] = torch.from_numpy(self._encoder.embeddings_of(group, cancelled))
            out.present[0, :count] = True
            out.centres[0, :count] = torch.from_numpy(
                self._micrometres(self.embeddings.centres(group.entries.astype(np.int64)))
            )
        self._seen_slide = self.runner.see_slide(out)

    def _micrometres(self, centres: FloatArray) -> F32:
        """Places (k, 2) in level-0 pixels as µm on the slide."""
        return (centres * self.slide.require_mpp()).astype(np.float32)

    def _windows_of_all(self) -> list[Window] | None:
        """Return the windows of all places that were named in the options; None if none were."""
        if self.options.whole is None or not self.dense:
            return None
        if self._windows is None:
            groups = chain.from_iterable(self._layout.groups(self.options.whole, None))
            entries = [np.unique(self._encoder.entries(group), axis=0) for group in groups]
            self._windows = self.embeddings.windows(np.concatenate(entries), self._encoder.largest)
        return self._windows

    def _spots_of_patches(self, places: TileSet) -> bool:
        """Tell whether these are spots for a patch encoder: off the lattice, on which it keeps its embeddings."""
        return places.grid is None and not self.dense

    def _predict_spots(self, places: TileSet, cancelled: Callable[[], bool]) -> Iterator[Predicted]:
        """As `_predict`, for spots of a patch encoder: each is a patch of its own, to the nearest model pixel."""
        for i in range(0, len(places), PATCH_BATCH):
            if cancelled():
                raise Cancelled("stopped")
            indices = np.arange(i, min(i + PATCH_BATCH, len(places)))
            embeddings = self._encode_patches(places.centres[indices], cancelled)  # (k, d)
            own = np.arange(len(embeddings), dtype=np.int32)
            alone = np.ones((len(embeddings), 1), dtype=bool)
            hidden = self._hidden(places.centres[indices], embeddings, own, own[:, None], alone)
            yield indices, hidden, len(indices)

    def _encode_patches(self, centres: FloatArray, cancelled: Callable[[], bool]) -> F32:
        """Encode each place's patch by itself: (k, 2) -> (k, d)."""
        corners = np.round(centres[:, ::-1] / self.scale - self.model.card.patch / 2).astype(np.int64)
        pixels = read_patches(self.slide, corners, self.model.card.patch, self.scale, self.options.view)
        return self.runner.encode_patches(pixels, cancelled)

    def _hidden(
        self, centres: FloatArray, embeddings: F32, own: _Int32, nine: _Int32, present: npt.NDArray[np.bool_]
    ) -> F16:
        """Hidden vectors (k, h) of places (k, 2), NaN where the file is damaged; see `PlaceGroup` for the rest."""
        at = self._micrometres(centres)
        hidden = self.runner.hidden_vectors(embeddings, own, nine, present, self._seen_slide, at)  # (k, h)
        hidden[damaged_at(self.slide, centres, self.model.card.patch, self.scale)] = np.nan
        return hidden.astype(np.float16)
