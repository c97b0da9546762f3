"""The row that says what a run will take, with a stand-in for the command that tries it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_nh2st.training.config import TrainingConfig, read_config
from napari_nh2st.viewer.finetune import estimate as estimate_part
from napari_nh2st.viewer.finetune.estimate import EstimatePart

pytestmark = pytest.mark.viewer

FAKE = """
import json, os, pathlib, sys, time
words, folder = sys.argv[2:], pathlib.Path(sys.argv[1])
with (folder / "calls").open("a") as file:
    file.write(json.dumps([os.getpid(), os.nice(0), words]) + "\\n")
if "--config" in words:
    path = pathlib.Path(words[words.index("--config") + 1])
    (folder / "settings.yaml").write_text(path.read_text())
if "bad.csv" in words:
    print("trying: reading", file=sys.stderr)
    print("error: bad.csv has no sample", file=sys.stderr)
    sys.exit(1)
if "slow.csv" in words:
    time.sleep(60)
parts = {"reading": 10.2, "pretraining the encoder": 300.0, "training": 0.0}
told = {"seconds": 352.0, "memory_mb": 1936.0, "device": "cpu", "parts": parts, "spots": 9, "steps": 240}
print(json.dumps(told))
"""


@pytest.fixture
def part(qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EstimatePart:
    monkeypatch.setattr(estimate_part, "_SETTLED_MS", 50)
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    window = QWidget()
    made = EstimatePart([sys.executable, str(script), str(tmp_path)])
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


def asked(part: EstimatePart, qtbot, words: list[str], **more) -> None:
    part.ask(words, **more)
    assert part.sentence.text() == "estimating…"
    qtbot.waitUntil(lambda: part.sentence.text() != "estimating…", timeout=10_000)


def test_the_row_says_time_and_memory_and_its_tooltip_the_stages(part, qtbot, tmp_path) -> None:
    asked(part, qtbot, ["finetune", "a.csv"])
    assert part.sentence.text() == "about 6 min, 1.9 GB on this machine"
    tip = part.sentence.toolTip()
    assert "reading 10 s" in tip
    assert "pretraining the encoder 5 min" in tip
    assert "training 0" not in tip
    ((_, niceness, words),) = calls(tmp_path)
    assert words == ["finetune", "a.csv", "--estimate", "--json"]
    assert niceness >= os.nice(0)


def test_it_waits_until_the_choice_has_settled_and_an_answer_is_kept(part, qtbot, tmp_path) -> None:
    for seed in "123":
        part.ask(["finetune", "a.csv", "--seed", seed])
    qtbot.waitUntil(lambda: part.sentence.text().startswith("about"), timeout=10_000)
    assert [words[3] for _, _, words in calls(tmp_path)] == ["3"]
    asked(part, qtbot, ["finetune", "b.csv"])
    part.ask(["finetune", "a.csv", "--seed", "3"])
    assert part.sentence.text().startswith("about")
    qtbot.wait(150)
    assert len(calls(tmp_path)) == 2


def test_a_sheet_that_was_mended_is_tried_again(part, qtbot, tmp_path) -> None:
    sheet = tmp_path / "a.csv"
    sheet.write_text("one")
    asked(part, qtbot, ["finetune", str(sheet)])
    os.utime(sheet, ns=(1, 1))
    asked(part, qtbot, ["finetune", str(sheet)])
    assert len(calls(tmp_path)) == 2


def test_settings_that_are_in_no_file_yet_go_along(part, qtbot, tmp_path) -> None:
    asked(part, qtbot, ["finetune", "a.csv"], config=TrainingConfig(panel=17, genes=["ERBB2"]))
    passed = read_config(tmp_path / "settings.yaml")
    assert (passed.panel, passed.genes) == (17, ["ERBB2"])
    ((_, _, words),) = calls(tmp_path)
    assert not Path(words[words.index("--config") + 1]).parent.exists()
    part.ask(["finetune", "a.csv"], config=TrainingConfig(panel=17, genes=["ERBB2"], name="another"))
    assert part.sentence.text().startswith("about")
    part.ask(["finetune", "a.csv"], config=TrainingConfig(panel=18))
    assert part.sentence.text() == "estimating…"


def test_what_went_wrong_is_one_sentence(part, qtbot, tmp_path) -> None:
    asked(part, qtbot, ["finetune", "bad.csv"])
    assert part.sentence.text() == "It could not be estimated: bad.csv has no sample"
    part.ask(["finetune", "bad.csv"])  # nothing has changed: it would fail again
    assert part.sentence.text().startswith("It could not")
    qtbot.wait(150)
    assert len(calls(tmp_path)) == 1


def test_a_program_that_is_not_there_is_said(qtbot, part) -> None:
    part._program = ["/nowhere/python"]
    asked(part, qtbot, ["finetune", "a.csv"])
    assert part.sentence.text().startswith("It could not be estimated: ")


def test_nothing_to_estimate_says_why_or_takes_no_room(part, qtbot) -> None:
    part.ask(None, why_not="Add sections first")
    assert part.sentence.text() == "Add sections first"
    part.ask(None)
    assert part.sentence.isHidden()


@pytest.mark.parametrize("ending", ["another", "stop", "shut", "close"])
def test_no_process_goes_on_that_nobody_waits_for(part, qtbot, tmp_path, ending) -> None:
    part.ask(["finetune", "slow.csv"])
    qtbot.waitUntil(lambda: len(calls(tmp_path)) == 1, timeout=10_000)
    pid = calls(tmp_path)[0][0]
    assert alive(pid)
    begin = time.monotonic()
    if ending == "another":
        part.ask(["finetune", "a.csv"])
    elif ending == "close":
        part.window_.deleteLater()
        part.window_ = None
    else:
        getattr(part, ending)()
        assert part.sentence.text() == ""
    assert time.monotonic() - begin < 0.1
    qtbot.waitUntil(lambda: not alive(pid), timeout=5_000)


def test_after_the_dock_is_closed_nothing_is_asked(part, qtbot, tmp_path) -> None:
    part.shut()
    part.ask(["finetune", "a.csv"])
    qtbot.wait(150)
    assert not calls(tmp_path)
