"""The fine-tune dock in a real window, with a stand-in for the command that it starts."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path

import anndata
import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_nh2st.training.config import TrainingConfig, read_config
from napari_nh2st.training.run import runs
from napari_nh2st.viewer.finetune import dock as finetune
from napari_nh2st.viewer.finetune import run_queue as runs_part
from napari_nh2st.viewer.finetune.dock import FinetuneWidget
from napari_nh2st.viewer.finetune.estimate_presenter import EstimatePresenter
from support.sections import section
from support.slides import tiff
from viewer.fakes import FakeServices, card

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton

FAKE = """
import json, pathlib, sys, time
words = sys.argv[1:]
run = pathlib.Path(words[words.index("--out") + 1])
(run / "start.json").write_text("{}")
def say(**row):
    with (run / "metrics.jsonl").open("a") as f:
        f.write(json.dumps(row) + "\\n")
say(event="started", epoch=0, step=0, total_epochs=500, seconds=0.0)
if "13" in words:
    print("error: no section has spots", file=sys.stderr)
    sys.exit(1)
for epoch in range(500):
    time.sleep(0.05)
    loss = 1 / (epoch + 1)
    say(epoch=epoch, step=epoch, train_loss=loss, val_loss=1.2 * loss, val_pcc=0.1, seconds=epoch / 20)
    if (run / "pause").exists():
        say(event="paused", epoch=epoch)
        while (run / "pause").exists() and not (run / "stop").exists():
            time.sleep(0.02)
        say(event="resumed", epoch=epoch)
    if (run / "stop").exists():
        break
(run / "model").mkdir(exist_ok=True)
(run / "model" / "card.json").write_text("{}")
say(event="cancelled", epoch=epoch)
"""


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "registry_file", lambda: tmp_path / "data" / "runs.json")
    monkeypatch.setattr(runs_part, "_EVERY_MS", 200)
    monkeypatch.setattr(EstimatePresenter, "ENABLED", False)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of two small stained slides with their counts."""
    folder = tmp_path_factory.mktemp("sections")
    for name, seed in (("A1", 1), ("A2", 2)):
        section(folder, name, "A", seed, side=800)
        pixels = (tifffile.imread(folder / f"{name}.tif") * np.array([1.0, 0.6, 0.9])).astype(np.uint8)
        tiff(folder / f"{name}.tif", pixels, resolution=(1e4, 1e4), resolutionunit=3)
    return folder


@pytest.fixture
def sheet(tmp_path: Path, measured: Path) -> Path:
    for file in measured.iterdir():
        shutil.copy(file, tmp_path / file.name)
    path = tmp_path / "samples.csv"
    heading = "sample,patient,slide,expression,format,mpp"
    path.write_text(f"{heading}\nA1,A,A1.tif,A1.h5ad,h5ad,0.9\nA2,A,A2.tif,A2.h5ad,h5ad,\n")
    return path


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    return [sys.executable, str(script)]


@pytest.fixture
def dock(make_napari_viewer, qtbot, program: list[str]) -> FinetuneWidget:
    viewer = make_napari_viewer()
    widget = FinetuneWidget(viewer, FakeServices(), program)
    viewer.window.add_dock_widget(widget, name="NH2ST fine-tune")
    return widget


def fill(dock: FinetuneWidget, qtbot, sheet: Path) -> None:
    qtbot.keyClicks(dock.sections.sheet, str(sheet))
    qtbot.waitUntil(lambda: dock.sections.presenter.state.why_not == "", timeout=20_000)
    dock.run.setText(str(sheet.parent / "run"))
    qtbot.waitUntil(dock.start.isEnabled)


def cells(dock: FinetuneWidget) -> list[list[str]]:
    table = dock.sections.table
    return [[table.item(r, c).text() for c in range(table.columnCount())] for r in range(table.rowCount())]


def test_sections_are_looked_at(dock, qtbot, sheet: Path) -> None:
    assert dock.start.toolTip() == "Add sections first"
    fill(dock, qtbot, sheet)
    assert cells(dock) == [["A1", "A", "9", "4", "0.9", "look"], ["A2", "A", "9", "4", "1", "look"]]
    assert "only 9 spots" in dock.sections.table.item(0, 5).toolTip().lower()
    assert dock.sections.note.text() == "2 sections of 1 patient, 4 genes shared by all"
    assert dock.sections.look.text().startswith("One patient: ")
    assert dock.sections.stop.isHidden()
    assert dock.start.isEnabled()
    dock.sections.sheet.setText(str(sheet.parent / "absent.csv"))
    assert not dock.start.isEnabled()
    qtbot.waitUntil(lambda: "absent.csv" in dock.sections.note.text())
    assert dock.sections.table.rowCount() == 0
    assert "cannot be used" in dock.start.toolTip()


