"""A person sees within a tenth of a second that something began, whatever action they choose."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from napari.components import LayerList
from qtpy.QtCore import QByteArray
from qtpy.QtWidgets import QApplication, QFileDialog
from vispy.app import use_app

from napari_nh2st.viewer.actions import ACTIONS, Action, action
from napari_nh2st.viewer.kit.background import Background
from napari_nh2st.viewer.state.services import Services
from viewer.several.test_slides_section import Window
from viewer.several.views import slide

pytestmark = pytest.mark.viewer

AT_MOST = 0.1  # seconds of the GUI thread
LAST = ("clear_results", "close_slide")


class Clock:
    """Processor time of the GUI thread, without what napari takes to draw the canvas and to add a layer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._napari, self._inside = 0.0, False
        canvas = use_app().backend_module.CanvasBackend
        for owner, name in ((canvas, "paintGL"), (LayerList, "insert"), (LayerList, "remove")):
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


def test_whatever_an_action_starts_shows_at_once(clock: Clock, make_napari_viewer, qtbot, monkeypatch) -> None:
    window = Window(lambda: make_napari_viewer(show=True), qtbot, (slide("A"), slide("B")))
    window.predict()
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
        began = clock.now()
        window.widget.do(each)
        window.widget.repaint()
        took = clock.now() - began
        if took > AT_MOST:
            slow[each.name] = round(took, 3)
        assert in_sight(window, dialogs) != before, f"nothing shows that {each.name} was pressed"
        leave(window)
    assert slow == {}


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
