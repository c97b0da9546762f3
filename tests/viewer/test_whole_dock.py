"""The whole dock in use: all its texts are read whole, and whatever action is chosen shows at once that it began."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from napari._vispy.canvas import VispyCanvas
from napari.components import LayerList
from napari.layers import Shapes
from napari.settings import get_settings
from napari.utils.events.containers import Selection
from qtpy.QtCore import QByteArray, Qt
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog
from vispy.app import use_app

from napari_nh2st.viewer.actions import ACTIONS, Action, action
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.state.services import Services
from viewer.cut_text import cut_texts
from viewer.several.test_slides_section import Window
from viewer.several.views import slide

pytestmark = pytest.mark.viewer

AT_MOST = 0.1  # seconds of the GUI thread, where the dock is drawn in 4 ms
DRAWINGS = 25  # of the whole dock take as long on any processor
LAST = ("clear_results", "close_slide")


class Clock:
    """Processor time of the GUI thread, without what napari takes to draw, make, add, select and lay out layers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._napari, self._inside = 0.0, False
        canvas = use_app().backend_module.CanvasBackend
        napari = (
            (LayerList, "insert"),
            (LayerList, "remove"),
            (Shapes, "__init__"),
            (VispyCanvas, "_update_scenegraph"),
            (Selection, "_emit_change"),
        )
        for owner, name in ((canvas, "paintGL"), *napari):
            monkeypatch.setattr(owner, name, self._apart(getattr(owner, name)))

    def now(self) -> float:
        return time.thread_time() - self._napari

    def _apart(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **how: Any) -> Any:
            if self._inside:
                return function(*args, **how)
            self._inside, began = True, time.thread_time()
            try:
                return function(*args, **how)
            finally:
                self._inside = False
                self._napari += time.thread_time() - began

        return timed


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def test_a_dock_in_use(clock: Clock, make_napari_viewer, qtbot, monkeypatch) -> None:
    """The foot is in reach, all texts are read whole, all actions show at once: in one window, since it takes long."""
    window = Window(lambda: make_napari_viewer(show=True), qtbot, (slide("A"), slide("B")))
    window.predict()
    the_foot_is_in_reach_whatever_is_unfolded(window, qtbot)
    every_text_is_read_whole_at_320_px(window, qtbot)
    every_action_shows_at_once(window, qtbot, clock, monkeypatch)


def the_foot_is_in_reach_whatever_is_unfolded(window: Window, qtbot) -> None:
    """Look for its buttons in a window of 1280 x 800."""
    dock, main = window.widget, window.viewer.window._qt_window
    window.viewer.window.resize(1280, 800)
    for fold in dock.folds.values():
        fold.open()
    qtbot.wait(200)
    for button in (dock.result.export, dock.result.command, dock.result.more):
        place = button.mapTo(main, button.rect().bottomLeft())
        assert button.isVisible()
        assert place.y() < 800
        assert button.fontMetrics().horizontalAdvance(button.text()) < button.width()


def every_text_is_read_whole_at_320_px(window: Window, qtbot) -> None:
    """Walk over all texts in napari's font as it comes, and half as large again."""
    dock, scroll = window.widget, window.widget.scroll
    dock.use_model("demo")
    window.predict()  # two models: all of the section on them
    for fold in dock.folds.values():
        fold.open()
    main, docked = window.viewer.window._qt_window, dock.parentWidget()
    fixed: list[QComboBox] = [dock.genes.order, dock.genes.limits.percentiles.native, dock.genes.limits.colormap.native]
    for size in (9, 14):
        get_settings().appearance.font_size = size
        main.resizeDocks([docked], [320], Qt.Orientation.Horizontal)
        qtbot.wait(100)
        if size == 9:
            assert dock.width() == 320
            line = dock.genes.field.lineEdit()
            assert line.fontMetrics().horizontalAdvance("DEMO-TUMORIN") + 4 <= line.width()  # the demo's first gene
        for index in range(max(combo.count() for combo in fixed)):
            for combo in fixed:  # whatever is chosen
                combo.blockSignals(True)
                combo.setCurrentIndex(index % combo.count())
                combo.blockSignals(False)
            QApplication.processEvents()
            assert list(cut_texts(scroll.widget())) == []
        assert scroll.widget().width() <= scroll.viewport().width()
    get_settings().appearance.font_size = 9
    for fold in dock.folds.values():
        fold.open(False)


def every_action_shows_at_once(window: Window, qtbot, clock: Clock, monkeypatch) -> None:
    """Do everything that the table of actions has, while all work takes long; a slow processor has its own tenth."""
    dialogs: list[str] = []
    for name in ("getSaveFileName", "getOpenFileName"):
        monkeypatch.setattr(QFileDialog, name, lambda *how: dialogs.append(how[1]) or ("", ""))
    Services().prepare_shapes()  # as the dock does in a thread
    monkeypatch.setattr(Background, "_start", lambda *how: None)  # work that takes long
    qtbot.wait(300)
    slow = {}
    for each in in_order():
        made_ready(window, each)
        qtbot.wait(100)
        before = in_sight(window, dialogs)
        at_most = max(AT_MOST, DRAWINGS * drawn_in(window))
        gc.disable()  # what a full collection takes, at any time, depends on the tests that ran before
        began = clock.now()
        window.widget.do(each)
        window.widget.repaint()
        took = clock.now() - began
        gc.enable()
        if took > at_most:
            slow[each.name] = f"{took:.3f} s for {at_most:.3f}"
        assert in_sight(window, dialogs) != before, f"nothing shows that {each.name} was pressed"
        leave(window)
    assert slow == {}


def drawn_in(window: Window) -> float:
    """Return what the whole dock takes to be drawn here and now, in seconds."""
    took = []
    for _ in range(3):
        began = time.thread_time()
        window.widget.grab()
        took.append(time.thread_time() - began)
    return statistics.median(took)


def in_order() -> Iterator[Action]:
    yield from (each for each in ACTIONS if each.name not in LAST)
    yield from map(action, LAST)


def made_ready(window: Window, each: Action) -> None:
    """Bring the dock where the action has something to do."""
    if each.name in ("view", "whole"):
        window.widget.state.where = "shape"
    elif each.name == "start":
        window.widget.state.where = "view"
    elif each.fold:
        window.widget.folds[each.fold].open(False)


def in_sight(window: Window, dialogs: list[str]) -> tuple[Any, ...]:
    """Return what a person sees and has at hand, dialogs and the clipboard too."""
    picture = QByteArray(window.widget.grab().toImage().bits().tobytes())
    layers = [(layer.name, layer.visible, layer.opacity) for layer in window.viewer.layers]
    others = sum(widget.isVisible() for widget in QApplication.topLevelWidgets())
    return picture, layers, others, len(dialogs), QApplication.clipboard().text()


def leave(window: Window) -> None:
    """Close what was opened, and put down what was taken in hand."""
    for widget in QApplication.topLevelWidgets():
        if widget.isVisible() and widget is not window.viewer.window._qt_window:
            widget.close()
    window.widget.workspace.tools.put_down()