def test_a_section_that_stops_the_run_says_so_until_it_is_mended(dock, qtbot, sheet: Path) -> None:
    fill(dock, qtbot, sheet)
    data = anndata.read_h5ad(sheet.parent / "A2.h5ad")
    good = data.obsm["spatial"].copy()
    data.obsm["spatial"] += 5000.0
    data.write_h5ad(sheet.parent / "A2.h5ad")
    qtbot.mouseClick(dock.sections.again, LEFT)
    assert dock.start.toolTip() == "The sections are still being checked"
    qtbot.waitUntil(lambda: dock.sections.stop.text() != "", timeout=20_000)
    assert [line[5] for line in cells(dock)] == ["look", "stop"]
    assert dock.sections.stop.text().startswith("A2: ")
    assert dock.sentence.text() == "A section stops the run: see above."
    assert "lie off A2.tif" in dock.start.toolTip()
    assert not dock.start.isEnabled()
    data.obsm["spatial"] = good
    data.write_h5ad(sheet.parent / "A2.h5ad")
    qtbot.mouseClick(dock.sections.again, LEFT)
    qtbot.waitUntil(dock.start.isEnabled, timeout=20_000)
    assert dock.sections.stop.isHidden()


def test_what_is_found_of_another_sheet_is_dropped(dock, qtbot, sheet: Path, monkeypatch) -> None:
    from napari_nh2st.training.sections import section_check

    go_on, looked = threading.Event(), section_check.check_section

    def slow(sample):
        go_on.wait(10)
        return looked(sample)

    monkeypatch.setattr(section_check, "check_section", slow)
    dock.sections.sheet.setText(str(sheet))
    qtbot.waitUntil(lambda: dock.sections.table.rowCount() == 2, timeout=20_000)
    one = sheet.with_name("one.csv")
    one.write_text("\n".join(sheet.read_text().splitlines()[:2]) + "\n")
    dock.sections.sheet.setText(str(one))
    go_on.set()
    qtbot.waitUntil(lambda: dock.sections.presenter.state.why_not == "", timeout=20_000)
    assert [line[0] for line in cells(dock)] == ["A1"]
    assert [f.sample.sample for f in dock.sections.presenter.facts] == ["A1"]


def choose(combo, data: str | None) -> None:
    combo.setCurrentIndex(combo.findData(data))


def test_the_choices_reach_the_run_through_its_settings(dock, qtbot, sheet: Path, monkeypatch) -> None:
    fill(dock, qtbot, sheet)
    assert dock.choices.note.text() == "All of the 4 genes shared by all sections"
    opened = []
    monkeypatch.setattr(
        finetune.QDesktopServices, "openUrl", lambda url: bool(opened.append(url.toLocalFile())) or True
    )
    qtbot.mouseClick(dock.edit, LEFT)
    file = sheet.parent / "run" / "settings.yaml"
    assert opened == [str(file)]
    file.write_text(file.read_text().replace("patience: 5", "patience: 7"))
    choose(dock.choices.kind, "most-variable")
    choose(dock.choices.train, "last-blocks")
    dock.choices.number.setValue(3)
    qtbot.waitUntil(lambda: dock.choices.note.text() == "3 of the 4 genes shared by all sections")
    qtbot.mouseClick(dock.start, LEFT)
    assert read_config(file) == TrainingConfig(
        name="run", patience=7, panel=3, panel_kind="most-variable", train="last-blocks"
    )
    words = dock.job.record()["argv"]
    assert words[words.index("--config") + 1] == str(file)
    assert not dock.edit.isEnabled()
    qtbot.mouseClick(dock.stop, LEFT)
    qtbot.waitUntil(lambda: not dock.job.status().active, timeout=10_000)


def test_a_wrong_setting_is_named_and_nothing_is_started(dock, qtbot, sheet: Path) -> None:
    fill(dock, qtbot, sheet)
    (sheet.parent / "run").mkdir()
    (sheet.parent / "run" / "settings.yaml").write_text("patience: many\n")
    qtbot.mouseClick(dock.start, LEFT)
    assert "patience" in dock.sentence.text()
    assert dock.job.status().state == "empty"


