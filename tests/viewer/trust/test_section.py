"""The section *Trust* in a real window: buttons, the check stopped, models ticked in the list."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QStyle, QStyleOptionViewItem

from napari_nh2st.viewer.layers import frames
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict.workspace import NO_MAP
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.trust.section import TrustSection
from viewer.fakes import FakeSlide, hidden_at
from viewer.trust.services import TrustServices

viewer = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


class Dock:
    def __init__(self, make_viewer, qtbot, slide=None) -> None:
        self.viewer, self.qtbot, self.services = make_viewer(), qtbot, TrustServices()
        self.slide = slide or FakeSlide()
        data, meta, _ = frames.slide_layer_data(self.slide)
        self.slide_layer = self.viewer.add_image(data, **meta)
        self.widget = PredictWidget(self.viewer, self.services)
        self.viewer.window.add_dock_widget(self.widget, name="NH2ST", area="right")
        self.workspace = self.widget.workspace
        self.section: TrustSection = self.widget.folds["Trust"].open()
        self.tissue, self.spread = self.section.tissue, self.section.spread

    def click(self, button) -> None:
        assert button.isEnabled()
        self.qtbot.mouseClick(button, LEFT)

    def until(self, condition) -> None:
        self.qtbot.waitUntil(condition, timeout=60_000)

    def predict(self, where: str = "whole") -> None:
        self.click(self.widget.where.buttons[where])
        self.click(self.widget.job.button)
        self.until(lambda: self.widget.controller.status.state not in (State.RUNNING, State.IDLE))

    def ask(self) -> None:
        self.click(self.spread.button)
        self.until(lambda: not self.spread.task.running)

    def check(self) -> None:
        self.click(self.tissue.button)
        self.until(lambda: not self.tissue.task.running)

    def tick(self, model: str) -> None:
        """Click the box before a model in the list."""
        box = self.spread.models
        (item,) = [box.item(i) for i in range(box.count()) if box.item(i).text() == model]
        option = QStyleOptionViewItem()
        box.initViewItemOption(option)
        option.rect, option.features = box.visualItemRect(item), QStyleOptionViewItem.ViewItemFeature.HasCheckIndicator
        at = box.style().subElementRect(QStyle.SubElement.SE_ItemViewItemCheckIndicator, option, box)
        self.qtbot.mouseClick(box.viewport(), LEFT, pos=QPoint(at.center()))

    def layer(self, part: str):
        found = [layer for layer in self.viewer.layers if part in layer.name]
        return found[0] if found else None


@pytest.fixture
def dock(make_napari_viewer, qtbot) -> Dock:
    return Dock(make_napari_viewer, qtbot)


@viewer
def test_before_a_prediction_the_buttons_say_why_they_rest(dock: Dock) -> None:
    for button in (dock.tissue.button, dock.spread.button):
        assert not button.isEnabled()
        assert button.toolTip() == NO_MAP
    assert "1 is perfect, 0 is none" in dock.section.meaning.text()
    assert "1 is perfect, 0 is none" in dock.widget.genes.trust.toolTip()


@viewer
def test_the_check_can_be_cancelled_and_started_again(dock: Dock) -> None:
    dock.predict()
    dock.services.gate = threading.Event()
    dock.click(dock.tissue.button)
    dock.until(lambda: dock.tissue.task.running)
    dock.click(dock.tissue.task.cancel_button)
    dock.until(lambda: not dock.tissue.task.running)
    assert dock.tissue.task.sentence.text() == "Stopped."
    dock.services.gate = None
    dock.check()
    assert dock.layer("unlike") is not None


@viewer
def test_spread_over_models_with_other_panels_and_pixels(dock: Dock) -> None:
    dock.predict()
    dock.click(dock.spread._by_models)
    listed = {dock.spread.models.item(i).text(): dock.spread.models.item(i) for i in range(dock.spread.models.count())}
    assert set(listed) == {"demo", "other"}
    assert not listed["demo"].flags() & Qt.ItemFlag.ItemIsEnabled
    assert "shares no gene" in listed["demo"].toolTip()
    dock.click(dock.spread.button)
    assert "Tick at least one model" in dock.spread.task.sentence.text()
    dock.tick("other")
    dock.ask()
    shown, layer = dock.workspace.map, dock.layer("C9 · ERBB2 · spread over 2 models")
    cells = np.flatnonzero(shown.done)
    asked = dock.services.streams[-1]
    assert np.array_equal(asked.centres, shown.tiles(cells).centres)
    assert (asked.scale, asked.grid) == (pytest.approx(1.3 / 0.5), None)
    x = hidden_at(asked.centres)[:, 0].astype(float)
    assert np.allclose(layer.data.ravel()[cells], np.abs(x - 2 * x) / np.sqrt(2), atol=3e-3)
    dock.workspace.state.request_gene("CD3E")
    assert "other does not predict CD3E" in dock.spread.sentence.text()
    assert np.isnan(layer.data).all()
    dock.click(dock.spread.by_views)
    assert dock.spread.button.text() == "Show spread"
