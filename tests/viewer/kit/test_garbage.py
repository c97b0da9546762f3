"""Qt objects that are let go of are never deleted by a worker's thread."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from napari_nh2st.viewer.kit import garbage
from napari_nh2st.viewer.kit.background import Background

pytestmark = pytest.mark.viewer


@pytest.fixture
def collecting(monkeypatch) -> Iterator[list[bool]]:
    """Whether each collection ran on the GUI thread."""
    monkeypatch.setattr(garbage, "_collector", None)
    monkeypatch.setattr(garbage, "_EVERY_MS", 10)
    threads: list[bool] = []

    def note(phase: str, info: dict[str, int]) -> None:
        threads.append(threading.current_thread() is threading.main_thread())

    gc.callbacks.append(note)
    yield threads
    gc.callbacks.remove(note)
    gc.enable()


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
    qtbot.waitUntil(lambda: len(collecting) > 3, timeout=10_000)
    assert not gc.isenabled()
    stop.set()
    qtbot.waitUntil(lambda: ends == ["done"], timeout=10_000)
    assert all(collecting)
    qtbot.waitUntil(gc.isenabled, timeout=10_000)


def test_what_a_thread_imported_is_not_walked_through_until_something_large_is_let_go_of(
    qtbot, collecting, monkeypatch
) -> None:
    gc.unfreeze()
    gc.collect()
    monkeypatch.setattr(garbage, "_MANY", -1)  # any number of modules counts as many
    background, ends = Background(), []
    background.call(lambda: "imported", then=ends.append, failed=ends.append)
    qtbot.waitUntil(lambda: bool(ends) and gc.isenabled(), timeout=10_000)
    monkeypatch.setattr(garbage, "_MANY", 10**6)
    assert gc.get_freeze_count() > 10_000
    garbage.thaw()
    assert not gc.get_freeze_count()
    background.call(lambda: "again", then=ends.append, failed=ends.append)
    qtbot.waitUntil(lambda: len(ends) == 2 and gc.isenabled(), timeout=10_000)
    assert not gc.get_freeze_count(), "what was let go of is still to be found"
    gc.collect()
    background.call(lambda: "again", then=ends.append, failed=ends.append)
    qtbot.waitUntil(lambda: len(ends) == 3 and gc.isenabled(), timeout=10_000)
    assert gc.get_freeze_count() > 10_000
    gc.unfreeze()
