"""The fine-tune dock in a real window, with a stand-in for the command that it starts."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from qtpy.QtCore import Qt

from napari_nh2st.viewer.widgets.finetune import FinetuneWidget
from viewer.fakes import FakeServices

pytestmark = pytest.mark.viewer
LEFT = Qt.MouseButton.LeftButton

FAKE = """
import json, pathlib, sys, time
words = sys.argv[1:]
run = pathlib.Path(words[words.index("--out") + 1])
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
(run / "model").mkdir()
(run / "model" / "card.json").write_text("{}")
say(event="cancelled", epoch=epoch)
"""
SPOTS = "x\ty\tpixel_x\tpixel_y\n1\t1\t10\t10\n2\t1\t20\t10\n"


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    for name in ("a.jpg", "a.tsv.gz"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "spots.tsv").write_text(SPOTS)
    path = tmp_path / "samples.csv"
    heading = "sample,patient,slide,expression,spots,format,mpp"
    path.write_text(f"{heading}\nA1,A,a.jpg,a.tsv.gz,spots.tsv,st-tsv,0.69\nA2,A,a.jpg,a.tsv.gz,spots.tsv,st-tsv,\n")
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
    qtbot.keyClicks(dock.sheet, str(sheet))
    qtbot.waitUntil(lambda: dock.table.rowCount() == 2)
    dock.run.setText(str(sheet.parent / "run"))


def test_sections_are_listed(dock, qtbot, sheet: Path) -> None:
    fill(dock, qtbot, sheet)
    cells = [[dock.table.item(r, c).text() for c in range(4)] for r in range(2)]
    assert cells == [["A1", "A", "2", "0.69"], ["A2", "A", "2", "from the slide"]]
    assert dock.sheet_note.text() == "2 sections of 1 patient"
    dock.sheet.setText(str(sheet.parent / "absent.csv"))
    qtbot.waitUntil(lambda: "absent.csv" in dock.sheet_note.text())
    assert not dock.start.isEnabled()


def test_spots_of_an_anndata_file_are_counted(dock, qtbot, tmp_path: Path) -> None:
    import anndata
    import numpy as np

    anndata.AnnData(np.ones((7, 3), np.float32)).write_h5ad(tmp_path / "b.h5ad")
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "s.csv").write_text("sample,patient,slide,expression,format\nB1,B,b.jpg,b.h5ad,h5ad\n")
    dock.sheet.setText(str(tmp_path / "s.csv"))
    qtbot.waitUntil(lambda: dock.table.rowCount() == 1, timeout=20_000)
    assert dock.table.item(0, 2).text() == "7"


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


def test_failure_shows_one_line_and_the_log(dock, qtbot, sheet: Path) -> None:
    fill(dock, qtbot, sheet)
    dock.seed.setValue(13)
    qtbot.mouseClick(dock.start, LEFT)
    qtbot.waitUntil(lambda: dock.job.status().state == "failed", timeout=10_000)
    dock.follow()
    assert dock.sentence.text() == "The run ended early: no section has spots"
    assert "no section has spots" in dock.log.toPlainText()
    assert not dock.log.isHidden()


def test_model_is_handed_over(dock, qtbot, tmp_path: Path, tiny_model: Path) -> None:
    run = tmp_path / "run7"
    shutil.copytree(tiny_model, run / "model")
    (run / "metrics.jsonl").write_text(json.dumps({"event": "done", "epoch": 3, "val_pcc": 0.25}) + "\n")
    dock.run.setText(str(run))
    assert dock.sentence.text() == "Done. Best held-out PCC: 0.250. To train again, choose another folder."
    qtbot.mouseClick(dock.use, LEFT)
    _, predict = dock.viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST")
    assert predict.models.model == str(run / "model")
    assert predict.models.combo.currentText() == "run7"
    assert predict.models.card.name == "tiny"
