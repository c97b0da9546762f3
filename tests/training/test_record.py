"""What a run was started with, and goes on with."""

import json

import pytest

from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.run.record import RunSettings
from napari_nh2st.training.run.run_folder import RunFolder


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


def test_a_run_of_an_earlier_version_has_no_precision_on_record(tmp_path):
    folder = RunFolder(tmp_path)
    RunSettings(TrainingConfig(precision="bf16"), None, 3).record(folder, [])
    started = json.loads(folder.start.read_text())
    assert started.pop("precision") == "bf16"
    folder.start.write_text(json.dumps(started))
    assert RunSettings.recorded(folder, []).config.precision == "bf16"
