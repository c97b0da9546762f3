"""One slide and someone else's model, open: it is asked about batches of tiles, or of our embeddings.

As in `Session`, places are those of the lattice, tiles are read at the model's scale, threads read ahead, a cancel is
asked before each batch, and batches shrink where memory is short. Nothing is kept but what the store keeps.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.device import choose_device
from napari_nh2st.engine.groups import GROUP, squares
from napari_nh2st.engine.memory import ask_for
from napari_nh2st.engine.options import OWN_PRECISION, PredictionOptions
from napari_nh2st.engine.out_of_memory import out_of_memory
from napari_nh2st.engine.place_session import F16, F32, PlaceSession, Predicted
from napari_nh2st.engine.places import damaged_at, neighbourhood, slide_box
from napari_nh2st.engine.predictor_inputs import AskedPlaces, EmbeddingInputs, TileInputs
from napari_nh2st.engine.read_ahead import read_ahead, reader_threads
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import SELF, IntArray, TileSet
from napari_nh2st.model.predictor import Batch

if TYPE_CHECKING:
    from napari_nh2st.model.predictor_model import PredictorModel
    from napari_nh2st.slides import Slide

Bools = npt.NDArray[np.bool_]
Stop = Callable[[], bool]
# Where somebody is waiting, no more places are asked about at once.
_NEAR = 16
_PIECE = 4096  # places of a whole slide that are handed out at once


class PredictorSession(PlaceSession):
    """Predicts at places of one slide with someone else's model; see `PlaceSession`.

    Raises
    ------
    ModelError
        If the model cannot be loaded.
    """

    model: PredictorModel

    def __init__(
        self, slide: Slide, model: PredictorModel, *, pitch: int | None = None, options: PredictionOptions | None = None
    ) -> None:
        super().__init__(slide, model, pitch=pitch, options=options)
        facts = model.card.predictor
        assert facts is not None
        if self.options.view and (facts.whole_slide or facts.neighbours):
            raise Nh2stError(f"the model {model.card.name!r} cannot be asked about turned tissue")
        self._neighbours, self._whole = facts.neighbours, facts.whole_slide
        self.batch_size = max(1, int(model.predictor.batch_size))
        self._of_slide: tuple[TileSet, F16] | None = None
        model.load(str(choose_device(self.options.device)))
        self.embeds, self.precision = facts.encoder is not None, OWN_PRECISION
        self.inputs: TileInputs | EmbeddingInputs
        if self.embeds:
            self.inputs = EmbeddingInputs(slide, model.card, self.pitch, self.options)
            self.precision = self.inputs.session.precision
        else:
            self.inputs = TileInputs(slide, model.card, self.options)

    def embed(self, places: TileSet, *, cancelled: Stop | None = None) -> F32:
        """Encode places with the encoder that the model needs.

        Raises
        ------
        Nh2stError
            If it needs none.
        """
        if not isinstance(self.inputs, EmbeddingInputs):
            raise Nh2stError(f"the model {self.model.card.name!r} gives no embeddings: this is not offered for it")
        return self.inputs.session.embed(places, cancelled=self._stopped(cancelled))

    def preview(self, places: TileSet, *, cancelled: Stop | None = None) -> F16:
        """Predict as always: there is no quicker way."""
        return self.hidden(places, cancelled=cancelled)

    def _predict(
        self, places: TileSet, focus: tuple[float, float] | None, cancelled: Stop, absent: Bools | None = None
    ) -> Iterator[Predicted]:
        if self._whole:
            yield from self._predict_whole(places, cancelled)
            return
        groups = squares(places, self.model.card.patch, self._side(places.pitch, focus), focus)
        asked = ((indices, self._asked(places.select(indices), absent, indices)) for indices in groups)
        if self.embeds:  # the encoder reads ahead by itself
            for indices, these in asked:
                inputs = self.inputs.read(these, cancelled)
                yield indices, self._marked(self._answers(inputs, these, cancelled), these.places), len(indices)
            return
        with reader_threads() as threads:
            for (indices, these), tiles in read_ahead(asked, lambda a: self.inputs.read(a[1], cancelled), threads):
                yield indices, self._marked(self._answers(tiles, these, cancelled), these.places), len(indices)

    def _side(self, pitch: int, focus: tuple[float, float] | None) -> int:
        """Return the side of a square of places that are read together, in model pixels."""
        if self.embeds and focus is None:
            return GROUP
        most = min(self.batch_size, self.inputs.most, self.batch_size if focus is None else _NEAR)
        return int(np.sqrt(most)) * pitch

    def _asked(self, places: TileSet, absent: Bools | None = None, rows: IntArray | None = None) -> AskedPlaces:
        """Find what stands around places; `absent` (m, 9), of which these places are `rows`, is left out."""
        if not self._neighbours:
            present = np.zeros((len(places), 9), dtype=bool)
            present[:, SELF] = True
            return AskedPlaces(places, np.repeat(places.centres[:, None], 9, axis=1), present)
        nine, present = neighbourhood(places, self.model.card, slide_box(self.slide), self.tissue)
        if absent is not None:
            present &= ~absent[rows]
            present[:, SELF] = True
        return AskedPlaces(places, nine, present)

    def _answers(self, inputs: Any, asked: AskedPlaces, cancelled: Stop) -> F32:
        """Ask the model about places (n,), in batches that memory has room for -> (n, G)."""
        out, at = np.empty((len(asked), self._width), dtype=np.float32), 0
        while at < len(asked):
            if cancelled():
                raise Cancelled("stopped")
            rows = slice(at, at + self.batch_size)
            values = self._answer(inputs[rows], asked.part(rows))
            if values is not None:
                out[rows] = values
                at += len(values)
        return out

    def _answer(self, inputs: Any, asked: AskedPlaces) -> F32 | None:
        """Ask the model about one batch; None where memory was short, and batches are smaller from now on."""
        mpp = self.slide.require_mpp()
        try:
            return self.model.ask(Batch(inputs, asked.present, asked.places.centres * mpp))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise self.model.failed(error) from error
            if self._whole or len(asked) == 1:
                raise Nh2stError(
                    f"there is not enough memory for the model {self.model.card.name!r}: close other programs, or use "
                    "the cpu"
                ) from error
        self.batch_size = -(-len(asked) // 2)
        gc.collect()
        return None

    def _marked(self, values: F32, places: TileSet) -> F16:
        """Return values (n, G) as they are kept, NaN where the file is damaged."""
        hidden = values.astype(np.float16)
        hidden[damaged_at(self.slide, places.centres, self.model.card.patch, self.scale)] = np.nan
        return hidden

    def _predict_whole(self, places: TileSet, cancelled: Stop) -> Iterator[Predicted]:
        """Answer at places of the lattice from one batch of the whole slide; given places are a batch of their own."""
        fresh = places.grid is None or self._of_slide is None
        if places.grid is None:
            hidden = self._at_once(places, cancelled)
        else:
            if self._of_slide is None:
                all_places = self.places()
                self._of_slide = all_places, self._at_once(all_places, cancelled)
            all_places, of_all = self._of_slide
            rows = all_places.holding(places.centres)
            hidden = of_all[rows] if (rows >= 0).all() else self._at_once(places, cancelled)
        for start in range(0, len(places), _PIECE):
            indices = np.arange(start, min(start + _PIECE, len(places)))
            yield indices, hidden[indices], len(indices) if fresh else 0

    def _at_once(self, places: TileSet, cancelled: Stop) -> F16:
        ask_for(6 * len(places) * self._width, f"a prediction of {len(places):,} tiles", "take a model of fewer genes")
        if cancelled():
            raise Cancelled("stopped")
        asked = self._asked(places)
        values = self._answer(self.inputs.of_slide(asked, cancelled), asked)
        assert values is not None
        return self._marked(values, places)
