"""Waiting times in napari's window: ``python -m napari_nh2st.bench.in_window SLIDE --model M --part cold``.

Everything is asked of the dock as a person would: a view, the button, a gene. A figure ends when the canvas has drawn
what came.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nh2st.bench.napari_itself import PlainImage, refreshed_image
from napari_nh2st.errors import Nh2stError

SIZE = (1280, 800)
VIEW_WIDTH = 1 / 8
"""Width of the view, as a part of the slide's."""

PLACES = ((0.5, 0.5), (0.18, 0.18), (0.82, 0.82), (0.82, 0.18), (0.18, 0.82))
"""Places to look at, as parts of the slide; at the first one the layer is made."""

BEAT_MS = 10
PREDICT_SECONDS, QUICK_SECONDS = 20.0, 4.0
TILES = 100_000
SWITCHES = 20


class Screen:
    """A napari window with a slide and the dock.

    Parameters
    ----------
    slide : Path
    model, device : str
    """

    def __init__(self, slide: Path, model: str, device: str) -> None:
        import napari

        from napari_nh2st.slides import open_slide
        from napari_nh2st.viewer import launch
        from napari_nh2st.viewer.layers import frames

        self.viewer = napari.Viewer(title="NH2ST bench")
        self.viewer.window.resize(*SIZE)
        self.slide = open_slide(slide)
        data, meta, _ = frames.slide_layer_data(self.slide)
        self.layer = self.viewer.add_image(data, **meta)
        self.dock = launch.open_dock(self.viewer)
        self.dock.use_model(model)
        self.drawn = 0
        self._shown: Callable[[], bool] | None = None
        # napari has no public event for "drawn"; last, so that it is over when it is counted
        scene = self.viewer.window._qt_viewer.canvas._scene_canvas
        scene.events.draw.connect(self._count, position="last")
        self._finish = scene.context.finish
        self.settle()

    def _count(self, event: Any = None) -> None:
        self._finish()
        self.drawn += 1
        if self._shown is not None and self._shown():
            self._shown = None

    def wait(self, done: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
        """Let the window live until `done`; a real event loop, as a person's would be."""
        from qtpy.QtCore import QEventLoop, Qt, QTimer

        loop, poll, until = QEventLoop(), QTimer(), time.monotonic() + seconds
        poll.setTimerType(Qt.TimerType.PreciseTimer)
        poll.timeout.connect(lambda: loop.quit() if done() or time.monotonic() > until else None)
        poll.start(2)
        loop.exec()
        poll.stop()
        if not done():
            raise Nh2stError(f"{what} took more than {seconds:.0f} s")

    def settle(self, seconds: float = 1.0) -> None:
        """Let the window come to rest."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until, "the window", seconds + 60)

    def until_drawn(self) -> None:
        """Wait for the next drawing to be over."""
        before = self.drawn
        self.wait(lambda: self.drawn > before, "a drawing", 30)

    def until_drawn_with(self, there: Callable[[], bool], what: str) -> None:
        """Wait until the canvas has drawn what is to be there; it may come and be drawn between two looks at it."""
        self._shown = there
        self.wait(lambda: self._shown is None, what)

    def move_to(self, centre: npt.NDArray[np.float64]) -> None:
        """Move the view to a place (x, y), level-0 pixels, and let it be drawn."""
        mpp = self.slide.require_mpp()
        camera = self.viewer.scene.camera
        camera.zoom = self.viewer.canvas.size[1] / (VIEW_WIDTH * self.slide.shape[1] * mpp)
        camera.center = (centre[1] * mpp, centre[0] * mpp)
        self.until_drawn()

    @property
    def in_sight(self) -> int:
        """Cells with a prediction that the window shows."""
        from napari_nh2st.viewer.predict.region import visible_box

        heatmap = self.dock.heatmap
        if heatmap is None or heatmap.layer is None:
            return 0
        box, prediction_map = visible_box(self.viewer, self.layer), heatmap.map
        low = (np.array([box.y0, box.x0]) - prediction_map.origin[::-1]) / prediction_map.cell
        high = (np.array([box.y1, box.x1]) - prediction_map.origin[::-1]) / prediction_map.cell
        (r0, c0), (r1, c1) = np.ceil(low).clip(0).astype(int), np.ceil(high).clip(0).astype(int)
        return int(np.isfinite(heatmap.layer.data[r0:r1, c0:c1]).sum())

    def idle(self) -> bool:
        """Tell whether no job is going on."""
        return not self.dock.controller.running


class Heartbeat:
    """Delays of a 10-ms timer while something else goes on."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.late: list[float] = []
        self._last: float | None = None
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._beat)

    def _beat(self) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self.late.append(max(0.0, now - self._last - BEAT_MS / 1000))
        self._last = now

    def __enter__(self) -> Heartbeat:
        self._last = None
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._beat()  # what held the window up to the last is counted
        self._timer.stop()