def test_a_folder_that_cannot_be_used_says_so(dock, qtbot, sheet: Path) -> None:
    fill(dock, qtbot, sheet)
    dock.run.setText(str(sheet / "run"))  # below a file
    for button in (dock.start, dock.edit):
        dock.sentence.say("")
        qtbot.mouseClick(button, LEFT)
        assert dock.sentence.text().startswith("The run's folder cannot be used (")
    assert dock.runs.presenter.state.lines == ()


def test_pasted_genes_are_looked_up_in_all_sections(dock, qtbot, sheet: Path) -> None:
    fill(dock, qtbot, sheet)
    choose(dock.choices.kind, "listed")
    assert not dock.choices.number.isVisible()
    qtbot.waitUntil(lambda: dock.start.toolTip() == "List the genes to predict first")
    qtbot.keyClicks(dock.choices.list, "noise, Dark; NOWHERE")
    qtbot.waitUntil(dock.start.isEnabled)
    assert dock.choices.note.text() == "2 genes of the list were measured in every section. Left out: NOWHERE."
    assert dock.choices.config(sheet.parent / "run").genes == ["NOISE", "DARK"]
    choose(dock.choices.kind, "highest-mean")
    qtbot.waitUntil(dock.start.isEnabled)
    assert dock.choices.config(sheet.parent / "run").genes is None


def test_a_model_to_start_from_brings_its_genes(dock, qtbot, sheet: Path) -> None:
    fill(dock, qtbot, sheet)
    dock.choices.base.setCurrentIndex(1)
    qtbot.waitUntil(lambda: "list the genes instead" in dock.choices.note.text())
    assert [dock.choices.kind.itemText(i) for i in range(dock.choices.kind.count())] == [
        "of the model to start from",
        "genes that I list",
    ]
    dock.choices.base.setCurrentIndex(0)
    qtbot.waitUntil(lambda: dock.choices.note.text() == "All of the 4 genes shared by all sections")


def test_start_follow_reopen_stop_use(dock, qtbot, sheet: Path) -> None:
    fill(dock, qtbot, sheet)
    qtbot.mouseClick(dock.start, LEFT)
    qtbot.waitUntil(lambda: dock.job.metrics().curve("val_pcc") != [], timeout=10_000)
    dock.follow()
    assert "Running" in dock.sentence.text()
    assert not dock.curves.isHidden()
    again = FinetuneWidget(dock.viewer, FakeServices())  # as after closing the window and opening another
    qtbot.addWidget(again)
    assert again.run.text() == dock.run.text()
    assert "Running" in again.sentence.text()
    assert not again.start.isEnabled()
    qtbot.mouseClick(again.stop, LEFT)
    qtbot.waitUntil(lambda: again.job.status().state == "cancelled", timeout=10_000)
    again.follow()
    assert again.sentence.text().startswith("Stopped; the best model is kept.")
    assert not again.use.isHidden()
    qtbot.waitUntil(lambda: not dock.job.status().active)


def test_a_run_is_held_and_let_go(dock, qtbot, sheet: Path) -> None:
    fill(dock, qtbot, sheet)
    assert not dock.pause.isEnabled()
    qtbot.mouseClick(dock.start, LEFT)
    qtbot.waitUntil(lambda: dock.job.metrics().curve("val_pcc") != [], timeout=10_000)
    qtbot.mouseClick(dock.pause, LEFT)
    assert dock.pause.text() == "Go on"
    qtbot.waitUntil(lambda: dock.job.status().state == "paused", timeout=10_000)
    dock.follow()
    assert dock.sentence.text().startswith("Paused")
    told = len(dock.job.metrics().rows)
    qtbot.wait(150)
    assert len(dock.job.metrics().rows) == told
    qtbot.mouseClick(dock.pause, LEFT)
    qtbot.waitUntil(lambda: len(dock.job.metrics().rows) > told + 1)
    dock.follow()
    assert dock.pause.text() == "Pause"
    qtbot.mouseClick(dock.stop, LEFT)
    qtbot.waitUntil(lambda: dock.job.status().state == "cancelled", timeout=10_000)


