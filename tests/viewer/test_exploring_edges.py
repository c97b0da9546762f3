"""Every section of the dock in awkward states: a sentence, never a traceback, and nothing that hangs.

pytest-qt makes a test fail on any exception in a slot; these tests press whatever can be pressed.
"""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QApplication, QCheckBox, QPushButton, QScrollArea

from napari_nh2st.viewer.kit.texts import Sentence
from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.layers.roles import KEY, Kind, map_role, role_of
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.state.predicted_map import PredictedMap
from viewer.fakes import FakeServices, FakeSlide, card

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Dock:
    def __init__(self, make_viewer, qtbot, slide: FakeSlide | None = None, services: FakeServices | None = None):
        self.viewer, self.qtbot, self.services = make_viewer(), qtbot, services or FakeServices()
        if slide is not None:
            data, meta, _ = frames.slide_layer_data(slide)
            self.viewer.add_image(data, **meta)
        self.widget = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")

    def open_all(self) -> None:
        for fold in self.widget.folds.values():
            if not fold.button.isChecked():
                self.qtbot.mouseClick(fold.button, LEFT)

    def predict(self) -> None:
        self.qtbot.mouseClick(self.widget.where.buttons["whole"], LEFT)
        self.qtbot.mouseClick(self.widget.job.button, LEFT)
        self.qtbot.waitUntil(lambda: self.widget.controller.status.state not in (State.RUNNING, State.IDLE))

    def rest(self) -> None:
        """Wait until nothing is at work any more."""
        self.qtbot.waitUntil(lambda: not self.widget.background.busy, timeout=60_000)
        QApplication.processEvents()

    def press_everything(self) -> None:
        """Press every button and box of every section that asks for no file, one after the other."""
        for title, fold in self.widget.folds.items():
            for button in fold.section.findChildren(QPushButton) + fold.section.findChildren(QCheckBox):
                if button.isEnabled() and button.isVisibleTo(fold.section) and "…" not in button.text():
                    self.qtbot.mouseClick(button, LEFT)
                    self.rest()
            assert fold.section is not None, title


@pytest.fixture
def make(make_napari_viewer, qtbot):
    return lambda *args, **more: Dock(make_napari_viewer, qtbot, *args, **more)


def test_every_section_opens_in_an_empty_viewer_and_says_what_to_do(make) -> None:
    dock = make()
    dock.open_all()
    for title, fold in dock.widget.folds.items():
        said = [s.text() for s in fold.section.findChildren(Sentence) if s.isVisibleTo(fold.section) and s.text()]
        waits = [
            b.toolTip()
            for b in fold.section.findChildren(QPushButton)
            if b.isVisibleTo(fold.section) and not b.isEnabled()
        ]
        assert any(words in text for text in said + waits for words in ("first", "Open", "slide", "model")), title
    dock.press_everything()


def test_a_slide_that_does_not_say_how_large_its_pixels_are(make) -> None:
    dock = make(FakeSlide(mpp=None))
    dock.open_all()
    dock.press_everything()


def test_a_model_without_figures(make) -> None:
    services = FakeServices()
    services.cards = {"plain": card("plain", evaluation=None)}
    dock = make(FakeSlide(), services)
    dock.open_all()
    dock.predict()
    dock.press_everything()


@pytest.mark.parametrize("gone", ["slide", "heatmap", "everything"])
def test_layers_are_deleted_under_what_runs(make, gone: str) -> None:
    dock = make(FakeSlide())
    dock.open_all()
    dock.predict()
    slide_layer, heatmap = dock.viewer.layers[0], dock.widget.heatmap.layer
    for fold in dock.widget.folds.values():
        for button in fold.section.findChildren(QPushButton):
            if button.isEnabled() and button.isVisibleTo(fold.section) and "…" not in button.text():
                dock.qtbot.mouseClick(button, LEFT)  # and it is not waited for
    if gone == "everything":
        dock.viewer.layers.clear()
    else:
        layer = slide_layer if gone == "slide" else heatmap
        if layer in dock.viewer.layers:
            dock.viewer.layers.remove(layer)
    dock.rest()
    dock.press_everything()
    dock.widget.state.request_gene("KRT8")
    dock.rest()