def tissue_at(screen: Screen, part: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Find tissue near a place that is given as a part of the slide: (x, y), level-0 pixels."""
    height, width = screen.slide.shape
    wanted = np.array([part[0] * width, part[1] * height])
    steps = np.linspace(-0.04, 0.04, 7)
    near = wanted + np.stack(np.meshgrid(steps * width, steps * height), axis=-1).reshape(-1, 2)
    share = screen.slide.tissue().fraction_at(near, 400 / screen.slide.require_mpp())
    away = np.linalg.norm(near - wanted, axis=1) / width
    return np.asarray(near[np.argmax(share - away)])


def choose(screen: Screen, where: str, detail: int) -> None:
    """Choose what is predicted, and how finely: the dock remembers both from the last window."""
    part = screen.dock.where
    part.buttons[where].click()
    if part.detail.isEnabled():
        part.detail.setCurrentIndex(detail)


def first_tiles(screen: Screen) -> dict[str, Any]:
    """Move from place to place and wait for the first tiles; in turns, have napari draw the same by itself.

    Returns
    -------
    dict
        Seconds: ``first_press``, which makes the layer, and ``napari_adds``, which adds a plain one; ``first_tiles``
        at each other place, and ``napari_draws`` for a plain layer that is given the same values.
    """
    from napari_nh2st.viewer.predict.region_section import VIEW

    choose(screen, VIEW, 0)
    screen.settle()
    screen.wait(lambda: not screen.dock.background.busy, "loading the model")
    live, dock = screen.dock.live, screen.dock
    out: dict[str, Any] = {"first_press": _until_first_tile(screen, PLACES[0], dock.predict)}
    plain = PlainImage(screen)
    out["napari_adds"] = plain.add()
    out |= {"first_tiles": [], "napari_draws": []}
    for part in PLACES[1:]:
        # what the dock calls when the view has not moved for a while
        out["first_tiles"].append(_until_first_tile(screen, part, live.rested))
        layer = dock.heatmap.layer
        out["napari_draws"].append(plain.draw(layer.data.copy(), tuple(layer.contrast_limits)))
    plain.remove()
    return out


def _until_first_tile(screen: Screen, part: tuple[float, float], ask: Callable[[], None]) -> float:
    """Move to a place where nothing is predicted and ask: seconds until the first tile is drawn."""
    screen.move_to(tissue_at(screen, part))
    if screen.in_sight:
        raise Nh2stError("the views lie too close together: there were tiles before anything was asked for")
    started = time.perf_counter()
    ask()
    screen.until_drawn_with(lambda: screen.in_sight > 0, "the first tile")
    took = time.perf_counter() - started
    screen.wait(screen.idle, "a view")
    screen.settle(0.3)
    return took


def heartbeat_while_predicting(screen: Screen, seconds: float) -> tuple[list[float], int]:
    """Predict the whole slide, finely, for some seconds; return how late the timer was, and how many cells came."""
    from napari_nh2st.viewer.predict.region_section import WHOLE

    choose(screen, WHOLE, 1)
    screen.viewer.fit_to_view()
    screen.settle()
    until = time.monotonic() + seconds
    with Heartbeat() as heart:
        screen.dock.predict()
        screen.wait(lambda: screen.idle() or time.monotonic() > until, "predicting", seconds + 60)
    prediction_map = screen.dock.controller.map
    count = 0 if prediction_map is None else prediction_map.count
    screen.dock.presenter.cancel()
    screen.wait(screen.idle, "stopping")
    screen.settle()
    return heart.late, count


def heartbeat_of_napari(screen: Screen, seconds: float) -> list[float]:
    """Have napari by itself refresh an image as large as the fine heatmap: how late the timer was."""
    with Heartbeat() as heart:
        layer = refreshed_image(screen, seconds)
    screen.viewer.layers.remove(layer)
    screen.settle()
    return heart.late


def gene_switch(screen: Screen, genes: int) -> tuple[list[float], list[float], float | None]:
    """Switch genes of a map of 100,000 tiles; in turns, have napari draw the same array in a plain layer.

    Returns
    -------
    took, own : list of float
        Seconds until each gene is drawn, and until napari by itself has drawn it.
    memory : float or None
        MB that the switching took.
    """
    prediction_map = made_up_map(genes)
    screen.dock.controller.adopt(prediction_map)
    screen.viewer.fit_to_view()
    screen.settle()
    others = [gene for gene in prediction_map.card.genes if gene != screen.dock.state.gene]
    for name in others[1:6]:  # what is set up at the first switches is not theirs
        screen.dock.state.choose_gene(name)
        screen.settle(0.2)
    names = others[:: len(others) // SWITCHES][:SWITCHES]
    before = resident_mb()
    for name in names:
        _until_switched(screen, name)
    after = resident_mb()
    heatmap, plain = screen.dock.heatmap, PlainImage(screen)
    plain.add()
    took, own = [], []
    for name in names:
        took.append(_until_switched(screen, name))
        own.append(plain.draw(heatmap.layer.data.copy(), tuple(heatmap.layer.contrast_limits)))
    plain.remove()
    screen.viewer.layers.remove(heatmap.layer)
    screen.settle()
    return took, own, None if before is None or after is None else after - before


def _until_switched(screen: Screen, gene: str) -> float:
    """Switch to a gene: seconds until it is drawn."""
    started = time.perf_counter()
    screen.dock.state.choose_gene(gene)
    screen.until_drawn()
    took = time.perf_counter() - started
    screen.settle(0.2)  # what else it draws must not be taken for the next one
    return took


def made_up_map(genes: int) -> Any:
    """Make a full map of 100,000 tiles with random vectors: what matters is their number."""
    from napari_nh2st.model.card import Architecture, Card
    from napari_nh2st.model.decoder import Decoder
    from napari_nh2st.viewer.state.predicted_map import PredictedMap

    rng = np.random.default_rng(0)
    names = [f"GENE{i:05d}" for i in range(genes)]
    card = Card(name="made-up", architecture=Architecture(), mpp=1.0, pitch=144, genes=names, synthetic=True)
    width = card.architecture.hidden + 128  # as a model with a kernel head has it
    decoder = Decoder(rng.normal(size=(genes, width)).astype(np.float32), np.zeros(genes, np.float32))
    side = int(np.ceil(np.sqrt(TILES)))
    pixels = side * card.patch
    slide = {"path": "", "fingerprint": f"made-up-{genes}", "mpp": 1.0, "mpp_source": "user", "shape": [pixels, pixels]}
    prediction_map = PredictedMap(slide, card, decoder, scale=1.0, pitch=card.patch)
    for cells in np.array_split(np.arange(prediction_map.rows * prediction_map.columns), 50):
        prediction_map.add(cells, rng.normal(size=(len(cells), width)).astype(np.float16))
    return prediction_map


def resident_mb() -> float | None:
    """Memory of this process now, in MB (10^6 bytes); None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure_first(screen: Screen) -> dict[str, Any]:
    """Measure how soon the first tiles are drawn."""
    from napari_nh2st.viewer import predict_dock as predict

    return first_tiles(screen) | {"rest": predict._REST_MS / 1000}


def measure_cold(screen: Screen, seconds: float) -> dict[str, Any]:
    """Measure the first tiles, then how the window lives while the whole slide is predicted."""
    first = measure_first(screen)
    own = heartbeat_of_napari(screen, seconds / 2)
    late, predicted = heartbeat_while_predicting(screen, seconds)
    return first | {
        "heartbeat_p95": float(np.percentile(late, 95)),
        "heartbeat_max": max(late),
        "napari_own_max": max(own),
        "beats": len(late),
        "predicted": predicted,
    }


def measure_genes(screen: Screen) -> dict[str, Any]:
    """Measure how fast genes switch, with a small panel and with a large one."""
    few, own_few, small = gene_switch(screen, 250)
    many, own_many, large = gene_switch(screen, 20_000)
    return {
        "gene_switch": few + many,
        "napari_switches": own_few + own_many,
        "genes_250": small,
        "genes_20000": large,
    }


def main() -> None:
    """Print what was measured, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--settings", type=Path, required=True, help="a folder for what napari and the dock remember")
    parser.add_argument("--part", choices=("cold", "warm", "genes"), default="cold")
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    os.environ["NAPARI_CONFIG"] = str(chosen.settings / "napari.yaml")  # not the user's own
    screen = Screen(chosen.slide, chosen.model, chosen.device)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "cold": lambda: measure_cold(screen, QUICK_SECONDS if chosen.quick else PREDICT_SECONDS),
        "warm": lambda: measure_first(screen),
        "genes": lambda: measure_genes(screen),
    }
    print(json.dumps(parts[chosen.part]()), flush=True)
    screen.dock.shut_down()
    screen.wait(lambda: not screen.dock.background.busy, "ending what was at work")  # as napari does before it quits
    screen.viewer.close()


if __name__ == "__main__":
    main()
