"""Jobs of a slide in a real window: another slide is chosen, or the slide is closed, before they end."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox

from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.roles import Kind, fingerprint_of, kind_of, map_of
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict_dock import PredictWidget
from viewer.fakes import FakeServices, FakeSlide

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class TwoSlides:
    """A window with the dock and two slides, C9 and D2; C9 is chosen."""

    def __init__(self, make_viewer, qtbot) -> None:
        self.viewer, self.qtbot, self.services = make_viewer(), qtbot, FakeServices()
        self.layers = [self._open("C9"), self._open("D2")]
        self.widget = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.controller = self.widget.controller
        self.choose(0)
        qtbot.mouseClick(self.widget.where.buttons["whole"], LEFT)

    def _open(self, name: str):
        slide = FakeSlide()
        slide.fingerprint = name
        data, meta, _ = frames.slide_layer_data(slide, name)
        return self.viewer.add_image(data, **meta)

    def choose(self, place: int) -> None:
        self.widget.slides.combo.setCurrentIndex(place)

    def press(self) -> None:
        self.qtbot.mouseClick(self.widget.job.button, LEFT)

    def predict(self) -> None:
        self.press()
        self.until(lambda: self.controller.status.state is State.DONE)

    def until(self, condition) -> None:
        self.qtbot.waitUntil(condition)

    def says(self) -> str:
        return self.widget.job.sentence.text()

    def in_sight(self, fingerprint: str) -> list[Kind]:
        """Return the kinds of what is in sight on a slide, but for the slide itself."""
        on = [layer for layer in self.viewer.layers if layer.visible and fingerprint_of(layer) == fingerprint]
        return [kind_of(layer) for layer in on if kind_of(layer) is not Kind.SLIDE]


@pytest.fixture
def window(make_napari_viewer, qtbot) -> TwoSlides:
    return TwoSlides(make_napari_viewer, qtbot)


def test_a_whole_slide_run_keeps_its_name_and_ends_with_its_slide(window: TwoSlides) -> None:
    gate = window.services.gate = threading.Event()
    window.press()
    gate.set()
    window.until(lambda: window.controller.status.done > 0)
    window.choose(1)
    gate.set()
    window.until(lambda: window.says().startswith("C9: 14 of "))
    assert window.in_sight("D2") == []
    window.choose(0)
    assert window.in_sight("C9") == [Kind.HEATMAP]
    assert map_of(window.viewer.layers[-2]) is window.controller.map
    window.viewer.layers.remove(window.layers[0])  # as napari's own button does
    assert window.says() == "C9 was closed: its prediction has stopped."
    assert (window.controller.status.state, window.widget.job.button.text()) == (State.CANCELLED, "Predict")
    assert window.in_sight("C9") == [], "its map does not lie on D2"
    window.services.gate = None
    gate.set()
    window.predict()
    assert window.says().startswith("D2: done, ")
    window.press()
    window.until(lambda: window.says() == "D2: everything here is already predicted.")


def test_close_slide_and_clear_results(window: TwoSlides) -> None:
    menu = window.widget.slides.menu
    window.predict()
    window.choose(1)
    window.predict()
    window.choose(0)
    assert window.says() == "All of the tissue is predicted. Choose a gene, or export."
    window.qtbot.mouseClick(window.widget.folds["Regions"].open().draw, LEFT)
    regions = next(layer for layer in window.viewer.layers if kind_of(layer) is Kind.REGIONS)
    regions.add_polygons(np.array([[0, 0], [0, 100], [100, 100]]))
    window.choose(1)
    assert not regions.visible  # it lies on the other slide
    menu.clear_results.trigger()
    assert window.widget.state.map is None
    assert window.in_sight("D2") == []
    assert [fingerprint_of(layer) for layer in window.viewer.layers].count("D2") == 1
    window.predict()
    assert window.services.asked[-1] == window.services.asked[0]  # nothing was known any more
    window.choose(0)
    assert regions.visible
    question = menu.ask_to_close()
    assert "1 region." in question.text()
    window.qtbot.mouseClick(question.button(QMessageBox.StandardButton.Cancel), LEFT)
    assert regions in window.viewer.layers
    question = menu.ask_to_close()
    window.qtbot.mouseClick(next(b for b in question.buttons() if b.text() == "Close slide"), LEFT)
    assert {fingerprint_of(layer) for layer in window.viewer.layers} == {"D2"}
    assert window.widget.slides.layer is window.layers[1]
    menu.close_slide.trigger()  # nothing made by hand: no question
    assert list(window.viewer.layers) == []
