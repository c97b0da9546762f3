"""The list of runs, and runs that wait for others."""

import json
import os
import threading
import time

import pytest

from napari_nh2st.errors import Nh2stError
from napari_nh2st.training.run import runs
from napari_nh2st.training.run.run_process import RunProcess, finetune_command


@pytest.fixture(autouse=True)
def registry(tmp_path, monkeypatch):
    path = tmp_path / "data" / "runs.json"
    monkeypatch.setattr(runs, "registry_file", lambda: path)
    return path


def test_runs_are_found_again_the_last_one_first(tmp_path, registry):
    assert runs.known_runs() == []
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
        runs.remember(folder)
    runs.remember(folders[0])
    assert [f.name for f in runs.known_runs()] == ["one", "three", "two"]
    folders[2].rename(tmp_path / "away")  # as a drive that is not connected
    assert [f.name for f in runs.known_runs()] == ["one", "two"]
    runs.forget(folders[1])
    (tmp_path / "away").rename(folders[2])
    assert [f.name for f in runs.known_runs()] == ["one", "three"]
    assert [p.name for p in registry.parent.iterdir()] == ["runs.json"]  # no draft is left


@pytest.mark.parametrize("text", ["", "{", "{}", "[1, null]"])
def test_a_broken_list_is_begun_anew(tmp_path, registry, text):
    registry.parent.mkdir()
    registry.write_text(text)
    assert runs.known_runs() == []
    runs.remember(tmp_path)
    assert runs.known_runs() == [tmp_path.resolve()]


def at_work(folder):
    folder.mkdir()
    (folder / "metrics.jsonl").write_text(json.dumps({"event": "started", "epoch": 0}) + "\n")
    assert RunProcess(folder).status().active
    return folder


def end(folder):
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"event": "done"}) + "\n")


def until(true):
    limit = time.monotonic() + 10
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_run_waits_until_those_before_it_have_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_LOOK_AGAIN", 0.01)
    first, second, run = at_work(tmp_path / "a"), at_work(tmp_path / "b"), tmp_path / "c"
    waiting = threading.Thread(target=runs.wait_for, args=([first, second], run))
    waiting.start()
    until(lambda: RunProcess(run).status().state == "queued")
    assert RunProcess(run).status().metrics.epoch is None
    end(first)
    time.sleep(0.1)
    assert RunProcess(run).status().state == "queued"
    end(second)
    waiting.join(10)
    assert RunProcess(run).status().state == "starting"


def test_a_run_that_waits_can_be_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_LOOK_AGAIN", 0.01)
    first, run = at_work(tmp_path / "a"), tmp_path / "c"
    run.mkdir()
    (run / "stop").touch()
    with pytest.raises(Nh2stError, match="waited"):
        runs.wait_for([first], run)
    assert RunProcess(run).status().state == "cancelled"
    assert RunProcess(first).status().active


def test_what_has_ended_is_not_waited_for(tmp_path):
    end(at_work(tmp_path / "a"))
    runs.wait_for([tmp_path / "a", tmp_path / "never-begun"], tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_line_says_where_a_run_stands(tmp_path):
    run = at_work(tmp_path / "a")
    assert runs.line_of(RunProcess(run)) == runs.RunLine(run, "running")  # begun on the command line
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps({"epoch": i, "val_pcc": v}) + "\n" for i, v in enumerate((0.1, 0.3, 0.2)))
    end(run)
    sheet = tmp_path / "s.csv"
    record = {"pid": 1, "identity": "none", "argv": ["python", *finetune_command(sheet, run)], "started": 5.0}
    (run / "job.json").write_text(json.dumps(record))
    (run / "start.json").write_text("{}")
    line = runs.line_of(RunProcess(run))
    assert line == runs.RunLine(run, "done", 5.0, best=0.3, sheet=sheet, resumable=True)
    assert not line.active


def test_the_command_names_the_runs_before_it_and_its_settings(tmp_path):
    words = finetune_command(tmp_path / "s.csv", tmp_path / "c", config=tmp_path / "x.yaml", after=[tmp_path / "a"])
    assert words[4:] == ["--config", str(tmp_path / "x.yaml"), "--after", str(tmp_path / "a")]


def test_a_list_that_cannot_be_written_is_an_error_of_the_system(tmp_path, monkeypatch):
    """Whoever remembers a run says so and goes on (test_run_queue_presenter.py)."""
    (tmp_path / "a file").touch()
    monkeypatch.setattr(runs, "registry_file", lambda: tmp_path / "a file" / "runs.json")
    for change in (runs.remember, runs.forget):
        with pytest.raises(OSError, match="a file"):
            change(tmp_path)
    assert runs.known_runs() == []


@pytest.mark.parametrize("seconds", [-1e9, 1e9])
def test_a_run_of_another_time_is_not_at_work(tmp_path, seconds):
    folder = at_work(tmp_path / "run")
    os.utime(folder / "metrics.jsonl", (time.time() + seconds,) * 2)
    assert not RunProcess(folder).status().active
