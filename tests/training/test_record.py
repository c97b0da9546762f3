"""What a run was started with, and goes on with."""

import json
import os
import subprocess
import sys

import pytest

from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.run.begin import alone_in
from napari_nh2st.training.run.record import RunSettings
from napari_nh2st.training.run.run_folder import RunFolder

ELSEWHERE = """
import sys
from pathlib import Path
from napari_nh2st.errors import Nh2stError
from napari_nh2st.training.run.begin import alone_in
from napari_nh2st.training.run.run_folder import RunFolder
try:
    with alone_in(RunFolder(Path(sys.argv[1])), True):
        print("begun")
except Nh2stError as error:
    print(error)
"""


@pytest.mark.parametrize("began", ["bf16", "fp32"])
def test_a_resumed_run_keeps_the_precision_that_auto_meant_when_it_began(tmp_path, monkeypatch, began):
    folder = RunFolder(tmp_path)
    settings = RunSettings(TrainingConfig(device="cpu"), None, 3)
    assert settings.config.precision == "auto"
    monkeypatch.setenv("NH2ST_PRECISION", began)
    settings.record(folder, [])
    monkeypatch.setenv("NH2ST_PRECISION", {"bf16": "fp32", "fp32": "bf16"}[began])
    resumed = RunSettings.recorded(folder, [])
    assert resumed.config.precision == began
    assert resumed.settled() == resumed
    assert resumed.config == settings.config.model_copy(update={"precision": began})


def test_two_runs_do_not_write_one_folder(tmp_path):
    with alone_in(RunFolder(tmp_path / "run"), True):
        words = [sys.executable, "-c", ELSEWHERE, tmp_path / "run"]
        other = subprocess.run(words, capture_output=True, text=True)
    assert other.stdout.startswith(f"process {os.getpid()} on ")
    assert "is writing" in other.stdout
    assert subprocess.run(words, capture_output=True, text=True).stdout == "begun\n"


def test_a_run_of_an_earlier_version_has_no_precision_on_record(tmp_path):
    folder = RunFolder(tmp_path)
    RunSettings(TrainingConfig(precision="bf16"), None, 3).record(folder, [])
    started = json.loads(folder.start.read_text())
    assert started.pop("precision") == "bf16"
    folder.start.write_text(json.dumps(started))
    assert RunSettings.recorded(folder, []).config.precision == "bf16"
