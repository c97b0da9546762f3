"""The check of a graphics card: each part on the device that is there, and parts that fail, hang or are left out."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import performance_table
import pytest
import torch

from napari_nh2st.bench import contenders, data_sets, device_memory, device_parts, gpu_check, training
from napari_nh2st.bench.data_sets import BenchOptions, DataSets
from napari_nh2st.bench.figures import Findings, Value
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
    assert facts.keys() - {"left_out"} <= performance_table.GPU_WORDS.keys()
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


def test_ten_patches_a_spot_are_trained_on_the_device(small, monkeypatch):
    losses = []
    monkeypatch.setattr(training.torch.optim, "AdamW", lambda parameters, **more: None)
    monkeypatch.setattr(training, "_step", lambda optimiser, loss: losses.append(loss.device.type))
    setup = replace(training.set_up(small), objectives=torch.nn.ModuleDict())  # these ask for numbers
    training.naive(setup, torch.device("meta"), 1)()  # it refuses tensors of the processor, as a card does
    assert losses == ["meta"]


def test_a_rate_that_cannot_be_measured_fails_its_part(small, monkeypatch):
    found = Findings({"dense_cost": Value.one(1.2)}, notes={"over_bare_encoder": "failed: no bare encoder"})
    monkeypatch.setattr(contenders, "compare", lambda *args: found)
    facts = {}
    with pytest.raises(Nh2stError, match=r"^no bare encoder$"):
        device_parts.PARTS["rates"](device_parts.Trial(small, facts.__setitem__))
    assert facts == {"fp32_dense_cost": 1.2}


def test_memory_is_limited_on_the_card_that_computes_and_the_limit_is_taken_back(monkeypatch):
    told = []
    cuda = {
        "init": lambda: told.append("init"),
        "empty_cache": lambda: told.append("empty"),
        "reset_peak_memory_stats": lambda device: told.append("reset"),
        "memory_allocated": lambda device: 5_000_000,
        "get_device_properties": lambda device: SimpleNamespace(total_memory=8_000_000_000),
        "set_per_process_memory_fraction": lambda share, index: told.append((share, index)),
    }
    for name, instead in cuda.items():
        monkeypatch.setattr(torch.cuda, name, instead)
    assert device_memory._start_of_peak(torch.device("cuda")) == 5
    assert told == ["init", "empty", "reset"]
    for device, index in (("cuda", None), ("cuda:1", 1)):  # torch takes an index, or None for the current card
        told.clear()
        session = SimpleNamespace(runner=SimpleNamespace(device=torch.device(device)))
        with device_memory._less_memory(session, 800, 0.5):
            assert told[-1] == (0.1, index)
        assert told[-1] == (1.0, index)


def test_without_a_compiler_torch_compile_is_left_out(small, monkeypatch):
    monkeypatch.setattr(device_parts.shutil, "which", lambda name: None)
    assert facts_of("compile", small) == {"left_out": "torch.compile needs a C compiler"}
    monkeypatch.setattr(device_parts, "find_spec", lambda name: None)
    assert device_parts._compiler_needs(torch.device("cuda")) == "triton"


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


def test_a_check_that_is_stopped_still_reports():
    asked, answers = Asked(), iter([False, True, *[True] * 20])
    report = gpu_check.check(CheckOptions(), lambda line: None, asked, lambda: next(answers))
    assert [part["why"] for part in report["parts"][2:]] == ["was stopped"] * (len(gpu_check.LIMITS) - 1)
    assert report["parts"][1]["state"] == "ok"


def test_limits_grow_with_the_time_of_all_parts():
    asked = Asked()
    gpu_check.check(CheckOptions(seconds=2 * gpu_check.SECONDS), lambda line: None, asked)
    assert asked.limits["training"] == 2 * gpu_check.LIMITS["training"]


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
