"""One slide and one model, open, whatever the model is: what all sessions have in common."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nh2st.engine.chunk import Chunk
from napari_nh2st.engine.options import PredictionOptions, never
from napari_nh2st.engine.places import ground_of, lattice_for
from napari_nh2st.engine.store import DAMAGED, EMPTY, PREDICTED
from napari_nh2st.errors import Cancelled
from napari_nh2st.geometry import Box, IntArray, TileSet

if TYPE_CHECKING:
    from napari_nh2st.model.models import AnyModel
    from napari_nh2st.slides import Slide

F16 = npt.NDArray[np.float16]
F32 = npt.NDArray[np.float32]
Predicted = tuple[IntArray, F16, int]
"""Positions (k,) among the places, hidden vectors (k, h), and how many of them were computed for this question."""


class PlaceSession(ABC):
    """Predicts at places of one slide with one model. One stream at a time: a second one waits for the first.

    Parameters
    ----------
    slide : Slide
        Its mpp must be known.
    model : Model or PredictorModel
    pitch : int, optional
        Distance between lattice tiles, model pixels; the patch size by default (the coarse map).
    options : PredictionOptions, optional

    Attributes
    ----------
    precision : str
        The precision it computes in.
    embeds : bool
        Whether `embed` answers.

    Raises
    ------
    MppNeeded
        If the slide does not say how large its pixels are.
    """

    model: AnyModel
    precision: str
    embeds: bool = True

    def __init__(
        self, slide: Slide, model: AnyModel, *, pitch: int | None = None, options: PredictionOptions | None = None
    ) -> None:
        self.slide, self.model = slide, model
        self.options = PredictionOptions() if options is None else options
        self.pitch = model.card.patch if pitch is None else pitch
        self.scale = model.card.scale_on(slide.require_mpp())
        self.tissue = ground_of(slide, self.options)
        self._width = model.decoder.width
        self._lock = threading.Lock()

    def places(self, region: Box | None = None) -> TileSet:
        """Return the lattice tiles of a region that show tissue; see `lattice_for`."""
        return lattice_for(self.slide, self.model.card, region, self.pitch, self.tissue)

    def stream(
        self,
        places: TileSet,
        *,
        focus: tuple[float, float] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[Chunk]:
        """Predict at places and hand them out as they are ready.

        Parameters
        ----------
        places : TileSet
            From `places`, or given places such as spots.
        focus : (x, y), optional
            Level-0 pixels: nearest first, and in small chunks, for somebody who is waiting. Else row by row.
        cancelled : callable, optional
            Asked beside that of the options.

        Yields
        ------
        Chunk
            First what the store holds already.

        Raises
        ------
        Cancelled
            Within a fraction of a window after it turns true. What was encoded stays in the cache, what was handed out
            stays in the store.
        Nh2stError
            If the slide can no longer be read, or there is not enough memory.
        """
        stopped = self._stopped(cancelled)
        with self._alone(stopped):
            yield from self._stream(places, focus, stopped)

    def hidden(
        self,
        places: TileSet,
        *,
        absent: npt.NDArray[np.bool_] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> F16:
        """Predict at places as `stream` does, with some of their surroundings taken away; the store is not touched.

        Parameters
        ----------
        places : TileSet
        absent : (n, 9) bool, optional
            True where a neighbour, in the order of `geometry.NEIGHBOUR_STEPS`, is left out as if there were no tissue;
            none by default. The place itself stays. Without effect on a model that does not see neighbours.

        Returns
        -------
        (n, h) float16
            Hidden vectors, NaN where the file is damaged.
        """
        stopped = self._stopped(cancelled)
        out = np.full((len(places), self._width), np.nan, dtype=np.float16)
        with self._alone(stopped):
            for indices, hidden, _ in self._predict(places, None, stopped, absent):
                out[indices] = hidden
        return out

    @abstractmethod
    def _predict(
        self,
        places: TileSet,
        focus: tuple[float, float] | None,
        cancelled: Callable[[], bool],
        absent: npt.NDArray[np.bool_] | None = None,
    ) -> Iterator[Predicted]:
        """Compute places, a few at a time."""

    @abstractmethod
    def embed(self, places: TileSet, *, cancelled: Callable[[], bool] | None = None) -> F32:
        """Encode places with an encoder of ours, (n, d); only if it `embeds`."""

    def _stopped(self, cancelled: Callable[[], bool] | None) -> Callable[[], bool]:
        """Return a cancel that hears this one and that of the options."""
        own = cancelled or never
        return lambda: own() or self.options.cancelled()

    @contextlib.contextmanager
    def _alone(self, cancelled: Callable[[], bool]) -> Iterator[None]:
        while not self._lock.acquire(timeout=0.05):
            if cancelled():
                raise Cancelled("stopped")
        try:
            yield
        finally:
            self._lock.release()

    def _begin(self) -> None:  # noqa: B027 (most have nothing to do)
        """Get ready for another question."""

    def _stream(
        self, places: TileSet, focus: tuple[float, float] | None, cancelled: Callable[[], bool]
    ) -> Iterator[Chunk]:
        total, done = len(places), 0
        todo = np.arange(total)
        store = None if places.grid is None else self.options.store
        if store is not None and places.grid is not None and total:
            state = store.state_at(places.grid)  # (n,)
            stored, todo = np.flatnonzero(state != EMPTY), np.flatnonzero(state == EMPTY)
            done = len(stored)
            if done:
                yield Chunk(stored, store.read(places.grid[stored]), done, total, 0)
        self._begin()
        for group, hidden, encoded in self._predict(places.select(todo), focus, cancelled):
            indices = todo[group]  # (k,)
            if store is not None and places.grid is not None:
                state = np.where(np.isfinite(hidden).all(axis=1), PREDICTED, DAMAGED).astype(np.uint8)
                store.write(places.grid[indices], hidden, state)
            done += len(indices)
            yield Chunk(indices, hidden, done, total, encoded)
