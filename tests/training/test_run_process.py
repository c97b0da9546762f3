"""The detached process: started, followed, stopped and picked up again through files alone."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from napari_nh2st.training.run.metrics_file import append_line
from napari_nh2st.training.run.run_process import RunProcess, finetune_command
from napari_nh2st.training.run.runs import line_of

# Stands in for `python -m napari_nh2st`: writes what the contract says, slowly, and obeys RUN/stop.
FAKE = """
import json, pathlib, sys, time
words = sys.argv[1:]
run = pathlib.Path(words[words.index("--out") + 1])
mode = words[1]
def say(**row):
    with (run / "metrics.jsonl").open("a") as f:
        f.write(json.dumps(row) + "\\n")
say(event="resumed" if "--resume" in words else "started", epoch=0, step=0, total_epochs=5, seconds=0.0)
if mode == "broken":
    print("error: the sheet names no section", file=sys.stderr)
    sys.exit(1)
for epoch in range(5 if mode == "quick" else 2000):
    time.sleep(0.02)
    say(epoch=epoch, step=epoch, train_loss=1 / (epoch + 1), val_pcc=0.1 * epoch, seconds=0.02 * epoch)
    if (run / "stop").exists():
        say(event="cancelled", epoch=epoch)
        sys.exit(0)
(run / "model").mkdir(exist_ok=True)
(run / "model" / "card.json").write_text("{}")
say(event="done", epoch=4)
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    return [sys.executable, str(script)]


def wait_for(process: RunProcess, *states: str) -> str:
    until = time.monotonic() + 20
    while (state := process.status().state) not in states:
        assert time.monotonic() < until, f"still {state}: {process.tail()}"
        time.sleep(0.02)
    return state


def test_command_is_what_a_person_would_type() -> None:
    words = finetune_command(Path("s.csv"), Path("run"), model="demo", seed=3, resume=True)
    assert words == ["finetune", "s.csv", "--out", "run", "--model", "demo", "--seed", "3", "--resume"]


def test_run_to_its_end(tmp_path: Path, program: list[str]) -> None:
    process = RunProcess(tmp_path / "run")
    assert process.status().state == "empty"
    process.start(finetune_command(Path("quick"), process.folder), program=program)
    wait_for(process, "done")
    status = process.status()
    assert status.model == process.folder / "model"
    assert status.metrics.total_epochs == 5
    assert [x for x, _ in status.metrics.curve("val_pcc")] == [0, 1, 2, 3, 4]
    assert status.metrics.best() == pytest.approx(0.4)


def test_another_session_follows_and_stops(tmp_path: Path, program: list[str]) -> None:
    process = RunProcess(tmp_path / "run")
    process.start(finetune_command(Path("endless"), process.folder), program=program)
    wait_for(process, "running")
    other = RunProcess(process.folder)  # as after closing and reopening the window
    assert other.status().active
    with pytest.raises(RuntimeError, match="already going on"):
        other.start(finetune_command(Path("quick"), process.folder), program=program)
    other.stop()
    assert wait_for(other, "cancelled") == "cancelled"
    assert wait_for(process, "cancelled") == "cancelled"


def test_failure_is_one_line(tmp_path: Path, program: list[str]) -> None:
    process = RunProcess(tmp_path / "run")
    process.start(finetune_command(Path("broken"), process.folder), program=program)
    wait_for(process, "failed")
    assert process.status().message == "the sheet names no section"
    assert RunProcess(process.folder).status().message == "the sheet names no section"


def test_a_killed_run_says_so_and_nothing_of_an_earlier_end(tmp_path: Path, program: list[str]) -> None:
    process = RunProcess(tmp_path / "run")
    process.start(finetune_command(Path("broken"), process.folder), program=program)
    wait_for(process, "failed")
    process.start(finetune_command(Path("endless"), process.folder), program=program)
    wait_for(process, "running")
    with (process.folder / "log.txt").open("a") as log:
        log.write("epoch 1 of 5: training loss 0.512\n")
    os.kill(process.record()["pid"], signal.SIGKILL)
    wait_for(process, "failed")
    assert process.status().message.startswith("its process was ended from outside")
    assert RunProcess(process.folder).status().message == process.status().message


@pytest.mark.parametrize(
    ("printed", "says"),
    [
        ("Traceback (most recent call last):\n  File x\nImportError: no torch\n", "ImportError: no torch"),
        ("╭─ Error ─────╮\n│ No such option: --bogus │\n╰───────╯\n", "No such option: --bogus"),
        ("\n", "its process was ended from outside: by a person, or by the system for want of memory"),
    ],
)
def test_what_a_log_ends_with_is_told(tmp_path: Path, printed: str, says: str) -> None:
    (tmp_path / "log.txt").write_text(printed)
    assert RunProcess(tmp_path).last_error() == says


def test_resumed_run_is_not_taken_for_the_old_end(tmp_path: Path, program: list[str]) -> None:
    process = RunProcess(tmp_path / "run")
    process.start(finetune_command(Path("quick"), process.folder), program=program)
    wait_for(process, "done")
    process.start(finetune_command(Path("endless"), process.folder, resume=True), program=program)
    assert process.status().state in ("starting", "running")
    process.stop()
    wait_for(process, "cancelled")


