"""The contract of all jobs: what is asked for on one slide is never seen on another, and is there when it is back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.instead import INSTEAD
from napari_nh2st.viewer.layers.roles import Kind, fingerprint_of, kind_of
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.regions.drawn import add_region_layer
from viewer.fakes import FakeSlide
from viewer.measured.material import SPOTS, h5ad
from viewer.trust.services import TrustServices
from viewer.without_window import answer

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Held:
    """Threads whose work is done when a test says so."""

    def __init__(self, background: Any) -> None:
        self._calls: list[tuple[Any, ...]] = []
        background.call = self._call

    def _call(self, function: Callable[..., Any], *args: Any, then: Any, failed: Any) -> None:
        self._calls.append((function, args, then, failed))

    def release(self) -> None:
        while self._calls:
            answer(*self._calls.pop(0))


class Window:
    """Two slides with a prediction each; C9 is chosen, and work waits."""

    def __init__(self, make_viewer, qtbot) -> None:
        self.viewer, self.qtbot, self.services = make_viewer(), qtbot, TrustServices()
        self.slides = [self._open("C9"), self._open("D2")]
        self.widget = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        qtbot.mouseClick(self.widget.where.buttons["whole"], LEFT)
        for place in (1, 0):
            self.choose(place)
            qtbot.mouseClick(self.widget.job.button, LEFT)
            qtbot.waitUntil(lambda: self.widget.controller.status.state is State.DONE)
        self.held = Held(self.widget.background)

    def _open(self, name: str):
        slide = FakeSlide(shape=(1920, 2560))
        slide.fingerprint = name
        data, meta, _ = frames.slide_layer_data(slide, name)
        return self.viewer.add_image(data, **meta)

    def choose(self, place: int) -> None:
        self.widget.slides.combo.setCurrentIndex(place)

    def fold(self, title: str) -> Any:
        return self.widget.folds[title].open()

    def click(self, button: Any) -> None:
        self.qtbot.mouseClick(button, LEFT)

    def in_sight(self) -> set[tuple[str, Kind]]:
        return {(fingerprint_of(layer), kind_of(layer)) for layer in self.viewer.layers if layer.visible}


def score(window: Window) -> Callable[[], bool]:
    part = window.fold("Several genes").signature
    part.genes.setPlainText("ERBB2 KRT8")
    window.click(part.button)
    return lambda: ("C9", Kind.SIGNATURE) in window.in_sight() and part.task.sentence.text().startswith("Scored ")


def spread(window: Window) -> Callable[[], bool]:
    window.click(window.fold("Trust").spread.button)
    return lambda: ("C9", Kind.SPREAD) in window.in_sight()


def check_tissue(window: Window) -> Callable[[], bool]:
    window.click(window.fold("Trust").tissue.button)
    return lambda: ("C9", Kind.NOVELTY) in window.in_sight()


def domains(window: Window) -> Callable[[], bool]:
    part = window.fold("Regions").domains
    window.click(part.button)
    return lambda: ("C9", Kind.DOMAINS) in window.in_sight() and part.choice.count() > 0


def surroundings(window: Window) -> Callable[[], bool]:
    section = window.fold("Context")
    window.click(section.show_button)
    return lambda: section.presenter.slide_effect.count > 0 and ("C9", Kind.EFFECT) in window.in_sight()


def measurement(window: Window) -> Callable[[], bool]:
    section = window.fold("Measured")
    section.presenter.open([window.counts])
    return lambda: section.presenter.measurement is not None


def tissue_mask(window: Window) -> Callable[[], bool]:
    window.click(window.widget.tissue.button)
    return lambda: ("C9", Kind.TISSUE) in window.in_sight()


def figure(window: Window) -> Callable[[], bool]:
    """Save a figure: what came of it is said with its slide's name, whatever is chosen by then."""
    section, said = window.widget.result, []
    say = section.say
    section.say = lambda text: (said.append(text), say(text))
    section._workspace.preferences.save_folder = str(window.folder)
    dialog = section.ask_figure()
    file = dialog.fields.rows["file"].widget.value
    window.click(dialog.save)
    return lambda: file.stat().st_size > 5000 and any(text.startswith(f"C9: Saved {file}") for text in said)


JOBS = (score, spread, check_tissue, domains, surroundings, tissue_mask, measurement, figure)


