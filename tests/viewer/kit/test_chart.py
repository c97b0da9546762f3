"""A chart follows theme, font and width, is drawn a few times a second at most, and lets the wheel scroll the dock."""

from __future__ import annotations

import subprocess
import sys

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QScrollArea, QVBoxLayout, QWidget

from napari_nh2st.viewer.kit import chart as module
from napari_nh2st.viewer.kit.chart import Chart
from napari_nh2st.viewer.kit.layout import scrolled

pytestmark = pytest.mark.viewer


class Diagonal(Chart):
    """A line from corner to corner, with a dot where it is asked for."""

    def __init__(self) -> None:
        super().__init__("A diagonal", "From corner to corner")
        self.surfaces, self.dot = [], None

    def height_for(self, width: int, line: int) -> int:
        return 10 * line

    def plot(self, surface) -> None:
        self.surfaces.append(surface)
        self.axes = surface.axes(10, 20, surface.width - 20, surface.height - 40)
        self.axes.plot([0, 1], [0, 1], color=surface.ink)
        self.title = surface.write(surface.width / 2, 10, "diagonal", align="center")

    def marks(self):
        return [] if self.dot is None else self.axes.plot(*self.dot, "o", color="#ff0000", markersize=12)

    def tip_at(self, event) -> str:
        return "" if event.inaxes is None else f"x = {event.xdata:.1f}"


@pytest.fixture
def window(qtbot, monkeypatch) -> QWidget:
    monkeypatch.setattr(module, "_EVERY_MS", 60)
    window = QWidget()
    window.chart = Diagonal()
    QVBoxLayout(window).addWidget(window.chart)
    window.resize(320, 400)
    qtbot.addWidget(window)
    return window


@pytest.fixture
def chart(window, qtbot) -> Diagonal:
    window.show()
    qtbot.waitUntil(lambda: bool(window.chart.surfaces))
    qtbot.waitUntil(lambda: window.chart.surfaces[-1].width == window.chart.width())
    qtbot.wait(module._EVERY_MS + 50)
    qtbot.waitUntil(lambda: not window.chart._stale)  # what was asked for while the window came up is drawn
    return window.chart


def reddest(chart: Chart) -> int:
    image = chart.grab().toImage()
    colours = [image.pixelColor(x, y) for x in range(0, image.width(), 2) for y in range(0, image.height(), 2)]
    return max(colour.red() - colour.green() for colour in colours)


def test_a_box_lies_where_it_was_asked_for(chart) -> None:
    box = chart.axes.get_window_extent()
    ratio = chart.canvas.device_pixel_ratio
    assert (box.x0 / ratio, box.width / ratio) == pytest.approx((10, chart.width() - 20))
    assert (chart.height() * ratio - box.y1) / ratio == pytest.approx(20)
    surface = chart.surfaces[-1]
    assert surface.wide("diagonal") == pytest.approx(chart.title.get_window_extent().width / ratio, abs=2)
    assert surface.shortened("diagonal", 200) == "diagonal"
    assert surface.shortened("diagonal", 40).endswith("…")
    assert surface.wide(surface.shortened("diagonal", 40)) <= 40


def test_much_that_changes_is_drawn_once(chart, qtbot) -> None:
    chart.redraw()
    before = len(chart.surfaces)
    for _ in range(5):
        chart.redraw()
    qtbot.waitUntil(lambda: len(chart.surfaces) > before)
    qtbot.wait(2 * module._EVERY_MS + 100)
    assert len(chart.surfaces) == before + 1


def test_what_is_hidden_is_drawn_when_it_is_shown(window, chart, qtbot) -> None:
    window.hide()
    before = len(chart.surfaces)
    chart.redraw()
    qtbot.wait(module._EVERY_MS + 50)
    assert len(chart.surfaces) == before
    window.show()
    qtbot.waitUntil(lambda: len(chart.surfaces) > before)


def test_a_scroll_bar_that_goes_with_the_height_comes_to_rest(qtbot) -> None:
    area = QScrollArea()
    chart = Diagonal()
    chart.height_for = lambda width, line: 2 * width  # too high beside the bar's place, and not beside the bar
    scrolled(area).addWidget(chart)
    qtbot.addWidget(area)
    bar = area.verticalScrollBar().sizeHint().width()
    with qtbot.waitExposed(area):
        area.resize(400, 2 * (400 - 16) + 16 - bar)
        area.show()
    qtbot.waitUntil(lambda: bool(chart.surfaces) and chart.surfaces[-1].width == chart.width())
    assert abs(chart.height() - 2 * chart.width()) <= 2 * bar


def test_the_theme_is_followed(window, chart, qtbot) -> None:
    window.setStyleSheet("QWidget { background: #102030; color: #f0e0d0; }")
    qtbot.waitUntil(lambda: chart.surfaces[-1].ink[0] > 0.9)
    assert chart.surfaces[-1].paper[:3] == pytest.approx((16 / 255, 32 / 255, 48 / 255), abs=0.01)
    image = chart.grab().toImage()
    assert image.pixelColor(2, image.height() - 2).getRgb()[:3] == (16, 32, 48)
    before = chart.height()
    window.setStyleSheet("QWidget { font-size: 24px; }")
    qtbot.waitUntil(lambda: chart.surfaces[-1].font["size"] == 24)
    assert chart.height() > before


def test_marks_come_and_go_without_the_rest(chart, qtbot) -> None:
    drawn = len(chart.surfaces)
    for dot, seen in (((0.5, 0.5), True), ((0.2, 0.2), True), (None, False)):
        chart.dot = dot
        chart.redraw_marks()
        assert (reddest(chart) > 150) == seen
    assert len(chart.surfaces) == drawn
    chart.dot = (0.5, 0.5)
    chart.redraw_marks()
    chart.redraw()
    qtbot.waitUntil(lambda: len(chart.surfaces) > drawn)
    assert reddest(chart) > 150  # the mark outlasts another picture


def test_the_place_under_the_mouse_is_told(chart, qtbot) -> None:
    def moved() -> bool:
        for x in (1, chart.width() // 2):
            qtbot.mouseMove(chart.canvas, QPoint(x, chart.height() // 2))
        return chart._tip == "x = 0.5"

    qtbot.waitUntil(moved)


def test_the_wheel_scrolls_the_dock(chart) -> None:
    at = QPointF(50, 50)
    wheel = QWheelEvent(
        at, at, QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(chart.canvas, wheel)
    assert not wheel.isAccepted()


def test_matplotlib_is_loaded_when_a_chart_is_shown_and_pyplot_never() -> None:
    code = """
import sys, time
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
application = QApplication([])
from napari_nh2st.viewer.kit.chart import Chart
Chart.plot, Chart.height_for = lambda *_: None, lambda *_: 100
chart = Chart("empty")
assert "matplotlib" not in sys.modules
chart.show()
until = time.monotonic() + 60
while chart.canvas is None and time.monotonic() < until:
    QTest.qWait(20)
assert chart.canvas is not None
assert "matplotlib.pyplot" not in sys.modules
QTest.qWait(50)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
