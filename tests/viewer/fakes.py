"""Small stand-ins for a slide and the engine: what a tile's hidden vector should be is known in advance."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_nh2st.errors import Cancelled, MppNeeded
from napari_nh2st.geometry import Box, TileSet
from napari_nh2st.model.card import Architecture, Card, Evaluation, GeneTrust
from napari_nh2st.model.decoder import Decoder
from napari_nh2st.slides import Picture
from napari_nh2st.viewer.predict.controller import Controller
from napari_nh2st.viewer.predict.events import Event, Request, State

GENES = ["ERBB2", "KRT8", "CD3E", "FLAT"]


@dataclass
class FakeMask:
    mask: np.ndarray
    steps: tuple[float, float]

    @classmethod
    def from_array(cls, array: Any, shape: tuple[int, int]) -> FakeMask:
        return cls(np.asarray(array, bool), (shape[0] / len(array),) * 2)

    def fraction_at(self, centres: np.ndarray, side: float) -> np.ndarray:
        x, y = (np.clip(centres / self.steps[0], 0, np.array(self.mask.shape)[::-1] - 1)).astype(int).T
        return self.mask[y, x].astype(float)


class FakeSlide:
    """A 960 x 1280 slide: pink, with a grey-violet cross at a known pixel."""

    def __init__(self, mpp: float | None = 0.5, shape: tuple[int, int] = (960, 1280)) -> None:
        self.path, self.shape, self.mpp = Path("/nowhere/C9.svs"), shape, mpp
        self.mpp_source = "aperio" if mpp else "none"
        self.fingerprint, self.synthetic, self.warnings = "f" * 8, False, []
        image = np.full((*shape, 3), (230, 190, 215), dtype=np.uint8)
        image[::40] = (150, 90, 160)
        self.levels = [image, image[::4, ::4].copy()]
        self.pictures, self.picture = [Picture(1, shape)], 1
        self.tissue_at_hand = True
        self.overviews, self.downsamples = None, [(1.0, 1.0), (4.0, 4.0)]
        self.mask = FakeMask(np.ones((shape[0] // 16, shape[1] // 16), bool), (16.0, 16.0))
        self.mask.mask[:, :8] = False

    def tissue(self, **_: Any) -> FakeMask:
        return self.mask

    def require_mpp(self) -> float:
        if self.mpp is None:
            raise MppNeeded("the slide does not say how large its pixels are")
        return self.mpp

    def read(self, x0: int, y0: int, width: int, height: int, scale: float) -> np.ndarray:
        """The nearest pixels, white outside."""
        rows, columns = (((a + np.arange(n) + 0.5) * scale).astype(int) for a, n in ((y0, height), (x0, width)))
        out = np.full((height, width, 3), 255, dtype=np.uint8)
        inside = np.ix_((rows >= 0) & (rows < self.shape[0]), (columns >= 0) & (columns < self.shape[1]))
        picked = np.ix_(rows[inside[0].ravel()], columns[inside[1].ravel()])
        out[inside] = self.levels[0][picked]
        return out

    def with_mpp(self, mpp: float, source: str = "user") -> FakeSlide:
        made = FakeSlide(mpp, self.shape)
        made.mpp_source = source
        return made


def card(name: str = "her2st", **changes: Any) -> Card:
    trust = {"ERBB2": GeneTrust(pcc=0.41, low=0.33, high=0.48)}
    values: dict[str, Any] = {
        "name": name,
        "architecture": Architecture(dim=8, hidden=4, stride=16),
        "mpp": 1.0,
        "pitch": 112,
        "genes": GENES,
        "gene_means": [0.0] * 4,
        "evaluation": Evaluation(kind="same-patient", samples=["C5"], pcc_mean=0.3, genes=trust),
    }
    return Card(**{**values, **changes})


@dataclass
class FakeModel:
    card: Card
    hash: str = "abc"
    path: Path = Path("/nowhere")


@dataclass
class Chunk:
    indices: np.ndarray
    hidden: np.ndarray
    done: int
    total: int
    encoded: int


def hidden_at(centres: np.ndarray) -> np.ndarray:
    """Hidden vector of a tile: x, y, 1 and 0, scaled into float16's range."""
    x, y = centres.T / 1000
    return np.stack([x, y, np.ones_like(x), np.zeros_like(x)], axis=1).astype(np.float16)


class FakeSession:
    """The engine in ten lines."""

    precision = "fp32"
    embeds = True

    def __init__(self, services: FakeServices) -> None:
        self.services = services

    def stream(self, places: TileSet, *, focus=None, cancelled) -> Iterator[Chunk]:
        services = self.services
        services.asked.append(len(places))
        services.streams.append(places)
        order = np.arange(len(places))
        if focus is not None:
            order = np.argsort(((places.centres - focus) ** 2).sum(axis=1), kind="stable")
        for start in range(0, len(places), services.chunk):
            while isinstance(services.gate, threading.Event) and not services.gate.wait(0.01):
                if cancelled():
                    raise Cancelled("stopped")
            if isinstance(services.gate, threading.Event):
                services.gate.clear()
            if services.fail:
                raise services.fail
            picked = order[start : start + services.chunk]
            yield Chunk(picked, hidden_at(places.centres[picked]), start + len(picked), len(places), len(picked))

    def preview(self, places: TileSet, *, cancelled=None) -> np.ndarray:
        self.services.previews.append(len(places))
        return hidden_at(places.centres) + np.float16(1.0)

    def hidden(self, places: TileSet, *, absent=None, cancelled=None) -> np.ndarray:
        """Each neighbour that is taken away takes 0.1 from the first two numbers."""
        out = hidden_at(places.centres)
        if absent is not None:
            out[:, :2] -= np.float16(0.1) * absent.sum(axis=1)[:, None].astype(np.float16)
        return out

    def embed(self, places: TileSet, *, cancelled=None) -> np.ndarray:
        return hidden_at(places.centres).astype(np.float32)


