"""Two processes, or two machines, train one model."""

import json
import os
import socket
import subprocess
import sys
import time
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
    begun = next(line for line in lines if line.get("event") == "started")
    steps = [line["step"] for line in lines if "train_loss" in line]
    assert steps == list(range(1, begun["total_steps"] + 1))
    assert [line["event"] for line in lines if "event" in line] == [
        "started", *["checkpoint"] * config.epochs * (1 + config.refit), "done",
    ]  # fmt: skip
    load_model(tmp_path / "r" / "model")


def variables(launcher: str, rank: int, port: int) -> dict[str, str]:
    """What a process finds in its environment on one of two machines with a process each."""
    theirs = {
        "lightning": {"NODE_RANK": rank},
        "torchrun": {
            "RANK": rank, "GROUP_RANK": rank, "LOCAL_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 1,
            "TORCHELASTIC_RUN_ID": "run",
        },
        "slurm": {
            "SLURM_JOB_ID": 1, "SLURM_JOB_NAME": "nh2st", "SLURM_NTASKS": 2, "SLURM_NTASKS_PER_NODE": 1,
            "SLURM_NNODES": 2, "SLURM_NODELIST": "localhost", "SLURM_PROCID": rank, "SLURM_NODEID": rank,
            "SLURM_LOCALID": 0,
        },
    }[launcher]  # fmt: skip
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **{k: str(v) for k, v in theirs.items()}}


@pytest.fixture
def two_machines(tmp_path):
    """Start a run on two machines; gives what starts it."""
    samples = sheet(tmp_path, ("S1", "P1", 1, 1000), ("S2", "P2", 2, 1000))
    processes: list[subprocess.Popen[str]] = []

    def start(launcher: str, epochs: int) -> list[subprocess.Popen[str]]:
        values = {"precision": "fp32", "panel": 4, "mpp": 2.0, "landmarks": 32, "pretrain_steps": 2, "refit": False}
        config = TrainingConfig(architecture=ARCH, epochs=epochs, patience=epochs, spots_per_step=8, **values)
        (tmp_path / "c.yaml").write_text(json.dumps(config.model_dump(mode="json")))
        words = ["finetune", str(samples), "--out", str(tmp_path / "r"), "--config", str(tmp_path / "c.yaml")]
        words += ["--nodes", "2", "--devices", "1", "--device", "cpu"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for rank in (0, 1):
            processes.append(subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("together.py")), *words],
                env={**os.environ, **variables(launcher, rank, port), "TOLD": str(tmp_path), "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            ))  # fmt: skip
        return processes

    yield start
    for process in processes:
        process.kill()


def said(run: Path) -> list[dict[str, object]]:
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


@pytest.mark.parametrize("launcher", ["lightning", "torchrun", "slurm"])
def test_two_machines_end_with_the_same_weights_and_one_of_them_writes(tmp_path, two_machines, launcher):
    processes = two_machines(launcher, 1)
    out, err = zip(*(process.communicate(timeout=1000) for process in processes), strict=True)
    assert [process.returncode for process in processes] == [0, 0], err
    assert "".join(out).count("model: ") == 1
    one, two = (torch.load(tmp_path / f"first-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(one[name], two[name]) for name in one)
    mine, others = (json.loads((tmp_path / f"first-{rank}.json").read_text()) for rank in (0, 1))
    assert mine["world"] == others["world"] == 2
    assert mine["shares"] != others["shares"]
    lines = said(tmp_path / "r")
    begun = next(line for line in lines if line.get("event") == "started")
    assert [line["step"] for line in lines if "train_loss" in line] == list(range(1, begun["total_steps"] + 1))
    assert [line["event"] for line in lines if "event" in line] == ["started", "checkpoint", "done"]
    load_model(tmp_path / "r" / "model")


def test_a_stop_file_stops_both_machines(tmp_path, two_machines):
    processes = two_machines("lightning", 200)
    until = time.monotonic() + 600
    while not any(line.get("event") == "checkpoint" for line in said(tmp_path / "r")):
        assert time.monotonic() < until
        assert all(process.poll() is None for process in processes)
        time.sleep(0.2)
    (tmp_path / "r" / "stop").touch()
    _, err = zip(*(process.communicate(timeout=300) for process in processes), strict=True)
    assert [process.returncode for process in processes] == [0, 0], err
    assert said(tmp_path / "r")[-1]["event"] == "cancelled"
    load_model(tmp_path / "r" / "model")
