"""The row that says what a run will take, with a stand-in for the command that tries it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_nh2st.viewer.finetune import estimate
from napari_nh2st.viewer.finetune.estimate import EstimateRow
from napari_nh2st.viewer.finetune.estimate_presenter import EstimatePresenter
from napari_nh2st.viewer.finetune.trial_process import TrialProcess
from viewer.finetune.test_estimate_presenter import ABOUT, PRINTED

pytestmark = pytest.mark.viewer

FAKE = f"""
import json, os, pathlib, sys, time
words, folder = sys.argv[2:], pathlib.Path(sys.argv[1])
with (folder / "calls").open("a") as file:
    file.write(json.dumps([os.getpid(), os.nice(0), words]) + "\\n")
if "slow.csv" in words:
    time.sleep(60)
print("trying: reading", file=sys.stderr)
print({PRINTED!r})
"""


@pytest.fixture
def row(qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EstimateRow:
    monkeypatch.setattr(estimate, "_SETTLED_MS", 50)
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    window = QWidget()
    trial = TrialProcess(window, [sys.executable, str(script), str(tmp_path)])
    made = EstimateRow(EstimatePresenter(trial))
    QVBoxLayout(window).addWidget(made)
    window.resize(320, 60)
    qtbot.addWidget(window)
    window.show()
    made.window_ = window
    return made


def calls(folder: Path) -> list[list]:
    file = folder / "calls"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_waits_until_the_choice_has_settled(row, qtbot, tmp_path: Path) -> None:
    for seed in "123":
        row.presenter.ask(["finetune", "a.csv", "--seed", seed])
    assert row.sentence.text() == "estimating…"
    qtbot.waitUntil(lambda: row.sentence.text() == ABOUT)
    assert "reading 10 s" in row.sentence.toolTip()
    ((_, niceness, words),) = calls(tmp_path)
    assert words == ["finetune", "a.csv", "--seed", "3", "--estimate", "--json"]
    assert niceness >= os.nice(0)
    row.presenter.ask(None)
    assert row.sentence.isHidden()


def test_a_program_that_is_not_there_is_said(row, qtbot) -> None:
    row.presenter._trial.program = ["/nowhere/python"]
    row.presenter.ask(["finetune", "a.csv"])
    qtbot.waitUntil(lambda: row.sentence.text().startswith("No estimate: "))


@pytest.mark.parametrize("ending", ["stop", "close"])
def test_no_process_goes_on_that_nobody_waits_for(row, qtbot, tmp_path: Path, ending: str) -> None:
    row.presenter.ask(["finetune", "slow.csv"])
    qtbot.waitUntil(lambda: len(calls(tmp_path)) == 1)
    pid = calls(tmp_path)[0][0]
    assert alive(pid)
    begin = time.monotonic()  # the clock on the wall: to wait takes no processor time
    if ending == "close":
        row.window_.deleteLater()
        row.window_ = None
    else:
        row.presenter.stop()
        assert row.sentence.text() == ""
    assert time.monotonic() - begin < 0.9  # on a busy machine; Qt's own wait for a process is a second
    qtbot.waitUntil(lambda: not alive(pid))


def test_after_the_dock_is_closed_nothing_is_asked(row, qtbot, tmp_path: Path) -> None:
    row.presenter.ask(["finetune", "a.csv"])
    row.close_down()
    qtbot.wait(150)
    assert not calls(tmp_path)
