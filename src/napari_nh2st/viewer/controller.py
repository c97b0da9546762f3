"""What the NH2ST dock does, without Qt: one job at a time, its state, and everything predicted so far.

The work of a job is an iterator of events that a runner drives off the GUI thread; events come back through
`Controller.receive` on the GUI thread. Each job ends in exactly one of Done, Stopped and Failed. A job
carries a generation number, and what an older job still says is dropped.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import IntArray
from napari_nh2st.viewer.events import (
    TERMINAL,
    Arrived,
    Begun,
    Done,
    Event,
    Failed,
    Request,
    State,
    Status,
    Step,
    Stopped,
)
from napari_nh2st.viewer.predicted import PredictedMap
from napari_nh2st.viewer.services import Services


class View(Protocol):
    """What the controller tells; all calls come on the GUI thread."""

    def status_changed(self, status: Status) -> None:
        """Take the job's new state, counts or step."""

    def map_changed(self, shown: PredictedMap) -> None:
        """Take another map, which is being filled or shown."""

    def cells_arrived(self, shown: PredictedMap, cells: IntArray) -> None:
        """Take the cells of the map that were filled."""


Runner = Callable[[int, Iterator[Event]], None]


class Controller:
    """Owns the running job and the maps.

    Parameters
    ----------
    view : View
    run : callable
        ``run(generation, events)`` takes the events off the GUI thread and calls `receive` with each of them.
    services : Services, optional
        The engine and the models, so that tests can put small ones in their place.
    """

    def __init__(self, view: View, run: Runner, services: Services | None = None) -> None:
        self.services = services or Services()
        self.status = Status()
        self.map: PredictedMap | None = None
        self._filling: PredictedMap | None = None
        self._view, self._run = view, run
        self._maps: dict[Any, PredictedMap] = {}
        self._latest: dict[Any, PredictedMap] = {}
        self._models: dict[Any, Any] = {}
        self._generation = 0
        self._stop = threading.Event()
        self._started = 0.0
        self._first: tuple[float, int] | None = None
        self._tissue = 0

    @property
    def running(self) -> bool:
        """Whether a job is going on."""
        return self.status.state is State.RUNNING

    def predict(self, request: Request) -> None:
        """Start a job; one that is still running is cancelled first."""
        self.abandon()
        self._stop = threading.Event()
        self._started, self._first = time.monotonic(), None
        self._tell(Status(State.RUNNING, step="getting ready"))
        self._run(self._generation, self._work(request, self._stop))

    def cancel(self) -> None:
        """Ask the running job to stop; it ends within about a second and keeps what it has."""
        if self.running:
            self._stop.set()
            self._tell(replace(self.status, step="stopping"))

    def abandon(self) -> None:
        """End the running job at once; what it still says is dropped."""
        if self.running:
            self._stop.set()
            self._end(Stopped())
        self._generation += 1

    def close(self) -> None:
        """Stop for good: nothing is told any more."""
        self._stop.set()
        self._generation += 1

    def adopt(self, shown: PredictedMap) -> None:
        """Show a map that was not made here, such as one opened from a file."""
        if shown is not self.map:
            self.map = shown
            self._view.map_changed(shown)

    def forget(self) -> None:
        """Show no map; what was predicted stays known."""
        self.map = None

    def recall(self, slide: Any, model: str) -> PredictedMap | None:
        """Return what was last predicted for this slide with this model, if anything was."""
        return self._latest.get((slide.fingerprint, slide.mpp, model, self.services.stamp(model)))

    def receive(self, generation: int, event: Event) -> None:
        """Take an event of a job, on the GUI thread."""
        if generation != self._generation or not self.running:
            return
        if isinstance(event, TERMINAL):
            self._end(event)
        elif isinstance(event, Begun):
            self._begin(event)
        elif isinstance(event, Arrived):
            self._fill(event)
        else:
            self._tell(replace(self.status, step=event.text))

    def _begin(self, event: Begun) -> None:
        self.map = self._filling = event.map
        self._tissue = event.tissue
        self._view.map_changed(event.map)
        counts = {"done": event.known, "total": event.total, "known": event.known, "share": self._share()}
        self._tell(replace(self.status, step="predicting", warnings=event.warnings, **counts))

    def _fill(self, event: Arrived) -> None:
        assert self._filling is not None  # not self.map: another one may be looked at meanwhile
        self._filling.add(event.cells, event.hidden)
        self._view.cells_arrived(self._filling, event.cells)
        done = self.status.done + len(event.cells)
        left = self._seconds_left(done)
        self._tell(replace(self.status, done=done, seconds_left=left, share=self._share()))

    def _share(self) -> float:
        filled = 0 if self._filling is None else int(self._filling.done.sum())
        return min(1.0, filled / max(1, self._tissue))

    def _seconds_left(self, done: int) -> float | None:
        """Judge from the pace since the first answer: what comes before it is start-up."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
            return None
        since, at = self._first
        return (now - since) / max(1, done - at) * (self.status.total - done)

    def _end(self, event: Event) -> None:
        state = {Done: State.DONE, Stopped: State.CANCELLED, Failed: State.FAILED}[type(event)]
        error = event.error if isinstance(event, Failed) else None
        took = time.monotonic() - self._started
        self._tell(replace(self.status, state=state, step="", seconds=took, seconds_left=None, error=error))

    def _tell(self, status: Status) -> None:
        self.status = status
        self._view.status_changed(status)

    def _work(self, request: Request, stop: threading.Event) -> Iterator[Event]:
        """Yield the events of a job. Runs off the GUI thread; the last event is the only terminal one."""
        try:
            yield from self._steps(request, stop)
        except Cancelled:
            yield Stopped()
        except Exception as error:  # whatever it is, the dock must learn that the job is over
            yield Failed(error)
        else:
            yield Done()

    def _steps(self, request: Request, stop: threading.Event) -> Iterator[Event]:
        yield Step("loading the model")
        self.services.prepare()
        model = self._model(request.model)
        slide = request.slide
        yield Step("finding the tissue")
        own, tissue = slide.tissue(), None
        if request.tissue is not None and not np.array_equal(request.tissue, own.mask):
            tissue = replace(own, mask=request.tissue)  # the pixels of the mask stay where they were
        whole = self.services.lattice_for(slide, model.card, pitch=request.pitch, tissue=tissue)
        places = request.region.select(whole)
        if not len(places):
            raise Nh2stError("there is no tissue here: move to another place, or edit the tissue mask")
        shown = self._map_for(request, model, places.pitch, places.scale)
        todo = np.flatnonzero(~shown.done[shown.cells(places)])
        warnings = tuple(self.services.warnings_for(slide, model.card))
        _check(stop)
        yield Begun(shown, len(places), len(places) - len(todo), len(whole), warnings)
        if not len(todo):
            return
        wanted = places.select(todo)
        for chunk in self.services.stream(
            slide, model, wanted, tissue=tissue, device=request.device, cancelled=stop.is_set
        ):
            yield Arrived(shown.cells(wanted.select(chunk.indices)), chunk.hidden)
            _check(stop)

    def _model(self, name: str) -> Any:
        key = name, self.services.stamp(name)
        if key not in self._models:
            self._models = {key: self.services.load_model(name)}  # one at a time: they are large
        return self._models[key]

    def _map_for(self, request: Request, model: Any, pitch: int, scale: float) -> PredictedMap:
        """Return the map that this job fills. An edited mask changes what a tile sees: it has its own map."""
        slide, edited = request.slide, None
        if request.tissue is not None and not np.array_equal(request.tissue, slide.tissue().mask):
            edited = hashlib.blake2b(request.tissue.tobytes()).hexdigest()
        key = (slide.fingerprint, slide.mpp, model.hash, pitch, edited)
        if key not in self._maps:
            self._maps[key] = PredictedMap(
                self.services.describe(slide),
                model.card,
                self.services.decoder(model),
                scale=scale,
                pitch=pitch,
                provenance=self.services.provenance(request, model),
            )
        stamp = self.services.stamp(request.model)
        self._latest[slide.fingerprint, slide.mpp, request.model, stamp] = self._maps[key]
        return self._maps[key]


def _check(stop: threading.Event) -> None:
    if stop.is_set():
        raise Cancelled("stopped")