def compared_regions(window: Window) -> Callable[[], bool]:
    section = window.fold("Regions")
    half = np.array([(100.0, 100.0), (100.0, 600.0), (800.0, 600.0), (800.0, 100.0)])
    drawn = add_region_layer(window.viewer, "regions", window.widget.workspace.map.slide)
    drawn.add_polygons([half, half + np.array((0, 500))])
    window.qtbot.waitUntil(lambda: window.held.release() or section.list.rowCount() == 2)
    window.click(section.comparison.button)
    return lambda: bool(section.comparison.outcome.text())


def clicked_tile(window: Window) -> Callable[[], bool]:
    section = window.fold("Context")
    window.click(section.pick)
    prediction_map = window.widget.workspace.map
    cell = int(np.flatnonzero(prediction_map.done)[0])
    x, y = prediction_map.tiles(np.array([cell])).centres[0]
    window.viewer.cursor.position = window.slides[0].data_to_world((y - 0.5, x - 0.5))
    section.presenter.inspect_under_cursor()
    return lambda: (
        section.presenter.effects is not None or any(kind_of(layer) is Kind.OUTLINE for layer in window.viewer.layers)
    )


# Quick enough to be asked for anew: what was asked for is dropped when another slide is chosen.
DROPPED = (compared_regions, clicked_tile)


@pytest.mark.long
def test_a_result_is_seen_on_its_own_slide_alone(make_napari_viewer, qtbot, tmp_path) -> None:
    window = Window(make_napari_viewer, qtbot)
    window.counts, window.folder = h5ad(tmp_path / "C9.h5ad", spots=2 * SPOTS), tmp_path
    for job in JOBS:
        is_there = job(window)
        window.choose(1)
        before = len([layer for layer in window.viewer.layers if fingerprint_of(layer) == "D2"])
        window.held.release()
        assert {slide for slide, _ in window.in_sight()} == {"D2"}, job.__name__
        assert len([layer for layer in window.viewer.layers if fingerprint_of(layer) == "D2"]) == before, job.__name__
        window.choose(0)
        window.held.release()  # what follows from a result
        assert is_there(), job.__name__
        assert window.in_sight() & {("C9", kind) for kind in (Kind.HEATMAP, Kind.DOMAINS, *INSTEAD)}, job.__name__
    assert np.all([layer in window.viewer.layers for layer in window.slides])
    for job in DROPPED:
        is_there = job(window)
        window.choose(1)
        window.held.release()
        window.qtbot.wait(700)  # the list of regions follows drawing half a second later
        assert not is_there(), job.__name__
        assert {slide for slide, _ in window.in_sight()} == {"D2"}, job.__name__
        window.choose(0)
        window.held.release()
        assert not is_there(), job.__name__


@pytest.mark.long
def test_slides_that_lie_side_by_side_and_a_view_that_is_followed_keep_to_their_slides(make_napari_viewer, qtbot):
    window = Window(make_napari_viewer, qtbot)
    window.held.release()
    button, maps = window.fold("Several slides").button, {}
    for place, name in ((1, "D2"), (0, "C9")):
        window.choose(place)
        maps[name] = window.widget.workspace.map
    window.click(button)
    window.choose(1)  # while they are being laid out
    qtbot.waitUntil(lambda: window.viewer.canvas.grid.enabled)
    assert {slide for slide, _ in window.in_sight()} == {"C9", "D2"}
    window.click(button)
    qtbot.waitUntil(lambda: {slide for slide, _ in window.in_sight()} == {"D2"})
    assert window.widget.workspace.map is maps["D2"]

    window.choose(0)
    window.widget.slides.menu.clear()
    gate = window.services.gate = threading.Event()
    window.click(window.widget.where.buttons["view"])
    window.click(window.widget.job.button)
    qtbot.waitUntil(lambda: window.widget.controller.filling is not None)
    window.choose(1)
    done = maps["D2"].done.copy()
    gate.set()
    qtbot.waitUntil(lambda: not window.widget.controller.running)
    assert np.array_equal(maps["D2"].done, done)
    assert {slide for slide, _ in window.in_sight()} == {"D2"}
    window.choose(0)
    assert window.widget.workspace.map is not maps["D2"]
    assert {slide for slide, _ in window.in_sight()} == {"C9"}