def names(dock: FinetuneWidget, *columns: int) -> list[list[str]]:
    table = dock.runs.table
    return [[table.item(r, c).text() for c in columns] for r in range(table.rowCount())]


def pick(dock: FinetuneWidget, qtbot, name: str) -> None:
    table = dock.runs.table
    (at,) = [r for r in range(table.rowCount()) if table.item(r, 1).text() == name]
    qtbot.mouseClick(table.viewport(), LEFT, pos=table.visualItemRect(table.item(at, 1)).center())


def test_a_second_run_queues_and_runs_are_found_again(dock, qtbot, sheet: Path) -> None:
    fill(dock, qtbot, sheet)
    qtbot.mouseClick(dock.start, LEFT)
    first = dock.job
    qtbot.waitUntil(lambda: names(dock, 1, 2) == [["run", "running"]], timeout=10_000)
    dock.run.setText(str(sheet.parent / "other"))
    assert dock.start.text() == "Queue"
    qtbot.mouseClick(dock.start, LEFT)
    words = dock.job.record()["argv"]
    assert words[words.index("--after") + 1] == str(first.folder)
    dock.stop.click()
    qtbot.waitUntil(lambda: dock.job.status().state == "cancelled", timeout=10_000)
    again = FinetuneWidget(dock.viewer, FakeServices(), dock._program)  # as after closing napari and opening it anew
    dock.viewer.window.add_dock_widget(again, name="again")
    qtbot.waitUntil(lambda: names(again, 1, 2) == [["other", "stopped"], ["run", "running"]], timeout=10_000)
    assert not again.runs.resume.isEnabled()
    assert again.runs.resume.toolTip() == "Choose a run in the list first"
    pick(again, qtbot, "run")
    assert not again.runs.resume.isEnabled()
    qtbot.mouseClick(again.runs.open, LEFT)
    assert again.run.text() == str(first.folder)
    assert "Running" in again.sentence.text()
    qtbot.mouseClick(again.stop, LEFT)
    qtbot.waitUntil(lambda: names(again, 2) == [["stopped"], ["stopped"]], timeout=10_000)
    pick(again, qtbot, "other")
    qtbot.mouseClick(again.runs.resume, LEFT)
    assert "--resume" in again.job.record()["argv"]
    qtbot.waitUntil(lambda: names(again, 1, 2)[0] == ["other", "running"], timeout=10_000)
    qtbot.mouseClick(again.stop, LEFT)
    qtbot.waitUntil(lambda: names(again, 2) == [["stopped"], ["stopped"]], timeout=10_000)
    pick(again, qtbot, "run")
    qtbot.mouseClick(again.runs.forget, LEFT)
    qtbot.waitUntil(lambda: names(again, 1) == [["other"]])
    assert first.folder.is_dir()


def test_failure_shows_one_line_and_the_log(dock, qtbot, sheet: Path) -> None:
    fill(dock, qtbot, sheet)
    dock.choices.seed.setValue(13)
    qtbot.mouseClick(dock.start, LEFT)
    qtbot.waitUntil(lambda: dock.job.status().state == "failed", timeout=10_000)
    dock.follow()
    assert dock.sentence.text() == "The run ended early: no section has spots"
    assert dock.log.button.isChecked()
    assert "no section has spots" in dock.log.section.toPlainText()
    assert not dock.log.isHidden()


def test_model_is_handed_over(dock, qtbot, tmp_path: Path, tiny_model: Path) -> None:
    run = tmp_path / "run7"
    shutil.copytree(tiny_model, run / "model")
    (run / "metrics.jsonl").write_text(json.dumps({"event": "done", "epoch": 3, "val_pcc": 0.25}) + "\n")
    dock._services.cards[str(run / "model")] = card()
    dock.run.setText(str(run))
    qtbot.waitUntil(lambda: dock.result.table.frame is not None)
    assert dock.result.sentence.text().startswith("Mean held-out PCC 0.30 over 1 gene, same patient. 1 of them better")
    assert dock.result.table.frame.loc["ERBB2"].tolist() == [0.41, 0.33, 0.48]
    assert dock.sentence.text() == "Done. Best held-out PCC: 0.250. To train again, choose another folder."
    qtbot.mouseClick(dock.use, LEFT)
    _, predict = dock.viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST")
    assert predict.models.model == str(run / "model")
    assert predict.models.combo.currentText() == "run7"
    assert predict.state.card.name == "tiny"
