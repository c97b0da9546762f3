"""Where a run's time goes: coarse and fine runs of a slide, by stage, in processor and wall time of every thread."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unittest import mock

import numpy as np

from napari_nh2st.bench.figures import Findings, Value
from napari_nh2st.bench.rates import Clock
from napari_nh2st.engine import block_encoder, store
from napari_nh2st.engine.places import lattice_for
from napari_nh2st.engine.predict import predict_places, store_for
from napari_nh2st.engine.read_ahead import read_ahead
from napari_nh2st.engine.session import Session

if TYPE_CHECKING:
    from napari_nh2st.bench.data_sets import DataSets
    from napari_nh2st.geometry import TileSet

KEYS = ("encoded_over_tiles", "read_over_tiles")
Where = Literal["main", "worker"]

WAITING, REST, READING = "waiting for pixels", "rest in Python", "reading"


@dataclass
class Spent:
    """Seconds of one stage in one kind of thread.

    Attributes
    ----------
    wall : float
    own : float
        Processor time of the thread itself.
    helpers : float
        Processor time of the threads that share the work of the main thread.
    """

    wall: float = 0.0
    own: float = 0.0
    helpers: float = 0.0


@dataclass
class _Moment:
    wall: float = field(default_factory=time.perf_counter)
    own: float = field(default_factory=time.thread_time)
    helpers: float = 0.0


class Stages:
    """Adds up what stages take; a stage within another one is taken out of it."""

    def __init__(self) -> None:
        self.spent: dict[tuple[Where, str], Spent] = defaultdict(Spent)
        self._main = threading.get_ident()
        self._open = threading.local()
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Charge what is done meanwhile, in this thread, to a stage."""
        names: list[str] = self._open.__dict__.setdefault("names", [])
        self._charge(names)
        names.append(name)
        try:
            yield
        finally:
            self._charge(names)
            names.pop()

    def _charge(self, names: list[str]) -> None:
        """Charge the time since the last call to the innermost open stage."""
        main = threading.get_ident() == self._main
        now = _Moment(helpers=helpers_time() if main else 0.0)
        if names:
            before: _Moment = self._open.last
            with self._lock:
                spent = self.spent["main" if main else "worker", names[-1]]
                spent.wall += now.wall - before.wall
                spent.own += now.own - before.own
                spent.helpers += now.helpers - before.helpers
        self._open.last = now

    def of(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that charges its calls to a stage."""

        def charged(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return call(*args, **kwargs)

        return charged


def helpers_time() -> float:
    """Processor time of torch's threads and of those that look at places. 0 where the system does not say."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return 0.0
    pythons = {t.native_id for t in threading.enumerate() if not t.name.startswith("nh2st-look")}
    total = 0.0
    for task in tasks.iterdir():
        if int(task.name) not in pythons:
            with suppress(OSError):  # it has just ended
                total += time.clock_gettime(~int(task.name) << 3 | 6)  # a thread's clock, by its number (Linux)
    return total


@dataclass
class Run:
    """One run that was watched.

    Attributes
    ----------
    seconds : float
        Wall time.
    stages : Stages
    cells : int
        Cells that were encoded.
    pixels : int
        Model pixels that were read.
    """

    seconds: float = 0.0
    stages: Stages = field(default_factory=Stages)
    cells: int = 0
    pixels: int = 0

    def document(self, under: int) -> dict[str, Any]:
        """Lay it out for the report; `under` is the number of cells under tiles."""
        spent = {f"{where}: {stage}": asdict(seconds) for (where, stage), seconds in self.stages.spent.items()}
        counts = {"cells_under_tiles": under, "cells_encoded": self.cells, "pixels_read": self.pixels}
        return {"seconds": self.seconds, **counts, "stages": spent}


def profile(data_sets: DataSets, progress: Callable[[int, int], object]) -> Findings:
    """Watch a coarse and a fine run of the slide, into a store on disk; of several the one of median wall time."""
    slide, card = data_sets.slide, data_sets.load_model().card
    stride, repeat = card.architecture.stride, data_sets.options.repeat
    findings = Findings()
    for number, (name, pitch) in enumerate((("coarse", card.patch), ("fine", stride))):
        places = lattice_for(slide, card, pitch=pitch)
        under = cells_under(places, stride, card.patch)
        runs = []
        for i in range(1 + repeat):
            runs.append(watched_run(data_sets, places, f"profile-{name}-{i}"))
            progress(number * (1 + repeat) + i + 1, 2 * (1 + repeat))
        run = sorted(runs[1:], key=lambda r: r.seconds)[repeat // 2]  # the first one sets up kernels
        findings.profile[name] = run.document(under)
        if name == "coarse":
            findings.values["encoded_over_tiles"] = Value.one(run.cells / under)
            findings.values["read_over_tiles"] = Value.one(run.pixels / (under * stride * stride))
    return findings


def watched_run(data_sets: DataSets, places: TileSet, folder: str) -> Run:
    """Predict places into a store in a new folder, with nothing cached, and watch."""
    slide, model, options = data_sets.slide, data_sets.load_model(), data_sets.prediction_options
    made = store_for(data_sets.options.folder / folder, slide, model, places.pitch, options)
    options = replace(options, store=made)
    session, run = Session(slide, model, pitch=places.pitch, options=options), Run()
    clock = Clock()
    with watched(session, run), run.stages.stage(REST):
        predict_places(slide, model, places, options, session=session)
    run.seconds = clock.seconds
    return run


@contextmanager
def watched(session: Session, run: Run) -> Iterator[None]:
    """Charge the parts of a session to their stages, and count what it encodes and reads meanwhile."""
    embeddings, runner, encoder = session.embeddings, session.runner, session._encoder
    parts: list[tuple[Any, str, str]] = [
        (runner, "_maps", "encoder"),
        (runner, "_stain_inside" if runner.device.type == "cpu" else "_with_stain", "stain statistics"),
        (embeddings, "encode", "pooling and copying"),
        (encoder, "embeddings_of", "pooling and copying"),
        (runner, "hidden_vectors", "looking"),
        (embeddings.cache, "put", "keeping embeddings"),
        (store.PredictionStore, "write", "writing results"),
        (embeddings, "read", READING),
    ]
    read, maps, counting = embeddings.read, runner._maps, threading.Lock()

    def counting_read(*args: Any) -> Any:
        pixels = read(*args)
        with counting:
            run.pixels += pixels.size // 3
        return pixels

    def counting_maps(image: Any, *rest: Any) -> Any:
        with counting:
            run.cells += image.shape[2] * image.shape[3] // runner.stride**2
        return maps(image, *rest)

    ahead = read_ahead

    def waiting(*args: Any) -> Iterator[Any]:
        rest = iter(ahead(*args))
        while True:
            with run.stages.stage(WAITING):
                found = next(rest, None)
            if found is None:
                return
            yield found

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(embeddings, "read", counting_read))
        stack.enter_context(mock.patch.object(runner, "_maps", counting_maps))
        stack.enter_context(mock.patch.object(block_encoder, "read_ahead", waiting))
        for owner, name, stage in parts:
            stack.enter_context(mock.patch.object(owner, name, run.stages.of(stage, getattr(owner, name))))
        yield


def cells_under(places: TileSet, stride: int, patch: int) -> int:
    """Count the encoder's cells under lattice tiles, each once."""
    assert places.grid is not None
    first = np.asarray(places.grid, dtype=np.int64) * places.pitch // stride  # (n, 2)
    steps = np.stack(np.meshgrid(*[np.arange(patch // stride)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    cells = (first[:, None] + steps).reshape(-1, 2)
    return len(np.unique(cells, axis=0))
