"""Files that napari's menus write: while one is written the window answers, shows how far it is, and can stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QProgressBar, QPushButton

from napari_nh2st.formats import csv
from napari_nh2st.viewer.export import commands, saving
from napari_nh2st.viewer.layers.heatmap import heatmap_data
from napari_nh2st.viewer.layers.roles import map_of
from viewer.canvas import Canvas
from viewer.fakes import FakeSlide
from viewer.genes.test_hover import made_map

pytestmark = pytest.mark.viewer


@pytest.fixture
def said(monkeypatch) -> list[str]:
    lines: list[str] = []
    for name in ("show_info", "show_error"):
        monkeypatch.setattr(saving, name, lines.append)
    return lines


@pytest.fixture
def go_on(monkeypatch) -> Iterator[threading.Event]:
    """A CSV file stays half written until this is set, and asks meanwhile whether it is to stop."""
    ready, write = threading.Event(), csv.EXPORTER.write

    def half(prediction, draft, genes, progress) -> None:
        draft.write_text("half")
        while not ready.wait(0.01):
            progress(0.5)
        write(prediction, draft, genes, progress)

    object.__setattr__(csv.EXPORTER, "write", half)
    yield ready
    ready.set()
    object.__setattr__(csv.EXPORTER, "write", write)


def heatmap_in(viewer):
    values, meta = heatmap_data(made_map(FakeSlide(), done=20), "KRT8")
    return viewer.add_image(values, **meta)


def at_work(call: Callable[[], object], qtbot) -> list[object]:
    """Call something as a menu does: from the event loop."""
    done: list[object] = []
    QTimer.singleShot(0, lambda: done.append(call()))
    qtbot.waitUntil(lambda: bool(done))
    return done


def test_file_save_has_a_bar_and_cancel_in_napari_s_activity_panel(
    make_napari_viewer, qtbot, tmp_path: Path, said: list[str], go_on: threading.Event
) -> None:
    viewer = make_napari_viewer(show=True)
    layer, path = heatmap_in(viewer), tmp_path / "a.csv"
    assert at_work(lambda: layer.save(str(path), plugin="napari-nh2st"), qtbot) == [[str(path)]]
    panel = viewer.window._qt_window._activity_dialog
    qtbot.waitUntil(lambda: [bar.value() for bar in panel.findChildren(QProgressBar)] == [500])
    (cancel,) = panel.findChildren(QPushButton)
    assert panel.isVisible()
    assert cancel.isVisible()
    cancel.click()
    qtbot.waitUntil(lambda: said == [saving.WRITING, saving.STOPPED])
    qtbot.waitUntil(lambda: not panel.findChildren(QProgressBar))
    assert list(tmp_path.iterdir()) == []
    go_on.set()
    at_work(lambda: layer.save(str(path), plugin="napari-nh2st"), qtbot)
    qtbot.waitUntil(lambda: said[2:] == [saving.WRITING, f"Saved {path}"])
    assert path.read_text(encoding="utf-8").count("\n") > 20


def test_a_script_has_its_file_when_save_returns(make_napari_viewer, tmp_path: Path, said: list[str]) -> None:
    layer = heatmap_in(make_napari_viewer())
    assert layer.save(str(tmp_path / "a.csv"), plugin="napari-nh2st") == [str(tmp_path / "a.csv")]
    assert (tmp_path / "a.csv").exists()
    assert said == []


def test_the_dock_s_own_bar_is_taken_where_it_shows_the_map(
    canvas: Canvas, qtbot, tmp_path: Path, said: list[str], go_on: threading.Event, small_slide: Path, tiny_model: Path
) -> None:
    viewer, dock = canvas.viewer, canvas.dock
    viewer.open(str(small_slide), plugin="napari-nh2st")
    dock.use_model(str(tiny_model))
    qtbot.waitUntil(lambda: dock.job.button.isEnabled())
    dock.where.buttons["whole"].setChecked(True)
    dock.predict()
    qtbot.waitUntil(lambda: not dock.controller.running and dock.workspace.map.count > 0, timeout=60_000)
    result = dock.result
    (layer,) = [layer for layer in viewer.layers if map_of(layer) is not None]
    commands.export_prediction(layer, format_name="csv", file=tmp_path / "a")
    qtbot.waitUntil(lambda: result.task.bar.isVisible() and result.task.bar.value() == 500)
    other = tmp_path / "b.csv"
    at_work(lambda: layer.save(str(other), plugin="napari-nh2st"), qtbot)  # the dock writes already
    assert said == [saving.WRITING]
    result.task.cancel_button.click()
    qtbot.waitUntil(lambda: result.note.text() == saving.STOPPED)
    go_on.set()
    qtbot.waitUntil(lambda: said[1:] == [f"Saved {other}"])
    assert [path for path in tmp_path.iterdir() if path.name.startswith("a.csv")] == []
    at_work(lambda: layer.save(str(tmp_path / "c.csv"), plugin="napari-nh2st"), qtbot)
    qtbot.waitUntil(lambda: result.note.text() == f"Saved {tmp_path / 'c.csv'}")
    assert len(said) == 2
