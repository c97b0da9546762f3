"""Export, figures and views under a person's hands, and a figure held against the window."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_nh2st.formats import csv
from napari_nh2st.formats.display import load_display
from napari_nh2st.formats.figure import draw_figure
from napari_nh2st.formats.picture import find_slide
from napari_nh2st.viewer.export.choice_dialog import ChoiceDialog
from napari_nh2st.viewer.export.on_screen import display_of_window
from napari_nh2st.viewer.export.presenter import STOPPED
from napari_nh2st.viewer.export.section import ExportSection
from napari_nh2st.viewer.kit.background import threads_at_work
from napari_nh2st.viewer.predict.events import State
from napari_nh2st.viewer.predict_dock import PredictWidget
from napari_nh2st.viewer.state.services import Services
from viewer.without_window import Desk

pytestmark = pytest.mark.viewer
LEFT, KEY = Qt.MouseButton.LeftButton, Qt.Key


@pytest.fixture
def real(make_napari_viewer, qtbot, small_slide, tiny_model) -> PredictWidget:
    """A slide that is predicted by the real engine, in a window that draws."""
    viewer = make_napari_viewer(show=True)  # pictures of a hidden canvas are black
    viewer.open(str(small_slide), plugin="napari-nh2st")
    dock = PredictWidget(viewer)
    viewer.window.add_dock_widget(dock, name="NH2ST", area="right")
    dock.use_model(str(tiny_model))
    qtbot.mouseClick(dock.where.buttons["whole"], LEFT)
    qtbot.mouseClick(dock.job.button, LEFT)
    qtbot.waitUntil(lambda: dock.controller.status.state is State.DONE, timeout=60_000)
    return dock


def tile_colours(picture, corners) -> np.ndarray:
    """Mean colour of the middle of each tile, given (left, top, right, bottom) in pixels."""
    found = []
    for left, top, right, bottom in corners:
        inset_x, inset_y = (right - left) * 0.2, (bottom - top) * 0.2
        rows, columns = (
            slice(int(top + inset_y), int(bottom - inset_y)),
            slice(int(left + inset_x), int(right - inset_x)),
        )
        found.append(picture[rows, columns, :3].reshape(-1, 3).mean(axis=0))
    return np.array(found)


def test_the_figure_has_the_colours_of_the_window(real: PredictWidget, qtbot) -> None:
    viewer, prediction_map = real.viewer, real.workspace.map
    real.state.choose_gene("GENE5")
    layer = real.heatmap.layer
    layer.colorbar.visible = False  # it lies over tiles
    viewer.canvas.overlays["nh2st_unit"].visible = False
    viewer.canvas.overlays.scale_bar.visible = False
    low, high = layer.contrast_limits
    layer.contrast_limits = (low, low + 0.8 * (high - low))
    viewer.fit_to_view()
    for opacity, smooth in ((1.0, False), (0.7, False), (0.7, True)):
        layer.opacity, real.state.style.smooth = opacity, smooth
        qtbot.wait(300)
        window = viewer.screenshot(canvas_only=True, flash=False).astype(float)
        slide, _ = find_slide(prediction_map.prediction())
        figure = draw_figure(prediction_map.prediction(), display_of_window(real.workspace), slide=slide)
        slide.close()
        figure.canvas.draw()
        drawn = np.asarray(figure.canvas.buffer_rgba()).astype(float)

        cells = np.flatnonzero(prediction_map.done)
        centres, half = prediction_map.tiles(cells).centres, prediction_map.cell / 2
        # the scale bar of the figure is on the left, and at its top stands that this model means nothing here
        keep = (centres[:, 0] > 500) & (centres[:, 1] > prediction_map.cell)
        boxes = np.hstack([centres - half, centres + half])[keep]
        mpp, camera = prediction_map.slide["mpp"], viewer.scene.camera
        world = (boxes - 0.5) * mpp
        middle = np.array([camera.center[-1], camera.center[-2]] * 2)
        size = np.array(window.shape[1::-1] * 2)
        in_window = (world - middle) * camera.zoom + size / 2
        to_pixel = figure.axes[0].transData.transform
        corners = np.hstack([to_pixel(boxes[:, :2]), to_pixel(boxes[:, 2:])])
        corners[:, 1::2] = drawn.shape[0] - corners[:, 1::2]
        assert len(boxes) > 5
        there, here = tile_colours(window, in_window), tile_colours(drawn, corners)
        assert np.ptp(there, axis=0).max() > 60  # there are different colours to compare
        assert np.abs(there - here).max() < 5, (opacity, smooth)


def test_a_report_opens_when_it_is_written_and_an_export_can_be_stopped(
    real: PredictWidget, qtbot, tmp_path: Path, monkeypatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    result, folder = real.result, tmp_path / "results"
    folder.mkdir()
    real.workspace.preferences.save_folder = str(folder)
    corner = np.array([[300, 300], [300, 700], [700, 700], [700, 300]]) * real.workspace.map.slide["mpp"]
    real.viewer.add_shapes([corner], shape_type="polygon", features={"name": ["edge of the tumour"]}, units="um")
    result.report.trigger()
    dialog = result.findChild(ChoiceDialog)
    assert "1 region" in dialog.sentence.text()
    qtbot.mouseClick(dialog.save, LEFT)
    qtbot.waitUntil(lambda: bool(opened), timeout=30_000)
    (page,) = folder.iterdir()
    assert opened == [str(page)]
    assert result.note.text() == f"Saved {page}"
    assert "edge of the tumour" in page.read_text(encoding="utf-8")
    page.unlink()

    blocks, stopped = csv.value_blocks, threading.Event()

    def slow(*given, **named):
        for number, block in enumerate(blocks(*given, **named)):
            if number == 5:
                stopped.wait(60)  # half done, until somebody stops it
            yield block

    monkeypatch.setattr(csv, "value_blocks", slow)
    monkeypatch.setattr(csv, "_CHUNK", 1)

    def begin() -> None:
        qtbot.mouseClick(result.export, LEFT)
        form = next(d for d in result.findChildren(ChoiceDialog) if d.isVisible())
        form.fields.rows["format"].widget.value = "csv"
        qtbot.mouseClick(form.save, LEFT)
        qtbot.waitUntil(lambda: result.task.bar.isVisible() and result.task.bar.value() > 0)

    begin()
    assert not result.export.isEnabled()
    qtbot.mouseClick(result.task.cancel_button, LEFT)
    stopped.set()
    qtbot.waitUntil(lambda: result.note.text() == STOPPED)
    qtbot.waitUntil(lambda: threads_at_work() == 0)
    assert (list(folder.iterdir()), result.task.bar.isVisible(), result.export.isEnabled()) == ([], False, True)
    stopped.clear()
    begin()
    real.viewer.close()
    stopped.set()
    qtbot.waitUntil(lambda: threads_at_work() == 0)
    assert list(folder.iterdir()) == []


class Window(Desk):
    """The section alone, with a dock that has no window."""

    def __init__(self, qtbot) -> None:
        super().__init__()
        self.services.export = Services().export
        self.qtbot, self.section = qtbot, ExportSection(self.workspace)
        qtbot.addWidget(self.section)
        with qtbot.waitExposed(self.section):
            self.section.show()

    def click(self, button) -> None:
        self.qtbot.mouseClick(button, LEFT)

    def type(self, dialog: ChoiceDialog, name: str, text: str) -> None:
        edit = dialog.fields.rows[name].native
        edit.setFocus()
        edit.selectAll()
        self.qtbot.keyClicks(edit, text)

    @property
    def note(self) -> str:
        return self.section.note.text()


@pytest.fixture
def window(qtbot) -> Window:
    return Window(qtbot)


@pytest.fixture
def results(window: Window, tmp_path: Path) -> Path:
    """Return the empty folder that the window proposes for files: beside its slide, which is not there, is no place."""
    folder = tmp_path / "results"
    folder.mkdir()
    window.workspace.preferences.save_folder = str(folder)
    return folder


@pytest.mark.pyqt6
def test_a_figure_by_its_dialog(window: Window, results: Path) -> None:
    window.section.more.menu().aboutToShow.emit()
    assert not window.section.figure.isEnabled()
    window.predict()
    window.section.more.menu().aboutToShow.emit()
    entries = [action for action in window.section.more.menu().actions() if not action.isSeparator()]
    assert all(action.isEnabled() and action.toolTip() != action.text() for action in entries)
    dialog = window.section.ask_figure()
    window.type(dialog, "genes", "krt8, nope")
    assert dialog.sentence.text() == "the model her2st does not predict nope"
    assert (dialog.save.isEnabled(), dialog.save.toolTip()) == (False, "the model her2st does not predict nope")
    window.type(dialog, "genes", "krt8, cd3e")
    assert dialog.sentence.text().startswith("2 panels (KRT8, CD3E) of ")
    dialog.fields.rows["format"].widget.value = "SVG"
    assert dialog.fields.rows["file"].widget.value.name == "C9-ERBB2.svg"
    window.click(dialog.save)
    assert window.note.startswith(f"Saved {results / 'C9-ERBB2.svg'}, without tissue: ")
    text = (results / "C9-ERBB2.svg").read_text()
    assert "KRT8" in text
    assert "CD3E" in text


@pytest.mark.pyqt6
def test_a_dialog_that_is_cancelled_writes_nothing(window: Window, results: Path) -> None:
    assert window.section.ask_figure() is None
    assert "No heatmap is shown" in window.note
    window.predict()
    dialog = window.section.ask_export()
    window.type(dialog, "genes", "KRT8")
    window.click(dialog.cancel)
    assert window.section.ask_export().form.result().genes == []
    assert not list(results.iterdir())


def test_an_export_by_its_dialog(window: Window, results: Path) -> None:
    assert "Nothing is predicted yet" in window.section.export.toolTip()
    assert not window.section.export.isEnabled()
    window.predict()
    window.click(window.section.export)
    dialog = window.section.findChild(ChoiceDialog)
    dialog.fields.rows["format"].widget.value = "csv"
    window.qtbot.keyClick(dialog, KEY.Key_Return)
    assert window.note == f"Saved {results / 'C9.csv'}"
    assert (results / "C9.csv").is_file()


def test_a_view_by_its_file(window: Window, tmp_path: Path, monkeypatch) -> None:
    window.predict()
    answer = [str(tmp_path / "a"), ""]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: tuple(answer))
    window.section.save_view.trigger()
    assert load_display(tmp_path / "a.json").genes == ("ERBB2",)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "a.json"), ""))
    window.section.load_view.trigger()
    assert window.note == "Loaded a.json."
    answer[0] = ""
    window.section.save_view.trigger()
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_the_command_is_on_the_clipboard(window: Window) -> None:
    window.state.where = "whole"
    window.click(window.section.command)
    assert QApplication.clipboard().text() == "nh2st predict /nowhere/C9.svs --model her2st --out predictions"
    window.section.python.trigger()
    assert "open_slide('/nowhere/C9.svs')" in QApplication.clipboard().text()
    window.presenter.choose_slide(None)
    assert not window.section.command.isEnabled()
    assert "Open a slide" in window.section.command.toolTip()
