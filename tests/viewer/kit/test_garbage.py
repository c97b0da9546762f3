"""Qt objects that are let go of are never deleted by a worker's thread, and long collections wait for rest."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

from napari_nh2st.viewer.kit import garbage
from napari_nh2st.viewer.kit.background import Background

pytestmark = pytest.mark.viewer


@pytest.fixture
def collecting(monkeypatch) -> Iterator[list[bool]]:
    """Whether each collection ran on the GUI thread."""
    monkeypatch.setattr(garbage, "_collector", None)
    monkeypatch.setattr(garbage, "_EVERY_MS", 10)
    threads: list[bool] = []
    thresholds = gc.get_threshold()

    def note(phase: str, info: dict[str, int]) -> None:
        threads.append(threading.current_thread() is threading.main_thread())

    gc.callbacks.append(note)
    yield threads
    gc.callbacks.remove(note)
    gc.enable()
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def cycles(stop: threading.Event) -> str:
    """Leave what only the collector finds, more than its threshold."""
    while not stop.is_set():
        for _ in range(1000):
            cycle: list[object] = []
            cycle.append(cycle)
    return "done"


def test_while_a_thread_works_the_gui_thread_collects(qtbot, collecting) -> None:
    background, stop, ends = Background(), threading.Event(), []
    background.call(cycles, stop, then=ends.append, failed=ends.append)
    qtbot.waitUntil(lambda: len(collecting) > 3)
    assert not gc.isenabled()
    stop.set()
    qtbot.waitUntil(lambda: ends == ["done"])
    assert all(collecting)
    qtbot.waitUntil(gc.isenabled)


def lose_something() -> weakref.ref[object]:
    class Large:
        pass

    lost = Large()
    lost.itself = lost
    gone = weakref.ref(lost)
    gc.collect()
    gc.freeze()  # it has lived for a while
    return gone


def touch(window: QWidget) -> None:
    """Press a key as the system tells of it: the window hears of it first."""
    QTest.keyClick(window.windowHandle(), Qt.Key.Key_Shift)


def test_what_is_let_go_of_is_found_at_rest_not_under_the_hands(qtbot, collecting, monkeypatch) -> None:
    monkeypatch.setattr(garbage, "_REST_S", 60)
    background, ends = Background(), []
    background.call(lambda: "begun", then=ends.append, failed=ends.append)
    qtbot.waitUntil(lambda: bool(ends) and gc.isenabled())
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(lambda: QGuiApplication.focusWindow() is window.windowHandle())
    touch(window)
    garbage.thaw()
    qtbot.wait(30)
    gone = lose_something()  # takes long itself
    touch(window)
    monkeypatch.setattr(garbage, "_REST_S", 1.0)
    for _ in range(25):
        touch(window)
        qtbot.wait(50)
    assert gc.get_freeze_count() > 10_000
    assert gone() is not None, "the window stood still while somebody typed"
    qtbot.waitUntil(lambda: gone() is None)
    assert gc.get_freeze_count() > 10_000, "what lives on is out of the way again"


def test_memory_does_not_wait_for_rest_for_ever(qtbot, collecting, monkeypatch) -> None:
    monkeypatch.setattr(garbage, "_LATEST_S", 0.2)
    background, stop, ends = Background(), threading.Event(), []
    background.call(stop.wait, 20, then=ends.append, failed=ends.append)
    qtbot.wait(30)
    gone = lose_something()
    garbage.thaw()
    assert gone() is not None
    qtbot.waitUntil(lambda: gone() is None)
    monkeypatch.setattr(garbage, "_LATEST_S", 1e9)
    monkeypatch.setattr(garbage, "_MOST", 0)  # any number of objects counts as many
    gone = lose_something()
    qtbot.waitUntil(lambda: gone() is None)
    stop.set()
    qtbot.waitUntil(lambda: bool(ends) and gc.isenabled())
    assert all(collecting)


def test_what_a_thread_imported_is_not_walked_through(qtbot, collecting, monkeypatch) -> None:
    gc.unfreeze()
    monkeypatch.setattr(garbage, "_MANY", -1)  # any number of modules counts as many
    background, ends = Background(), []
    background.call(lambda: "imported", then=ends.append, failed=ends.append)
    qtbot.waitUntil(lambda: bool(ends) and gc.isenabled())
    assert gc.get_freeze_count() > 10_000
