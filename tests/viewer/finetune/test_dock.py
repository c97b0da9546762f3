"""The fine-tune dock in a window, with a stand-in for the command that it starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from napari.components import ViewerModel
from napari.qt import get_stylesheet
from napari.settings import get_settings
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QLabel

from napari_nh2st.training.run import runs
from napari_nh2st.training.run.run_process import RunProcess
from napari_nh2st.viewer.finetune import dock as module
from napari_nh2st.viewer.finetune import run_queue
from napari_nh2st.viewer.finetune.dock import FinetuneWidget
from napari_nh2st.viewer.finetune.estimate_presenter import EstimatePresenter
from napari_nh2st.viewer.kit.layout import Caption
from viewer.fakes import FakeServices, card
from viewer.finetune.test_dock_presenter import active_run, ended_run, program, registry, sections, sheet

__all__ = ["program", "registry", "sections", "sheet"]  # fixtures
pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_MS", 50)
    monkeypatch.setattr(run_queue, "_EVERY_MS", 100)
    monkeypatch.setattr(EstimatePresenter, "ENABLED", False)


@pytest.fixture
def dock(qtbot, program) -> FinetuneWidget:
    widget = FinetuneWidget(ViewerModel(), FakeServices(), program)
    qtbot.addWidget(widget)
    widget.resize(340, 900)
    with qtbot.waitExposed(widget):
        widget.show()
    yield widget
    for line in widget.presenter.queue.state.lines:
        RunProcess(line.folder).stop()


def rows(dock: FinetuneWidget, *columns: int) -> list[list[str]]:
    table = dock.runs.table
    return [[table.item(row, column).text() for column in columns] for row in range(table.rowCount())]


def pick(dock: FinetuneWidget, qtbot, name: str) -> None:
    table = dock.runs.table
    (at,) = [row for row in range(table.rowCount()) if table.item(row, 1).text() == name]
    qtbot.mouseClick(table.viewport(), LEFT, pos=table.visualItemRect(table.item(at, 1)).center())


def test_a_run_is_typed_started_watched_held_and_stopped(dock, qtbot, sheet: Path) -> None:
    assert dock.start.reason_off == "Add sections first"
    qtbot.keyClicks(dock.sections.sheet, str(sheet))
    qtbot.waitUntil(lambda: dock.start.reason_off == "Choose a folder for the run first")
    qtbot.keyClicks(dock.run, str(sheet.parent / "run"))
    qtbot.waitUntil(dock.start.isEnabled)
    assert dock.settings.isEnabled()
    qtbot.mouseClick(dock.start, LEFT)
    assert dock.sections.isHidden()
    assert not dock.settings.isEnabled()
    qtbot.waitUntil(lambda: not dock.curves.empty)
    assert not dock.curves.isHidden()
    assert dock.bar.format().startswith("epoch ")
    qtbot.waitUntil(lambda: rows(dock, 1, 2) == [["run", "running"]])
    qtbot.mouseClick(dock.pause, LEFT)
    assert dock.pause.text() == "Resume"
    qtbot.waitUntil(lambda: dock.sentence.text().startswith("Paused"))
    qtbot.mouseClick(dock.pause, LEFT)
    assert dock.pause.text() == "Pause"
    qtbot.mouseClick(dock.choices.change, LEFT)  # for the next run
    assert dock.choices.panel.isVisible()
    assert dock.sections.isVisible()
    qtbot.mouseClick(dock.stop, LEFT)
    qtbot.waitUntil(lambda: dock.sentence.text().startswith("Stopped. The best model is kept."))
    assert not dock.use.isHidden()
    assert dock.bar.isHidden()
    assert not dock._poll.isActive()
    assert dock.start.text() == "Resume"


def test_runs_are_found_again_opened_resumed_and_forgotten(dock, qtbot, sheet: Path, tmp_path: Path) -> None:
    other = ended_run(tmp_path / "other", "cancelled")
    (other / "start.json").write_text("{}")
    (other / "job.json").write_text(json.dumps({"argv": ["nh2st", "finetune", str(sheet)]}))
    for folder in (active_run(tmp_path / "first"), other):
        runs.remember(folder)
    dock.presenter.queue.refresh()  # as after closing napari and opening it anew
    qtbot.waitUntil(lambda: rows(dock, 1, 2) == [["other", "stopped"], ["first", "running"]])
    assert dock.runs.resume.reason_off == "Select a run in the list first"
    dock.verticalScrollBar().setValue(dock.verticalScrollBar().maximum())
    pick(dock, qtbot, "first")
    assert dock.runs.resume.reason_off == "This run is already at work"
    qtbot.mouseClick(dock.runs.open, LEFT)
    assert dock.run.text() == str(tmp_path / "first")
    assert dock.sentence.text().startswith("Running")
    pick(dock, qtbot, "other")
    qtbot.mouseClick(dock.runs.resume, LEFT)
    assert "--resume" in dock.presenter.run.record()["argv"]
    qtbot.waitUntil(lambda: rows(dock, 1, 2)[0] == ["other", "running"])
    assert dock.runs.chosen.folder == other  # the row stays chosen while the list is shown anew
    qtbot.mouseClick(dock.stop, LEFT)
    qtbot.waitUntil(lambda: rows(dock, 2)[0] == ["stopped"])
    qtbot.mouseClick(dock.runs.forget, LEFT)
    qtbot.waitUntil(lambda: rows(dock, 1) == [["first"]])
    assert other.is_dir()
    pick(dock, qtbot, "first")
    dock.runs.table.itemDoubleClicked.emit(dock.runs.table.item(0, 0))
    assert dock.run.text() == str(tmp_path / "first")
    (tmp_path / "first" / "job.json").unlink()


def drag(dock: FinetuneWidget, at: QPoint, *paths: Path) -> Callable[[], None]:
    """Drag files over a place of the dock, as the window system does; return what lets them go there."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    under = dock.viewport().childAt(at)
    while not under.acceptDrops():
        under = under.parentWidget()
    how = (Qt.DropAction.CopyAction, mime, LEFT, Qt.KeyboardModifier.NoModifier)
    for event in (QDragEnterEvent(QPoint(5, 5), *how), QDragMoveEvent(QPoint(5, 5), *how)):
        QApplication.sendEvent(under, event)
        assert event.isAccepted()
    return lambda: QApplication.sendEvent(under, QDropEvent(QPointF(5, 5), *how))


