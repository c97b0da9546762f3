"""The fine-tune dock with the real command: a small network learns procedural tissue in a process of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from qtpy.QtCore import Qt

from napari_nh2st.evaluation.protocol import evaluate
from napari_nh2st.expression import read_sheet
from napari_nh2st.training.run import runs
from napari_nh2st.training.run.run_process import RunProcess
from napari_nh2st.training.run.summary import read_summary
from napari_nh2st.viewer.finetune import dock as finetune
from napari_nh2st.viewer.finetune import run_queue as runs_part
from napari_nh2st.viewer.finetune.estimate_presenter import EstimatePresenter
from support.sections import sheet as measured

pytestmark = [pytest.mark.viewer, pytest.mark.timeout(900)]
LEFT = Qt.MouseButton.LeftButton
WAIT = 180_000
# One training: a chosen share and intervals take some more, which tests/training follows (fixture `straight`).
SETTINGS = """
architecture: {width: 4, dim: 16, hidden: 8, heads: 4, dropout: 0.1}
mpp: 2.0
landmarks: 32
pretrain_steps: 2
patience: 1000
kernel_share: 0.8
intervals: false
device: cpu
precision: fp32
"""

# A window in which a run is started, and which is then closed.
CLOSED = """
import sys
import napari
from qtpy.QtTest import QTest
from napari_nh2st.viewer.finetune.estimate_presenter import EstimatePresenter

EstimatePresenter.ENABLED = False
viewer = napari.Viewer()
_, dock = viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST fine-tune")
dock.sections.sheet.setText(sys.argv[1])
dock.run.setText(sys.argv[2])
while not dock.start.isEnabled():
    QTest.qWait(20)
dock.start.click()
while dock.presenter.run.status().state != "running":
    QTest.qWait(20)