def test_half_written_line_waits(tmp_path: Path) -> None:
    process = RunProcess(tmp_path)
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"event": "started", "epoch": 0, "total_epochs": 3}) + '\n{"epoch": 1, "tr')
    assert len(process.metrics().rows) == 1
    with path.open("a") as file:
        file.write('ain_loss": 0.5}\n')
    assert process.metrics().curve("train_loss") == [(1.0, 0.5)]


def test_a_line_that_was_cut_takes_no_other_with_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_line(path, {"event": "started", "total_epochs": 3})
    path.write_bytes(path.read_bytes() + b'{"epoch": 1, "tr')
    append_line(path, {"event": "resumed"})
    append_line(path, {"epoch": 1, "train_loss": 0.5})
    process = RunProcess(tmp_path)
    assert process.metrics().event == "resumed"
    assert process.metrics().curve("train_loss") == [(1.0, 0.5)]


@pytest.mark.parametrize("key", ["pid", "started", "rows_before", "log_before"])
@pytest.mark.parametrize("value", [10**400, -5, 1e300])
def test_a_record_with_numbers_that_cannot_be_is_none(tmp_path: Path, key: str, value: float) -> None:
    (tmp_path / "job.json").write_text(json.dumps({"argv": ["nh2st"], key: value}))
    assert line_of(RunProcess(tmp_path)).state == "failed"
    assert RunProcess(tmp_path).record() == {"argv": ["nh2st"]}


def test_time_left_follows_the_pace(tmp_path: Path) -> None:
    rows = [{"event": "started", "total_epochs": 10, "epoch": 0, "seconds": 1.0}]
    rows += [{"epoch": e, "train_loss": 1.0, "seconds": 1.0 + 2.0 * e} for e in range(5)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    status = RunProcess(tmp_path).status()  # nobody's process, but its files are fresh
    assert status.state == "running"
    assert status.seconds_left == pytest.approx(10.0)


def told(folder: Path, *rows: dict[str, object]) -> RunProcess:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RunProcess(folder)


BEGUN = {"event": "started", "total_epochs": 4, "total_steps": 40, "step": 0, "epoch": 0, "seconds": 50.0}
PREPARING = {"stage": "pretraining the encoder", "done": 12, "total": 60, "step": 0, "epoch": 0, "seconds": 9.0}


def step(n: int, seconds: float) -> dict[str, object]:
    return {"step": n, "epoch": (n - 1) // 10, "train_loss": 1.0, "seconds": seconds}


def test_what_it_prepares_is_told_until_it_begins(tmp_path: Path) -> None:
    status = told(tmp_path, PREPARING).status()
    assert (status.metrics.stage, status.metrics.done, status.metrics.total) == ("pretraining the encoder", 12, 60)
    assert (status.state, status.seconds_left, status.metrics.training) == ("starting", None, False)
    status = told(tmp_path, PREPARING, BEGUN).status()
    assert (status.metrics.stage, status.metrics.done, status.state) == (None, None, "running")


def test_time_left_is_that_of_the_steps_alone(tmp_path: Path) -> None:
    assert told(tmp_path, PREPARING, BEGUN, step(1, 60.0)).status().seconds_left is None
    rows = [
        PREPARING,
        BEGUN,
        {"stage": "training", "step": 0, "epoch": 0, "seconds": 51.0},
        step(1, 60.0),
        step(6, 70.0),
    ]
    assert told(tmp_path, *rows).status().seconds_left == pytest.approx(34 * 2.0)
    held = [{"event": "paused", "step": 6, "epoch": 0, "seconds": 71.0}]
    held += [{"event": "resumed", "step": 6, "epoch": 0, "seconds": 999.0}]
    assert told(tmp_path, *rows, *held, step(7, 1000.0)).status().seconds_left is None
    assert told(tmp_path, *rows, *held, step(7, 1000.0), step(8, 1002.0)).status().seconds_left == pytest.approx(64.0)
    again = {"stage": "training on the held-out blocks too", "step": 10, "epoch": 0, "seconds": 100.0}
    second = [{**step(11, 110.0), "epoch": 2}, {**step(12, 111.0), "epoch": 2}]  # the first one ended an epoch early
    assert told(tmp_path, *rows, again).status().seconds_left is None
    assert told(tmp_path, *rows, again, *second).status().seconds_left == pytest.approx(18.0)
    scoring = {"stage": "scoring beside simpler models", "step": 12, "epoch": 2, "seconds": 112.0}
    assert told(tmp_path, *rows, again, *second, scoring).status().seconds_left is None


def test_notes_and_what_was_told_last(tmp_path: Path) -> None:
    row = {"device": "cpu", "memory_mb": 900, "event": "checkpoint", "step": 1, "epoch": 0}
    notes = [{"note": "halved"}, {"note": "halved"}, {"note": "again"}]
    metrics = told(tmp_path, BEGUN, *notes, row, {**row, "memory_mb": 1000}, step(2, 1.0)).metrics()
    assert metrics.notes == ["halved", "again"]
    assert (metrics.last("memory_mb"), metrics.last("device"), metrics.last("loss")) == (1000, "cpu", None)
