"""Inputs of someone else's model: tiles of the slide, or embeddings of an encoder of ours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.place_session import F32
from napari_nh2st.engine.session import Session
from napari_nh2st.engine.tile_reader import U8, TileReader
from napari_nh2st.errors import Cancelled
from napari_nh2st.geometry import FloatArray, TileSet
from napari_nh2st.model.folder import load_model

if TYPE_CHECKING:
    from napari_nh2st.engine.options import PredictionOptions
    from napari_nh2st.model.card import Card
    from napari_nh2st.slides import Slide

Stop = Callable[[], bool]
# Pixels of a batch, in bytes.
_MOST = 2**26


@dataclass(frozen=True, eq=False)
class AskedPlaces:
    """Places with what stands around them.

    Attributes
    ----------
    places : TileSet
    nine : (n, 9, 2) float64
        Centres of their neighbourhoods, level-0 pixels.
    present : (n, 9) bool
        Which of them the model is to see.
    """

    places: TileSet
    nine: FloatArray
    present: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.places)

    def part(self, rows: slice) -> AskedPlaces:
        """Return some of the places."""
        return AskedPlaces(self.places.select(np.arange(len(self))[rows]), self.nine[rows], self.present[rows])


class PlaceInputs(ABC):
    """The inputs of a predictor at places.

    Attributes
    ----------
    most : int
        Places that memory has room for at once.
    """

    most: int

    @abstractmethod
    def read(self, asked: AskedPlaces, cancelled: Stop) -> npt.NDArray[Any]:
        """Return the inputs of places, an array whose first axis is the places."""

    def of_slide(self, asked: AskedPlaces, cancelled: Stop) -> Any:
        """Return the inputs of all places of a slide: an array, or something that reads one when it is sliced."""
        return self.read(asked, cancelled)


class TileInputs(PlaceInputs):
    """Tiles (n, size, size, 3) uint8, or neighbourhoods (n, 9, size, size, 3). Read from any thread."""

    def __init__(self, slide: Slide, card: Card, options: PredictionOptions) -> None:
        assert card.predictor is not None
        self._reader = TileReader(slide, card.patch, card.scale_on(slide.require_mpp()), options.view)
        self._neighbours = card.predictor.neighbours
        self.most = max(1, _MOST // (3 * card.patch**2 * (9 if self._neighbours else 1)))

    def read(self, asked: AskedPlaces, cancelled: Stop) -> U8:
        """See `PlaceInputs.read`."""
        if self._neighbours:
            return self._reader.read_nine(asked.nine, asked.present)
        return self._reader.read(asked.places.centres)

    def of_slide(self, asked: AskedPlaces, cancelled: Stop) -> SlicedTiles:
        """See `PlaceInputs.of_slide`: the pixels of a slide are more than memory holds."""
        return SlicedTiles(self, asked, cancelled)


class SlicedTiles:
    """The tiles of a slide, read when they are sliced.

    Raises
    ------
    Cancelled
        From a slice, if the prediction was cancelled.
    """

    def __init__(self, inputs: TileInputs, asked: AskedPlaces, cancelled: Stop) -> None:
        self._inputs, self._asked, self._cancelled = inputs, asked, cancelled

    def __len__(self) -> int:
        return len(self._asked)

    def __getitem__(self, rows: slice) -> U8:
        if self._cancelled():
            raise Cancelled("stopped")
        return self._inputs.read(self._asked.part(rows), self._cancelled)


class EmbeddingInputs(PlaceInputs):
    """Embeddings (n, d) float32 of an encoder of ours, or of neighbourhoods (n, 9, d); zeros where one is absent.

    Attributes
    ----------
    session : Session
        Encodes, with our cache.
    """

    def __init__(self, slide: Slide, card: Card, pitch: int, options: PredictionOptions) -> None:
        assert card.predictor is not None
        assert card.predictor.encoder is not None
        encoder = load_model(card.predictor.encoder)
        self.session = Session(slide, encoder, pitch=pitch, options=replace(options, store=None))
        self._neighbours = card.predictor.neighbours
        self.most = 4096

    def read(self, asked: AskedPlaces, cancelled: Stop) -> F32:
        """See `PlaceInputs.read`."""
        if not self._neighbours:
            return self.session.embed(asked.places, cancelled=cancelled)
        places = asked.places
        there = TileSet.at(asked.nine[asked.present], scale=places.scale, pitch=places.pitch)
        found = self.session.embed(there, cancelled=cancelled)
        out = np.zeros((*asked.present.shape, found.shape[1]), dtype=np.float32)
        out[asked.present] = found
        return out