viewer.close()
QTest.qWait(200)
"""


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sections")
    return measured(folder, ("S1", "P1", 1, 1000), ("S2", "P2", 2, 1000), ("S3", "P2", 3, 1000))


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "data" / "napari-nh2st" / "runs.json"
    monkeypatch.setattr(runs, "registry_file", lambda: file)
    monkeypatch.setattr(runs_part, "_EVERY_MS", 200)
    monkeypatch.setattr(finetune, "_POLL_MS", 50)
    monkeypatch.setattr(EstimatePresenter, "ENABLED", False)
    return file


@pytest.fixture
def run(tmp_path: Path):
    """Give the folder of a run with settings for a small network; whatever is at work there is ended with the test."""
    folder = tmp_path / "run"
    folder.mkdir()
    yield folder
    job = RunProcess(folder)
    if job.status().active:
        os.kill(job.record()["pid"], signal.SIGKILL)


def opened(viewer, qtbot, samples: Path, run: Path, epochs: int):
    """Open the dock as the menu does, name the sheet and the run's folder in it, and wait until it can begin."""
    (run / "settings.yaml").write_text(f"epochs: {epochs}{SETTINGS}")
    _, dock = viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST fine-tune")
    dock.sections.sheet.setText(str(samples))
    dock.run.setText(str(run))
    qtbot.waitUntil(dock.start.isEnabled, timeout=WAIT)
    return dock


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_start_watch_stop_resume_finish_and_use(make_napari_viewer, qtbot, samples, registry, run) -> None:
    viewer = make_napari_viewer()
    dock = opened(viewer, qtbot, samples, run, epochs=8)
    for combo, presses in ((dock.choices.held_out, 1), (dock.choices.which, 2)):  # one section: S3
        for _ in range(presses):
            qtbot.keyClick(combo, Qt.Key.Key_Down)
    assert dock.choices.which.currentText() == "S3"
    assert "same-patient" in dock.choices.guard.text()
    qtbot.waitUntil(dock.start.isEnabled, timeout=WAIT)
    qtbot.mouseClick(dock.start, LEFT)
    assert dock.sections.isHidden()

    qtbot.waitUntil(lambda: len(dock.presenter.run.metrics().curve("test_pcc")) > 0, timeout=WAIT)
    qtbot.mouseClick(dock.pause, LEFT)
    qtbot.waitUntil(lambda: dock.presenter.run.status().state == "paused", timeout=WAIT)
    dock.presenter.follow()
    drawn = len(dock.curves.told.curves["val_pcc"].y)
    assert not dock.curves.isHidden()
    assert dock.facts.facts.text().startswith("cpu, ")
    qtbot.waitUntil(lambda: dock.map.presenter.prediction is not None, timeout=WAIT)
    assert [s.name for s in dock.map.presenter.prediction.sections] == ["S3"]
    assert "PCC" in dock.map.sentence.text()
    qtbot.mouseClick(dock.pause, LEFT)
    qtbot.waitUntil(lambda: len(dock.curves.told.curves["val_pcc"].y) > drawn, timeout=WAIT)

    qtbot.mouseClick(dock.stop, LEFT)
    qtbot.waitUntil(lambda: dock.presenter.state.status.state == "cancelled", timeout=WAIT)
    assert dock.sentence.text().startswith("Stopped. The best model is kept.")
    assert dock.start.text() == "Resume"
    epoch = max(row["epoch"] for row in rows(run) if row.get("event") == "checkpoint")
    qtbot.mouseClick(dock.start, LEFT)
    qtbot.waitUntil(lambda: dock.presenter.state.status.state == "done", timeout=WAIT)
    told = [row["epoch"] for row in rows(run) if row.get("event") == "checkpoint"]
    assert told == list(range(16))  # 8 with blocks held out, 8 with them; none twice
    assert epoch < 15

    qtbot.waitUntil(lambda: dock.result.table.frame is not None, timeout=WAIT)
    found = read_summary(run)
    mine = found.lines[-1]
    assert f"this model {mine.pcc:.3f}" in dock.result.summary.text()
    assert "colour ridge" in dock.result.summary.text()
    scored = evaluate([s for s in read_sheet(samples) if s.sample == "S3"], run / "model")["splits"][0]
    figures = scored["models"]["nh2st-context"]
    assert mine.pcc == pytest.approx(figures["pcc_mean"], abs=1e-4)
    shown = dock.result.table.frame["PCC"]
    assert shown.to_dict() == pytest.approx({g: f["pcc"] for g, f in figures["genes"].items()}, abs=1e-3)

    qtbot.mouseClick(dock.use, LEFT)
    _, predict = viewer.window.add_plugin_dock_widget("napari-nh2st", "NH2ST")
    assert predict.models.model == str(run / "model")
    qtbot.waitUntil(lambda: predict.state.card is not None, timeout=WAIT)
    assert predict.state.card.genes == list(shown.index) or set(predict.state.card.genes) == set(shown.index)


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.long)])
def test_killed_at_any_step_it_goes_on_at_a_press(make_napari_viewer, qtbot, samples, registry, run, times) -> None:
    dock = opened(make_napari_viewer(), qtbot, samples, run, epochs=3 * times)
    drawn = random.Random(times)
    for _ in range(times):
        qtbot.mouseClick(dock.start, LEFT)
        before = len(rows(run)) if (run / "metrics.jsonl").is_file() else 0
        wanted = before + drawn.randint(1, 100)  # a line a step, from the preparations on
        qtbot.waitUntil(lambda wanted=wanted: len(dock.presenter.run.metrics().rows) >= wanted, timeout=WAIT)
        os.kill(dock.presenter.run.record()["pid"], signal.SIGKILL)
        qtbot.waitUntil(lambda: dock.presenter.state.status.state == "failed", timeout=WAIT)
        assert "ended early" in dock.sentence.text()
        assert dock.start.text() == "Resume"
    qtbot.mouseClick(dock.start, LEFT)
    qtbot.waitUntil(lambda: dock.presenter.state.status.state == "done", timeout=5 * WAIT)
    figures = defaultdict(set)
    for row in rows(run):
        if row.get("event") == "checkpoint":
            figures[row["epoch"]].add((row["step"], row.get("val_pcc"), row.get("val_loss")))
    assert sorted(figures) == list(range(2 * 3 * times))
    assert all(len(told) == 1 for told in figures.values())  # what was done twice came out the same


def test_napari_is_closed_and_opened_again(make_napari_viewer, qtbot, samples, registry, run, tmp_path) -> None:
    (run / "settings.yaml").write_text(f"epochs: 5000{SETTINGS}")
    home = {"XDG_DATA_HOME": str(registry.parents[1]), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    ended = subprocess.run(
        [sys.executable, "-c", CLOSED, str(samples), str(run)],
        env={**os.environ, **home}, capture_output=True, text=True, timeout=WAIT / 1000,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert RunProcess(run).status().active
    _, dock = make_napari_viewer().window.add_plugin_dock_widget("napari-nh2st", "NH2ST fine-tune")
    assert dock.run.text() == ""
    qtbot.waitUntil(lambda: [line.state for line in dock.runs.presenter.state.lines] == ["running"], timeout=WAIT)
    dock.runs.table.selectRow(0)
    qtbot.mouseClick(dock.runs.open, LEFT)
    assert dock.run.text() == str(run)
    told = len(dock.presenter.run.metrics().rows)
    qtbot.waitUntil(lambda: len(dock.presenter.run.metrics().rows) > told + 30, timeout=WAIT)
    assert not dock.curves.isHidden()
    qtbot.mouseClick(dock.stop, LEFT)
    qtbot.waitUntil(lambda: dock.presenter.state.status.state == "cancelled", timeout=WAIT)
    assert not dock.use.isHidden()