def test_sheets_folders_and_runs_are_dropped_anywhere(dock, qtbot, sheet: Path, tmp_path: Path) -> None:
    field = dock.sections.sheet.mapTo(dock.viewport(), dock.sections.sheet.rect().center())
    table = dock.sections.table.mapTo(dock.viewport(), dock.sections.table.rect().center())
    drop = drag(dock, field, sheet)  # over a field that would take its path for text
    assert dock.drops.isVisible()
    assert dock.drops.text().startswith("Drop a sample sheet, a folder")
    drop()
    assert not dock.drops.isVisible()
    assert dock.sections.sheet.text() == str(sheet)
    qtbot.waitUntil(lambda: dock.start.reason_off == "Choose a folder for the run first")
    odd = tmp_path / "notes.docx"
    odd.touch()
    drag(dock, table, odd)()
    qtbot.waitUntil(lambda: dock.sections.told.text().startswith("notes.docx: drop a sample sheet, a folder"))
    assert dock.sections.table.rowCount() > 0
    run = ended_run(tmp_path / "run", "failed", reason="no section has spots")
    (run / "start.json").write_text("{}")
    drag(dock, QPoint(60, 600), run)()
    assert dock.run.text() == str(run)


def test_preparations_are_counted_and_nothing_is_cut_at_320_px(dock, qtbot, sheet: Path, tmp_path: Path) -> None:
    qtbot.keyClicks(dock.sections.sheet, str(sheet))
    qtbot.waitUntil(lambda: dock.start.reason_off == "Choose a folder for the run first")
    run = active_run(tmp_path / "run", "preparing", stage="looking at the tissue", done=48, total=60)
    runs.remember(run)
    dock.run.setText(str(run))
    assert (dock.bar.value(), dock.bar.maximum(), dock.bar.format()) == (48, 60, "encoding the tissue, 48 of 60")
    assert dock.sentence.text() == "Preparing: encoding the tissue, 48 of 60. You can close napari."
    qtbot.waitUntil(lambda: rows(dock, 2) == [["preparing"]])
    qtbot.mouseClick(dock.choices.change, LEFT)
    usual = get_settings().appearance.font_size
    for size in (usual, round(1.5 * usual)):
        dock.setStyleSheet(get_stylesheet("dark", extra_variables={"font_size": f"{size}pt"}))
        dock.resize(320, 900)
        qtbot.wait(50)
        body = dock.widget()
        for caption in body.findChildren(Caption):
            assert caption.width() >= QLabel.sizeHint(caption).width()  # with what the style puts around text
        assert len({caption.width() for caption in body.findChildren(Caption) if caption.isVisible()}) == 1
        for table in (dock.sections.table, dock.runs.table):
            header = table.horizontalHeader()
            assert header.length() <= table.viewport().width()
            assert all(table.sizeHintForColumn(at) <= header.sectionSize(at) for at in range(2, table.columnCount()))
        if size == usual:
            for part in (dock.map, dock.map._choices, dock.map.section):  # as after the first epoch
                part.setVisible(True)
            dock.map.section.addItems(["S901", "S902"])
            dock.map.genes.list_genes(("DEMO-TUMORIN",), ("0.93",), "DEMO-TUMORIN")
            qtbot.wait(50)
            assert body.minimumSizeHint().width() + dock.verticalScrollBar().sizeHint().width() <= 320
            line = dock.map.genes.lineEdit()
            assert line.fontMetrics().horizontalAdvance("DEMO-TUMORIN") <= line.width()
            dock.map.setVisible(False)
    (run / "job.json").unlink()


