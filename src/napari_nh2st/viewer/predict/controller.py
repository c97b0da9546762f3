"""The work of the NH2ST dock, without Qt: one job at a time, its state, and everything predicted so far.

The work of a job is an iterator of events that a runner drives off the GUI thread; events come back through
`Controller.receive` on the GUI thread. Each job ends in exactly one of Done, Stopped and Failed. A job
carries a generation number, and what an older job still says is dropped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from napari_nh2st.engine.options import never
from napari_nh2st.errors import Cancelled, Nh2stError
from napari_nh2st.geometry import Box, IntArray
from napari_nh2st.viewer.predict.events import (
    TERMINAL,
    Around,
    Arrived,
    Begun,
    Done,
    Event,
    Failed,
    Previewed,
    Request,
    State,
    Status,
    Step,
    Stopped,
)
from napari_nh2st.viewer.predict.inputs import PredictionInputs, count_tissue_tiles, edited_tissue, look_over
from napari_nh2st.viewer.predict.messages import NO_TISSUE
from napari_nh2st.viewer.predict.region import Region
from napari_nh2st.viewer.predict.view_steps import follow_view
from napari_nh2st.viewer.state.predicted_map import MadeWith, PredictedMap
from napari_nh2st.viewer.state.services import Services

if TYPE_CHECKING:
    from napari_nh2st.slides import Slide

MEMORY = 1 << 30  # bytes of hidden vectors, of all maps together
_DRAW_SECONDS = 4.0
_FULL = 0.5  # of the memory may be asked for at once: blocks at the edge of tissue are half empty


class View(Protocol):
    """The listener of the controller; all calls come on the GUI thread."""

    def status_changed(self, status: Status) -> None:
        """Take the job's new state, counts or step."""

    def map_changed(self, shown: PredictedMap) -> None:
        """Take another map, which is being filled or shown."""

    def when_drawn(self, call: Callable[[], None]) -> None:
        """Call a function once the map that it was given stands in the window."""

    def map_redrawn(self, shown: PredictedMap) -> None:
        """Take a map that has changed in many places: a quick look came or went."""

    def cells_arrived(self, shown: PredictedMap, cells: IntArray) -> None:
        """Take the cells of the map that were filled, or dropped to make room."""


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
    memory : int
        Bytes of hidden vectors, of all maps together; what was seen longest ago is dropped and, when it comes into
        sight again, predicted again.
    """

    def __init__(self, view: View, run: Runner, services: Services | None = None, memory: int = MEMORY) -> None:
        self.services = services or Services()
        self.status = Status()
        self.map: PredictedMap | None = None
        self._filling: PredictedMap | None = None
        self._view, self._run = view, run
        self._maps: dict[Any, PredictedMap] = {}
        self._latest: dict[Any, PredictedMap] = {}
        self._models: dict[Any, Any] = {}
        self._inputs: tuple[Any, PredictionInputs] | None = None
        self._making = threading.Lock()
        self.memory = memory
        self._generation = 0
        self._stop = threading.Event()
        self._request: Request | None = None
        self._started = 0.0
        self._first: tuple[float, int] | None = None
        self._tissue: dict[PredictedMap, int] = {}  # about how many tiles of their slides show tissue
        self._sight: Box | None = None

    @property
    def running(self) -> bool:
        """True if a job is going on."""
        return self.status.state is State.RUNNING

    def predict(self, request: Request) -> None:
        """Start a job; one that is still running is cancelled first, silently where the view has just moved on."""
        if request.follow and self.following:
            self._stop.set()
            self._generation += 1
        else:
            self.abandon()
        self._stop = threading.Event()
        self._started, self._first = time.monotonic(), None
        share = self.status.share if request.follow else 0.0
        self._request = request
        self._tell(Status(State.RUNNING, name=request.name, step="getting ready", share=share, follow=request.follow))
        self._run(self._generation, self._work(request, self._stop))

    @property
    def filling(self) -> PredictedMap | None:
        """The map that the running job fills, None before its places are known."""
        return self._filling if self.running else None

    @property
    def following(self) -> bool:
        """True if a job is going on that the view has asked for."""
        return self.running and self.status.follow

    def is_at(self, slide: Slide, model: str, pitch: int | None) -> bool:
        """Tell whether the running job is for this slide and model at this detail."""
        asked = self._request
        if not self.running or asked is None:
            return False
        same_slide = (asked.slide.fingerprint, asked.slide.mpp) == (slide.fingerprint, slide.mpp)
        return same_slide and (asked.model, asked.pitch) == (model, pitch)

    def share(self, prediction_map: PredictedMap) -> float | None:
        """Return how much of a slide's tissue is predicted, 0 to 1; None where its tissue was not looked for."""
        tissue = self._tissue.get(prediction_map)
        return None if tissue is None else min(1.0, prediction_map.count / tissue)

    def cancel(self) -> None:
        """Stop the running job; what it has is kept. Its thread ends by itself, and what it still says is dropped."""
        if self.running:
            self.abandon()
        elif self.status.follow:
            self._tell(replace(self.status, state=State.CANCELLED))

    def end_for(self, fingerprint: str) -> bool:
        """End the running job where it is for a slide that was closed; tell whether it was."""
        if not self.running or self._request is None or self._request.slide.fingerprint != fingerprint:
            return False
        self.status = replace(self.status, closed=True)
        self.abandon()
        return True

    def drop(self, gone: object) -> list[PredictedMap]:
        """Forget a map, or all of a slide (its fingerprint); what is encoded stays in the cache.

        Returns
        -------
        list of PredictedMap
            Those that are gone.
        """
        dropped = [m for m in self._maps.copy().values() if gone in (m, m.slide.get("fingerprint"))]
        self._maps = {key: m for key, m in self._maps.copy().items() if m not in dropped}
        self._latest = {key: m for key, m in self._latest.copy().items() if m not in dropped}
        self._tissue = {m: tiles for m, tiles in self._tissue.items() if m not in dropped}
        if self._inputs is not None and self._inputs[1].map in dropped:
            self._inputs = None
        if self._filling in dropped:
            self._filling = None
        if self.map in dropped:
            self.map = None
        return dropped

    def rest(self) -> None:
        """Go on no longer with what the view has asked for: it shows nothing now that could be predicted."""
        if self.running and not self.following:
            return
        self._stop.set()
        self._generation += 1
        self._drop_preview()
        if self.status.follow:
            self._tell(Status(share=self.status.share))

    def abandon(self) -> None:
        """End the running job at once; what it still says is dropped."""
        if self.running:
            self._stop.set()
            self._end(Stopped())
        self._generation += 1

    def close(self) -> None:
        """Stop for good, and take a quick preview away; then nothing is told any more."""
        self._stop.set()
        self._generation += 1
        self._drop_preview()

    def take_up(self, prediction_map: PredictedMap) -> None:
        """Go on with a map that another dock made."""
        made_with, slide = prediction_map.made_with, prediction_map.slide
        if made_with is not None:
            self._maps[slide["fingerprint"], slide["mpp"], made_with.more] = prediction_map
            recalled_by = (made_with.model, made_with.stamp, made_with.pitch)
            self._latest[slide["fingerprint"], slide["mpp"], *recalled_by] = prediction_map

    def adopt(self, shown: PredictedMap) -> None:
        """Show a map that was not made here, such as one opened from a file."""
        if shown is not self.map:
            self.map = shown
            self._view.map_changed(shown)

    def forget(self) -> None:
        """Show no map; what was predicted stays known."""
        self.map = None

    def recall(self, slide: Any, model: str, pitch: int | None = None) -> PredictedMap | None:
        """Return what was last predicted for this slide with this model at this detail, if anything was."""
        return self._latest.get((slide.fingerprint, slide.mpp, model, self.services.stamp(model), pitch))

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
        elif isinstance(event, Previewed):
            self._preview(event)
        elif isinstance(event, Around):
            self._drop_preview()
            self._first = None
            self._tell(replace(self.status, step="around", done=0, total=event.total, known=0, preview=False))
        else:
            self._tell(replace(self.status, step=event.text))

    def _begin(self, event: Begun) -> None:
        fresh = event.map is not self.map or not self.status.follow  # a view that moves does not bring a layer back
        self.map = self._filling = event.map
        self._tissue[event.map] = event.tissue
        self._sight = event.view
        if fresh:
            self._view.map_changed(event.map)
        self._view.when_drawn(event.drawn.set)
        self._tell(
            replace(
                self.status,
                step="predicting",
                done=event.known,
                total=event.total,
                known=event.known,
                share=self._share(),
                preview=event.map.preview is not None,
                warnings=event.warnings,
            )
        )

    def _preview(self, event: Previewed) -> None:
        assert self._filling is not None
        self._filling.preview = event.preview
        self._view.map_redrawn(self._filling)
        self._tell(replace(self.status, step="predicting", preview=True))

    def _drop_preview(self) -> None:
        """Take a quick look away: what it stood for is there, or will not come."""
        for shown in self._maps.copy().values():
            if shown.preview is not None:
                shown.preview = None
                self._view.map_redrawn(shown)

    def _fill(self, event: Arrived) -> None:
        assert self._filling is not None  # not self.map: another one may be looked at meanwhile
        self._filling.add(event.cells, event.hidden)
        self._view.cells_arrived(self._filling, event.cells)
        self._make_room()
        done = self.status.done + len(event.cells)
        left = self._seconds_left(done)
        self._tell(replace(self.status, done=done, seconds_left=left, share=self._share()))

    def _make_room(self) -> None:
        """Drop what was filled longest ago and is out of sight where the maps outgrow the memory; first from others."""
        maps = sorted(self._maps.copy().values(), key=lambda shown: shown is self._filling)
        over = sum(shown.nbytes for shown in maps) - self.memory
        if over > 0 and self._filling is not None and self._sight is not None:
            self._filling.seen(self._sight)
        for shown in maps:
            if over <= 0:
                return
            before = shown.nbytes
            dropped = shown.shrink(max(0, before - over))
            over -= before - shown.nbytes
            self._view.cells_arrived(shown, dropped)

    def _share(self) -> float:
        return 0.0 if self._filling is None else self.share(self._filling) or 0.0

    def _seconds_left(self, done: int) -> float | None:
        """Judge from the pace since the first answer: what comes before it is start-up."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
            return None
        since, at = self._first
        return (now - since) / max(1, done - at) * (self.status.total - done)

    def _end(self, event: Event) -> None:
        self._drop_preview()
        state = {Done: State.DONE, Stopped: State.CANCELLED, Failed: State.FAILED}[type(event)]
        error = event.error if isinstance(event, Failed) else None
        if error is not None:
            self._inputs = None  # it may have met a broken file: open it anew
        took = time.monotonic() - self._started
        self._tell(
            replace(self.status, state=state, step="", seconds=took, seconds_left=None, preview=False, error=error)
        )

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
        _check(stop)  # many may wait for a thread while a view is being moved
        if not request.follow:
            for share in look_over(request.slide, stop.is_set):
                yield Step(f"looking the slide over, {share:.0%}")
        if request.skip_artefacts:
            yield Step("looking for artefacts")
            request.slide.artefacts(cancelled=stop.is_set)
        if not request.follow or self._inputs is None:
            yield Step("loading the model")
        inputs = self.inputs_for(request, stop.is_set)
        stamp, slide = self.services.stamp(request.model), request.slide
        self._latest[slide.fingerprint, slide.mpp, request.model, stamp, request.pitch] = inputs.map
        warnings = tuple(self.services.warnings_for(request.slide, inputs.model.card, request.model))
        most = int(self.memory * _FULL / inputs.map.bytes_per_cell)
        if request.follow and request.region.box is not None:
            events = follow_view(inputs, request.region.box, warnings, most, stop.is_set)
        else:
            events = _region(inputs, request.region, warnings, most, stop.is_set)
        for event in events:
            _check(stop)
            yield event
            if isinstance(event, Begun):
                _wait_for(event.drawn, stop)
        _check(stop)

    def warm_up(self) -> bool:
        """Do what a prediction needs whatever it is of. Slow the first time: not on the GUI thread.

        Returns
        -------
        bool
            False where a job began meanwhile: it does not wait for a trial of the machine, which is still to be made.
        """
        with self._making:
            self.services.prepare()
            try:
                self.services.calibrate("auto" if self._request is None else self._request.device, lambda: self.running)
            except Cancelled:
                return False
        return True

    def inputs_for(self, request: Request, cancelled: Callable[[], bool] = never) -> PredictionInputs:
        """Return what a job stands on, that of the last one where nothing has changed. Slow: not on the GUI thread.

        Raises
        ------
        Cancelled
            If that is asked for before it is there.
        """
        if not request.follow:
            for _ in look_over(request.slide, cancelled):
                pass
        with self._making:  # one at a time: a job that was given up may still be at it
            if cancelled():
                raise Cancelled("stopped")
            tissue, edited = edited_tissue(request, cancelled)
            stamp, slide = self.services.stamp(request.model), request.slide
            key = (slide.fingerprint, slide.mpp, request.model, stamp, request.pitch, edited, request.device)
            if self._inputs is None or self._inputs[0] != key:
                self._inputs = key, self._make_inputs(request, tissue, edited)
            return self._inputs[1]

    def _make_inputs(self, request: Request, tissue: Any, edited: str | None) -> PredictionInputs:
        self.services.prepare()
        model, slide = self._model(request.model), request.slide
        pitch = request.pitch or model.card.patch
        shown = self._map_for(request, model, pitch, edited)
        session = self.services.session(slide, model, pitch=pitch, tissue=tissue, device=request.device)
        tiles = count_tissue_tiles(self.services, slide, model.card, pitch, tissue)
        return PredictionInputs(self.services, slide, model, tissue, shown, session, tiles)

    def _model(self, name: str) -> Any:
        key = name, self.services.stamp(name)
        if key not in self._models:
            self._models = {key: self.services.load_model(name)}  # one at a time: they are large
        return self._models[key]

    def _map_for(self, request: Request, model: Any, pitch: int, edited: str | None) -> PredictedMap:
        """Return the map that this job fills.

        An edited mask changes what a tile sees, and another device may compute in another precision: each has its own
        map, so that a map says of all its cells what made them.
        """
        provenance = self.services.provenance(request, model)
        more = (model.hash, pitch, edited, provenance.get("precision"))
        key = (request.slide.fingerprint, request.slide.mpp, more)
        if key not in self._maps:
            self._maps[key] = PredictedMap(
                self.services.describe(request.slide),
                model.card,
                self.services.decoder(model),
                scale=model.card.scale_on(request.slide.require_mpp()),
                pitch=pitch,
                provenance=provenance,
            )
        stamp = self.services.stamp(request.model)
        self._maps[key].made_with = MadeWith(request.model, stamp, request.pitch, more)
        return self._maps[key]


def _region(
    inputs: PredictionInputs, region: Region, warnings: tuple[str, ...], most: int, cancelled: Callable[[], bool]
) -> Iterator[Event]:
    """Yield the events of a region that was asked for: all of it, or an error that says why not."""
    places = inputs.tiles(region)
    if not len(places):
        raise Nh2stError(inputs.services.not_h_and_e(inputs.slide) or NO_TISSUE)
    if len(places) > most:
        raise Nh2stError(
            f"{len(places):,} tiles do not fit into memory, {most:,} do. Choose a smaller part or coarse detail, or "
            "press “Copy command line”, which writes to disk."
        )
    missing = inputs.missing(places)
    yield Begun(inputs.map, len(places), len(places) - len(missing), inputs.tissue_tiles, warnings)
    if len(missing):
        yield from inputs.predict(missing, cancelled)


def _wait_for(drawn: threading.Event, stop: threading.Event) -> None:
    """Wait until a new layer stands: with the encoder at work beside it, the window would take far longer for it."""
    until = time.monotonic() + _DRAW_SECONDS
    while not drawn.wait(0.02) and not stop.is_set() and time.monotonic() < until:
        pass


def _check(stop: threading.Event) -> None:
    if stop.is_set():
        raise Cancelled("stopped")
