"""The check of a graphics card: each part on the device that is there, and parts that fail, hang or are left out."""

import json
import subprocess
from pathlib import Path

import numpy as np
import performance_table
import pytest
import torch

from napari_nh2st.bench import data_sets, device_parts, gpu_check, training
from napari_nh2st.bench.data_sets import BenchOptions, DataSets
from napari_nh2st.bench.gpu_check import CheckOptions
from napari_nh2st.doctor.child import Answer
from napari_nh2st.errors import Nh2stError
from support.models import small_model

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu_check.sh"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
COMPUTE = {"torch": "2", "device": "cpu", "adds_up": True, "bf16": False, "cuda": False, "cuda_build": None}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    model = small_model(folder)
    patch = pytest.MonkeyPatch()
    patch.setattr(data_sets, "QUICK_SIZE_MM", (1.6, 1.4))
    made = DataSets(BenchOptions(folder, str(model.path), repeat=1, quick=True, device=DEVICE, precision="fp32"))
    yield made
    made.close()
    patch.undo()


def facts_of(name, small):
    facts = {}
    device_parts.PARTS[name](device_parts.Trial(small, facts.__setitem__))
    assert facts.keys() <= performance_table.GPU_WORDS.keys()
    return facts


def test_a_device_is_held_against_the_processor(small):
    facts = facts_of("agreement", small)
    assert facts["fp32_correlation"] > 0.9999
    assert 0 < facts["bf16_difference"] < 0.1


def test_a_device_that_disagrees_is_told(small, monkeypatch):
    values = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    monkeypatch.setattr(
        device_parts.Trial, "predict", lambda self, precision, device=None: values if device else values[::-1]
    )
    with pytest.raises(Nh2stError, match="disagrees with the processor: r = "):
        facts_of("agreement", small)


def test_without_memory_windows_are_halved_and_the_values_stay(small):
    facts = facts_of("out of memory", small)
    before, after = facts["largest_window"]
    assert after < before
    assert facts["difference"] < 0.01


def test_what_a_window_takes_and_how_soon_tiles_come(small):
    assert facts_of("memory", small)["window_px"] > 500
    facts = facts_of("session", small)
    assert 0 < facts["first_tiles_at_hand_s"] < 60
    assert 0 < facts["first_tiles_and_model_s"] < 60


@pytest.mark.long
@pytest.mark.parametrize("name", ["describe", "training", "rates"])
def test_the_longer_parts(small, monkeypatch, name):
    monkeypatch.setattr(training, "WINDOWS", 2)
    facts = {}
    device_parts.PARTS[name](device_parts.Trial(small, facts.__setitem__))
    assert len(facts) > 2


class Asked:
    """Answers in the place of processes."""

    def __init__(self, **answers):
        self.answers = {"compute": Answer(COMPUTE), "model": Answer({"device": "cpu"}), **answers}
        self.limits = {}

    def __call__(self, name, *arguments, seconds, **more):
        self.limits[name] = seconds
        return self.answers.get(name, Answer({"steps": 3}))


def test_a_part_that_fails_is_in_the_report_and_the_others_go_on():
    asked = Asked(
        agreement=Answer({"tiles": 9}, "did not answer within 60 s"),
        training=Answer({}, "", "it disagrees"),
        window=Answer({"left_out": "there is no display"}),
    )
    lines = []
    report = gpu_check.check(CheckOptions(), lines.append, asked)
    parts = {part["name"]: part for part in report["parts"]}
    assert list(parts) == ["device", *gpu_check.LIMITS]
    assert parts["agreement"]["facts"] == {"tiles": 9}
    assert [name for name, part in parts.items() if part["state"] == "failed"] == ["agreement", "training"]
    assert report["failed"] == 2
    assert (parts["window"]["state"], parts["window"]["why"]) == ("left out", "there is no display")
    assert all(asked.limits[name] <= limit for name, limit in gpu_check.LIMITS.items())
    assert "training: failed" in "\n".join(lines)
    table = performance_table.gpu({**report, "gpu": "A card"})
    assert "failed: did not answer within 60 s" in table
    assert "| steps of these | 3 |" in table


def test_all_parts_together_have_a_limit_too():
    asked = Asked()
    report = gpu_check.check(CheckOptions(seconds=4.0), lambda line: None, asked)
    assert report["failed"] == len(gpu_check.LIMITS)
    assert asked.limits.keys() == {"compute", "model"}


def test_a_gpu_that_was_asked_for_and_is_not_there_is_a_failure():
    report = gpu_check.check(CheckOptions(device="cuda", parts=()), lambda line: None, Asked())
    assert report["failed"] == 1
    assert report["gpu"] is None


def test_whatever_is_missing_is_said_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "PACKAGES", ("numpy", "not_there", "neither"))
    assert gpu_check.main([]) == 2
    assert capsys.readouterr().err.startswith("gpu_check: missing here: not_there, neither: ")
    ran = subprocess.run([SCRIPT], env={"PYTHON": "false", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [line for line in ran.stderr.splitlines() if "with torch" in line]


def test_the_table_says_that_no_gpu_was_there(tmp_path):
    (tmp_path / "gpu-1.json").write_text(json.dumps({"gpu": None, "small": False}), "utf-8")
    (tmp_path / "gpu-2.json").write_text(json.dumps({"gpu": "A card", "small": True}), "utf-8")
    assert performance_table.tables(tmp_path)["gpu"].startswith("Not run")


@pytest.mark.long
def test_the_script_on_the_processor(tmp_path):
    out = tmp_path / "report.json"
    words = [SCRIPT, "--small", "--device", "cpu", "--parts", "agreement,session,compile", "--out", out]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=360)
    report = json.loads(out.read_text("utf-8"))
    assert json.loads(ran.stdout) == report
    assert (ran.returncode, report["failed"]) == (0, 0), ran.stderr