def test_every_layer_says_what_it_shows_and_where_it_comes_from(make) -> None:
    dock = make(FakeSlide())
    dock.open_all()
    dock.predict()
    dock.press_everything()
    ours = [layer for layer in dock.viewer.layers if role_of(layer) is not None]
    made = [layer for layer in ours if role_of(layer).provenance]
    assert {role_of(layer).provenance["what"] for layer in made} >= {"predicted expression", "spread"}
    for layer in made:
        facts = role_of(layer).provenance
        assert facts["slide"]["fingerprint"] == "f" * 8
        assert facts["model_hash"] == "hash of her2st 0"
    plain = {layer.name for layer in ours if layer not in made}
    assert plain <= {"C9", "C9 · inspected tile", "C9 · regions"}, plain


def test_layers_are_renamed_and_moved_by_the_user(make) -> None:
    dock = make(FakeSlide())
    dock.open_all()
    dock.predict()
    dock.press_everything()
    for i, layer in enumerate(dock.viewer.layers):
        layer.name = f"mine {i}"
    dock.viewer.layers.move(0, len(dock.viewer.layers))
    dock.widget.state.request_gene("KRT8")
    dock.rest()
    dock.press_everything()
    assert dock.viewer.layers["mine 0"] is not None


def test_a_prediction_from_a_file_without_its_slide(make) -> None:
    dock = make()
    dock.open_all()
    services, slide = FakeServices(), FakeSlide()
    shown = PredictedMap(
        services.describe(slide), card(), services.decoder(None), scale=2.0, pitch=112, provenance={"model_hash": "x"}
    )
    everywhere = np.arange(shown.rows * shown.columns)
    shown.add(everywhere, np.random.default_rng(0).random((len(everywhere), 4)).astype(np.float16))
    frame = frames.map_frame(shown.cell, shown.origin, 0.5)
    role = map_role(Kind.HEATMAP, shown, "predicted expression", gene="ERBB2")
    layer = dock.viewer.add_image(shown.values("ERBB2"), name="ERBB2", metadata={KEY: role}, **frame)
    dock.viewer.layers.selection.active = layer
    dock.rest()
    dock.press_everything()


def test_two_windows_at_once(make) -> None:
    one, two = make(FakeSlide()), make(FakeSlide())
    for dock in (one, two):
        dock.open_all()
        dock.predict()
    one.press_everything()
    two.press_everything()
    assert two.widget.heatmap is not one.widget.heatmap


def test_closing_the_dock_while_everything_runs(make) -> None:
    dock = make(FakeSlide())
    dock.open_all()
    dock.predict()
    for fold in dock.widget.folds.values():
        for button in fold.section.findChildren(QPushButton):
            if button.isEnabled() and button.isVisibleTo(fold.section) and "…" not in button.text():
                dock.qtbot.mouseClick(button, LEFT)
    background = dock.widget.background
    dock.viewer.window.remove_dock_widget(dock.widget.parent())
    dock.qtbot.waitUntil(lambda: not background.busy, timeout=30_000)


def test_every_control_says_what_it_does(make) -> None:
    dock = make(FakeSlide())
    dock.open_all()
    dock.predict()
    for title, fold in dock.widget.folds.items():
        for button in fold.section.findChildren(QAbstractButton):
            if button.isVisibleTo(fold.section) and button.text():
                assert button.toolTip(), f"{title}: {button.text()} has no tooltip"


@pytest.mark.parametrize(("theme", "factor"), [("dark", 1.0), ("light", 1.5)])
def test_nothing_is_wider_than_the_dock(make, theme: str, factor: float) -> None:
    from napari.settings import get_settings

    appearance = get_settings().appearance
    size = appearance.font_size
    appearance.font_size = round(size * factor)
    try:
        dock = make(FakeSlide())
        dock.viewer.theme = theme
        dock.viewer.window.resize(1280, 800)
        dock.viewer.window.show()  # a widget has its theme's measures once it was shown
        dock.open_all()
        dock.predict()
        dock.rest()
        area: QScrollArea = dock.widget.scroll
        dock.qtbot.waitUntil(lambda: area.widget().minimumSizeHint().width() <= area.minimumWidth())
        most = 320 if factor == 1.0 else 460
        assert max(area.minimumWidth(), dock.widget.result.minimumSizeHint().width()) <= most
    finally:
        appearance.font_size = size
