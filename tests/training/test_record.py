"""What a run was started with, and goes on with."""

import json
import os
import subprocess
import sys

import anndata as ad
import numpy as np
import pytest

from napari_nh2st.errors import Nh2stError
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.run.begin import alone_in
from napari_nh2st.training.run.record import RunSettings, keep_to_measurements
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


def changed(path, old, new):
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: changed(run.start, '"seed": 3', '"seed": 4'), "was changed since"),
        (lambda run: changed(run.start, '"base": null', '"base": "demo"'), "was changed since"),
        (lambda run: changed(run.config, "epochs: 7", "epochs: 9"), "was changed since"),
        (lambda run: run.config.write_text(run.config.read_text() + "mpp: 1.0\n"), "twice|was changed since"),
        (lambda run: changed(run.start, '"seed": 3', '"seed": -3'), "damaged"),
        (lambda run: changed(run.start, '"seed": 3', f'"seed": {10**40}'), "damaged"),
        (lambda run: run.start.write_text("[]"), "damaged"),
    ],
)
def test_a_run_goes_on_only_with_what_it_was_started_with(tmp_path, change, said):
    """Another seed holds out other blocks, which the run has learnt from by then."""
    folder, settings = RunFolder(tmp_path), RunSettings(TrainingConfig(device="cpu", epochs=7), None, 3)
    settings.record(folder, [])
    folder.config.write_text("# a remark of a person\n" + folder.config.read_text())
    assert RunSettings.recorded(folder, []).seed == 3
    change(folder)
    with pytest.raises(Nh2stError, match=said):
        RunSettings.recorded(folder, [])


def measured(changes=None):
    data = ad.AnnData(np.arange(12, dtype=np.float32).reshape(4, 3))
    data.var_names, data.obsm["spatial"] = ["A", "B", "C"], np.arange(8.0).reshape(4, 2)
    if changes is not None:
        changes(data)
    return data


@pytest.mark.parametrize(
    "changes",
    [
        lambda data: setattr(data, "X", data.X[::-1].copy()),
        lambda data: setattr(data, "var_names", ["A", "C", "B"]),
        lambda data: data.obsm.update(spatial=data.obsm["spatial"] + 1),
        lambda data: data.X.__setitem__((2, 1), 9),
    ],
)
def test_a_run_goes_on_only_with_the_measurements_it_has_learnt_from(tmp_path, changes):
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    for _ in range(2):
        keep_to_measurements(folder, {"S": "abc"}, [measured()])
    for slide, data in (("abc", measured(changes)), ("another", measured())):
        with pytest.raises(Nh2stError, match="the counts of S changed since"):
            keep_to_measurements(folder, {"S": slide}, [data])


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
    del started["check"]  # nor a checksum
    folder.start.write_text(json.dumps(started))
    assert RunSettings.recorded(folder, []).config.precision == "bf16"
