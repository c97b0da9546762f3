"""The contract of all jobs: what is asked for on one slide is never seen on another, and is there when it is back."""

from __future__ import annotations

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
        self.viewer, self.qtbot = make_viewer(), qtbot
        self.slides = [self._open("C9"), self._open("D2")]
        self.widget = PredictWidget(self.viewer, TrustServices())
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        qtbot.mouseClick(self.widget.where.buttons["whole"], LEFT)
        for place in (1, 0):
            self.choose(place)
            qtbot.mouseClick(self.widget.job.button, LEFT)
            qtbot.waitUntil(lambda: self.widget.controller.status.state is State.DONE, timeout=10_000)
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


JOBS = (score, spread, check_tissue, domains, surroundings, tissue_mask, measurement)


@pytest.mark.long
def test_a_result_is_seen_on_its_own_slide_alone(make_napari_viewer, qtbot, tmp_path) -> None:
    window = Window(make_napari_viewer, qtbot)
    window.counts = h5ad(tmp_path / "C9.h5ad", spots=2 * SPOTS)
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