def test_a_failure_opens_the_log(dock, tmp_path: Path) -> None:
    run = ended_run(tmp_path / "run", "failed", reason="no section has spots")
    (run / "log.txt").write_text("reading\nerror: no section has spots\n")
    dock.run.setText(str(run))
    assert dock.sentence.text() == "The run ended early: no section has spots"
    assert dock.log.button.isChecked()
    assert "no section has spots" in dock.log.section.toPlainText()
    assert not dock.log.isHidden()


def test_a_folder_for_the_run_is_chosen(dock, qtbot, tmp_path: Path, monkeypatch) -> None:
    for answer, text in ((str(tmp_path), str(tmp_path)), ("", str(tmp_path))):
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, answer=answer: answer)
        qtbot.mouseClick(dock.choose_run, LEFT)
        assert dock.run.text() == text


def test_all_settings_open_in_a_dialog_or_as_a_file(dock, qtbot, tmp_path: Path, monkeypatch) -> None:
    opened = []
    monkeypatch.setattr(module.QDesktopServices, "openUrl", lambda url: bool(opened.append(url.toLocalFile())))
    dock.run.setText(str(tmp_path / "run"))
    qtbot.mouseClick(dock.settings, LEFT)
    qtbot.waitUntil(lambda: dock.dialog.isVisible())
    qtbot.mouseClick(dock.dialog.yaml, LEFT)
    file = tmp_path / "run" / "settings.yaml"
    assert opened == [str(file)]
    assert dock.sentence.text() == f"This system has no program for the settings: edit {file}"
    file.write_text("patience: many\n")
    qtbot.mouseClick(dock.settings, LEFT)
    assert opened == [str(file)] * 2  # what the form cannot show is mended in the file


def test_model_is_handed_over_and_nothing_is_followed_after_closing(
    make_napari_viewer, qtbot, program, tmp_path: Path, tiny_model: Path
) -> None:
    viewer = make_napari_viewer()
    dock = FinetuneWidget(viewer, FakeServices(), program)
    viewer.window.add_dock_widget(dock, name="NH2ST fine-tune")
    run = ended_run(tmp_path / "run7")
    shutil.copytree(tiny_model, run / "model")
    dock._services.cards[str(run / "model")] = card()
    dock.run.setText(str(run))
    qtbot.waitUntil(lambda: dock.result.table.frame is not None)
    assert dock.result.sentence.text().startswith("Mean held-out PCC 0.30 over 1 gene, same patient. 1 of them better")
    qtbot.mouseClick(dock.use, LEFT)
    _, predict = viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST")
    assert predict.models.model == str(run / "model")
    assert predict.models.combo.currentText() == "run7"
    assert predict.state.card.name == "tiny"
    dock.run.setText(str(active_run(tmp_path / "run8")))
    assert dock._poll.isActive()
    viewer.window.remove_dock_widget(dock)
    assert not dock._poll.isActive()
    assert not dock.runs._poll.isActive()
    (tmp_path / "run8" / "job.json").unlink()