class FakeServices:
    """The models and the exporters. `gate`, when set to an Event, lets one chunk through per set()."""

    def __init__(self, chunk: int = 7) -> None:
        self.chunk, self.asked, self.gate = chunk, [], None
        self.streams: list[TileSet] = []
        self.sessions: list[dict[str, Any]] = []
        self.previews: list[int] = []
        self.fail: Exception | None = None
        self.warning: list[str] = []
        self.limits: list[str] = []
        self.stamps: dict[str, int] = {}
        self.no_stain = ""
        self.cards = {"her2st": card(), "demo": card("demo", synthetic=True, evaluation=None)}

    def not_h_and_e(self, slide: FakeSlide) -> str:
        return self.no_stain

    def prepare(self) -> None:
        pass

    def prepare_shapes(self) -> None:
        pass

    def calibrate(self, device: str, cancelled: Any) -> None:
        pass

    def models(self) -> list[str]:
        return list(self.cards)

    def others(self) -> list[str]:
        return []

    def find_others(self) -> list[Any]:
        return []

    def load_card(self, model: str) -> Card:
        return self.cards[model]

    def stamp(self, model: str) -> int:
        return self.stamps.get(model, 0)

    def load_model(self, model: str) -> FakeModel:
        return FakeModel(self.cards[model], hash=f"hash of {model} {self.stamp(model)}")

    def decoder(self, model: FakeModel) -> Decoder:
        weight = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], np.float32)
        return Decoder(weight, np.zeros(4, np.float32))

    def devices(self) -> list[str]:
        return ["cpu"]

    def lattice_for(self, slide, card, region=None, pitch=None, tissue=None) -> TileSet:
        whole = Box(0, 0, slide.shape[1], slide.shape[0])
        scale = card.scale_on(slide.require_mpp())
        box = whole if region is None else whole.intersect(region)
        tiles = TileSet.lattice(box, scale=scale, pitch=pitch or card.patch, patch=card.patch)
        mask = slide.tissue() if tissue is None else tissue
        return tiles.select(mask.fraction_at(tiles.centres, card.patch * scale) > 0.5)

    def session(self, slide, model, **how: Any) -> FakeSession:
        self.sessions.append(how)
        made = FakeSession(self)
        made.slide, made.model, made.tissue = slide, model, how["tissue"] or slide.tissue()
        return made

    def warnings_for(self, slide, card, model=None) -> list[str]:
        return self.warning

    def limits_for(self, slide, card) -> list[str]:
        return self.limits

    def describe(self, slide: FakeSlide) -> dict[str, Any]:
        return {
            "path": str(slide.path),
            "fingerprint": slide.fingerprint,
            "mpp": slide.require_mpp(),
            "mpp_source": slide.mpp_source,
            "shape": list(slide.shape),
        }

    def provenance(self, request, model) -> dict[str, Any]:
        return {"model_hash": model.hash}


class Recorder:
    """A view that remembers what it was told, and a runner that plays events when asked to."""

    def __init__(self) -> None:
        self.statuses, self.maps, self.cells, self.redrawn = [], [], [], []
        self.jobs: list[tuple[int, Iterator[Event]]] = []

    def status_changed(self, status) -> None:
        self.statuses.append(status)

    def map_changed(self, shown) -> None:
        self.maps.append(shown)

    def when_drawn(self, call) -> None:
        call()

    def map_redrawn(self, shown) -> None:
        self.redrawn.append(shown.preview)

    def cells_arrived(self, shown, cells) -> None:
        self.cells.append(cells)

    def run(self, generation: int, events: Iterator[Event]) -> None:
        self.jobs.append((generation, events))


class Bench:
    """A controller whose jobs are played by hand, event by event."""

    def __init__(self, services: Any = None, slide: Any = None, **how: Any) -> None:
        self.view, self.services, self.slide = Recorder(), services or FakeServices(), slide or FakeSlide()
        self.controller = Controller(self.view, self.view.run, self.services, **how)

    def play(self, job: int = -1, events: int | None = None) -> None:
        generation, iterator = self.view.jobs[job]
        for n, event in enumerate(iterator, 1):
            self.controller.receive(generation, event)
            if n == events:
                return

    def predict(self, **how) -> None:
        self.controller.predict(Request(self.slide, how.pop("model", "her2st"), **how))
        self.play()

    def ends(self) -> list[State]:
        return [s.state for s in self.view.statuses if s.state not in (State.RUNNING, State.IDLE)]
