"""Two processes train one model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from napari_nh2st.model.card import Architecture
from napari_nh2st.model.folder import load_model
from napari_nh2st.training.config import TrainingConfig
from support.sections import sheet

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
ARCH = Architecture(width=4, dim=16, hidden=8, heads=4, dropout=0.3)


@pytest.mark.parametrize("what", ["head", "everything"])
def test_two_processes_share_the_steps_and_end_with_the_same_weights(tmp_path, what):
    samples = sheet(tmp_path, ("S1", "P1", 1, 1000), ("S2", "P2", 2, 1000))
    more = {"window": 256, "windows_per_step": 2, "epochs": 1, "refit": False}
    more = {"spots_per_step": 8} if what == "head" else more
    values = {"epochs": 2, "precision": "fp32", "panel": 4, "mpp": 2.0, "landmarks": 32, "pretrain_steps": 2}
    config = TrainingConfig(architecture=ARCH, train=what, **{**values, **more})
    (tmp_path / "c.yaml").write_text(json.dumps(config.model_dump(mode="json")))
    words = ["finetune", str(samples), "--out", str(tmp_path / "r"), "--config", str(tmp_path / "c.yaml")]
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("together.py")), *words, "--devices", "2", "--device", "cpu"],
        env={**os.environ, "TOLD": str(tmp_path), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=1000,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("model: ") == 1
    for training in ("first", "second") if config.refit else ("first",):
        one, two = (torch.load(tmp_path / f"{training}-{rank}.pt", weights_only=True) for rank in (0, 1))
        assert all(torch.equal(one[name], two[name]) for name in one)
        mine, others = (json.loads((tmp_path / f"{training}-{rank}.json").read_text()) for rank in (0, 1))
        assert mine["world"] == others["world"] == 2
        assert len(mine["shares"]) == len(others["shares"])
        assert mine["shares"] != others["shares"]
        if what == "head":  # each spot comes once before any comes again
            met = [tuple(spot) for a, b in zip(mine["shares"][:2], others["shares"][:2], strict=True) for spot in a + b]
            assert len(set(met)) == len(met) == 32
    lines = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "train_loss" in line]
    assert steps == list(range(1, lines[0]["total_steps"] + 1))
    assert [line["event"] for line in lines if "event" in line] == [
        "started", *["checkpoint"] * config.epochs * (1 + config.refit), "done",
    ]  # fmt: skip
    load_model(tmp_path / "r" / "model")
