"""Nothing lost: a run that is stopped, killed, held, starved of disk or memory, or fed nonsense."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.folder import load_card, load_model
from napari_nh2st.training.finetune import finetune
from napari_nh2st.training.network.network_module import NH2STModule, NotFinite
from napari_nh2st.training.run import checkpoints, training_pass
from napari_nh2st.training.run.checkpoints import CheckedFiles
from napari_nh2st.training.run.metrics_file import MetricsFile
from napari_nh2st.training.run.requests import RunRequests
from napari_nh2st.training.run.run_folder import RunFolder
from napari_nh2st.training.run.run_process import RunProcess
from support.runs import WHOLE, events, losses, same_weights, scores, settings

pytestmark = pytest.mark.usefixtures("short_epochs")


@pytest.mark.parametrize("at_step", [12, pytest.param(26, marks=pytest.mark.long)])
def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not(samples, straight, tmp_path, at_step):
    """In mid-epoch, in the first training and in the second: every loss, every score and every weight, exactly."""
    run = tmp_path / "r"

    def asked() -> bool:
        return len(losses(run)) >= at_step

    finetune(samples, run, config=settings(pretrain_steps=2, **WHOLE), seed=1, progress=False, cancelled=asked)
    assert events(run)[-1]["event"] == "cancelled"
    encoder = (run / "checkpoints" / "encoder.safetensors").stat().st_mtime_ns
    finetune(samples, run, progress=False, resume=True)
    assert events(run)[-1]["event"] == "done"
    assert (run / "checkpoints" / "encoder.safetensors").stat().st_mtime_ns == encoder  # not trained again
    assert losses(run) == losses(straight)
    assert scores(run) == scores(straight)
    assert same_weights(run, straight)
    resumed, undisturbed = load_card(run / "model"), load_card(straight / "model")
    assert resumed.evaluation == undisturbed.evaluation
    assert resumed.intervals == undisturbed.intervals


@pytest.mark.parametrize("what", ["last-blocks", pytest.param("everything", marks=pytest.mark.long)])
def test_training_of_the_encoder_resumes_exactly_too(samples, tmp_path, what):
    config = settings(train=what, epochs=2, window=256, windows_per_step=1, refit=False)
    finetune(samples, tmp_path / "a", config=config, progress=False)
    run = tmp_path / "b"
    finetune(samples, run, config=config, progress=False, cancelled=lambda: len(losses(run)) >= 11)
    finetune(samples, run, progress=False, resume=True)
    assert losses(run) == losses(tmp_path / "a")
    assert same_weights(run, tmp_path / "a")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.timeout(1800)
@pytest.mark.long
@pytest.mark.parametrize("times", [1, 10])
def test_killed_at_any_step_and_resumed_it_ends_as_if_it_had_been_left_alone(samples, tmp_path, times):
    """All of it in processes of their own: this one has computed before, and that may turn a last digit."""
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps(settings(pretrain_steps=2, **WHOLE).model_dump(mode="json")))
    run, alone, lines = tmp_path / "r", tmp_path / "alone", 0

    def begin(out: Path) -> subprocess.Popen:
        more = ["--resume"] if (out / "start.json").exists() else ["--config", str(config), "--seed", "1"]
        words = [sys.executable, "-m", "napari_nh2st", "finetune", str(samples), "--out", str(out), *more]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert begin(alone).wait() == 0
    for kill in range(times):
        process = begin(run)
        while process.poll() is None and len(events(run)) <= lines + (17 * kill + 7) % 40:  # a line a step
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        lines = len(events(run))
    assert begin(run).wait() == 0
    assert events(run)[-1]["event"] == "done"
    assert sum(line.get("event") == "resumed" for line in events(run)) >= 1
    assert losses(run) == losses(alone)
    assert scores(run) == scores(alone)
    assert same_weights(run, alone)


def test_a_full_disk_is_one_clear_line_and_the_last_good_checkpoint_stays(samples, tmp_path, monkeypatch):
    run, written = tmp_path / "r", []
    real = CheckedFiles.save_checkpoint

    def full(self, checkpoint, path, storage_options=None):
        written.append(path)
        if len(written) > 1:  # the first epoch's: it is the best so far, and the last is a copy
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, checkpoint, path, storage_options)

    said = r"the disk that holds .* is full: free some space, then go on with resume=True"
    with monkeypatch.context() as disk, pytest.raises(Nh2stError, match=said):
        disk.setattr(CheckedFiles, "save_checkpoint", full)
        finetune(samples, run, config=settings(refit=False), progress=False)
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0
    assert events(run)[-1]["event"] == "failed"
    finetune(samples, run, progress=False, resume=True)
    assert events(run)[-1]["event"] == "done"


def test_a_checkpoint_that_does_not_read_back_does_not_take_the_last_ones_place(tmp_path, monkeypatch):
    path, files = tmp_path / "last.ckpt", CheckedFiles()
    files.save_checkpoint({"state_dict": {"a": torch.ones(3)}, "epoch": 0}, path)
    monkeypatch.setattr(checkpoints.torch, "load", lambda *a, **k: {"state_dict": {"a": torch.zeros(3)}})
    with pytest.raises(OSError, match="reads back as something else"):
        files.save_checkpoint({"state_dict": {"a": torch.ones(3)}, "epoch": 1}, path)
    monkeypatch.undo()
    assert torch.load(path, weights_only=True)["epoch"] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_copy_of_the_best_that_reads_back_otherwise_does_not_take_the_last_ones_place(tmp_path, monkeypatch):
    best, last = tmp_path / "best.ckpt", tmp_path / "last.ckpt"
    best.write_bytes(b"new")
    last.write_bytes(b"old")
    monkeypatch.setattr(checkpoints.shutil, "copyfile", lambda source, target: Path(target).write_bytes(b"ne"))
    with pytest.raises(OSError, match="reads back as something else"):
        checkpoints._copy(best, last)
    assert last.read_bytes() == b"old"
    monkeypatch.undo()
    checkpoints._copy(best, last)
    assert last.read_bytes() == b"new"


def _torn(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "gone"),
    [
        (lambda run: run.refit.write_bytes(b""), {"refit"}),
        (lambda run: _torn(run.refit), {"refit"}),
        (lambda run: _torn(run.last), {"last"}),
        (lambda run: torch.save({"epoch": "x"}, run.last), {"last"}),
        (lambda run: torch.save([1, 2], run.refit), {"refit"}),
        (lambda run: torch.save({"epoch": 1, "state_dict": threading.Event}, run.refit), {"refit"}),
        (lambda run: _torn(run.best), {"best", "last"}),
        (lambda run: run.best.unlink(), {"last"}),
        (lambda run: None, set()),
    ],
)
def test_checkpoints_that_cannot_be_read_go_and_with_them_what_needs_them(straight, tmp_path, damage, gone):
    shutil.copytree(straight / "checkpoints", tmp_path / "checkpoints")
    run = RunFolder(tmp_path)
    damage(run)
    before = {name for name in ("best", "last", "refit") if getattr(run, name).is_file()}
    said = checkpoints.remove_damaged(run)
    assert before - {name for name in before if getattr(run, name).is_file()} == gone
    assert all("trained again" in line for line in said)


def test_a_run_with_a_damaged_checkpoint_ends_as_it_would_have(samples, straight, tmp_path):
    run = tmp_path / "r"
    shutil.copytree(straight, run)
    shutil.rmtree(run / "model")
    _torn(RunFolder(run).refit)
    finetune(samples, run, progress=False, resume=True)
    assert same_weights(run, straight)
    assert any("refit.ckpt was damaged" in line.get("note", "") for line in events(run))


def test_out_of_memory_takes_smaller_parts_and_says_so(samples, tmp_path, monkeypatch):
    real = NH2STModule.gather

    def small(self, batch):
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, batch)

    monkeypatch.setattr(NH2STModule, "gather", small)
    config = settings(train="everything", epochs=1, window=256, windows_per_step=4, refit=False)
    finetune(samples, tmp_path / "r", config=config, progress=False)
    told = [line for line in events(tmp_path / "r") if "note" in line]
    assert [line["parts"] for line in told] == [2, 4]
    assert "out of memory" in told[0]["note"]
    assert len(losses(tmp_path / "r")) == events(tmp_path / "r")[0]["total_steps"]  # as many steps as without


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_model(samples, tmp_path, monkeypatch):
    real, run = NH2STModule.gather, tmp_path / "r"

    def poisoned(self, batch):
        found = real(self, batch)
        if self.global_step == 12:
            found.embeddings[found.sections == 1] = torch.nan
        return found

    monkeypatch.setattr(NH2STModule, "gather", poisoned)
    with pytest.raises(NotFinite, match=r"the loss became nan at step 13 in sample S2: the best epoch before that is"):
        finetune(samples, run, config=settings(), progress=False)
    assert events(run)[-1]["event"] == "failed"
    assert "step 13" in events(run)[-1]["reason"]
    assert all(torch.isfinite(p).all() for p in load_model(run / "model").net.parameters())


def test_weights_that_are_no_numbers_are_not_kept(samples, tmp_path, monkeypatch):
    def broken(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_step == 16:
            torch.nn.init.constant_(module.net.head.to_hidden[0].weight, torch.inf)

    monkeypatch.setattr(training_pass.Reporter, "on_train_batch_end", broken)
    with pytest.raises(NotFinite, match="after step 16"):
        finetune(samples, tmp_path / "r", config=settings(refit=False), progress=False)
    assert torch.load(tmp_path / "r" / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0


def test_a_pause_file_holds_the_run_and_a_stop_ends_it_meanwhile(tmp_path):
    log = MetricsFile(tmp_path / "metrics.jsonl")
    requests, process = RunRequests(RunFolder(tmp_path), lambda: False, log), RunProcess(tmp_path)
    assert not requests.should_stop()
    process.pause()
    answer: list[bool] = []
    thread = threading.Thread(target=lambda: answer.append(requests.should_stop()))
    thread.start()
    time.sleep(0.3)
    assert not answer
    assert process.status().state == "paused"
    process.unpause()
    thread.join(5)
    assert answer == [False]
    assert [line["event"] for line in events(tmp_path)] == ["paused", "resumed"]
    process.pause()
    process.stop()
    assert requests.should_stop()


def test_a_paused_run_takes_no_step_until_it_may_go_on(samples, tmp_path):
    run, seen = tmp_path / "r", []

    def go_on() -> None:
        seen.append(len(losses(run)))
        (run / "pause").unlink()

    def watch() -> bool:
        if len(losses(run)) == 3 and not seen:
            seen.append(3)
            (run / "pause").touch()
            threading.Timer(0.6, go_on).start()
        return False

    finetune(samples, run, config=settings(epochs=1, refit=False), progress=False, cancelled=watch)
    assert seen[1] - seen[0] <= 1  # the step in which it was asked is finished
    told = [line["event"] for line in events(run) if "event" in line]
    assert told == ["started", "paused", "resumed", "checkpoint", "done"]


def test_it_ends_when_it_gets_no_better_and_a_resumed_run_knows(samples, tmp_path, monkeypatch):
    monkeypatch.setattr(NH2STModule, "on_validation_epoch_end", lambda self: self.log("val_pcc", 0.5))
    finetune(samples, tmp_path / "r", config=settings(epochs=9, patience=2), progress=False)
    epochs = [line["epoch"] for line in events(tmp_path / "r") if line.get("event") == "checkpoint"]
    assert epochs == [0, 1, 2, 9]  # the best was the first: the second training ends there, too
    before = [line for line in events(tmp_path / "r") if "train_loss" in line]
    metrics = tmp_path / "r" / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:-1]))  # as if killed before "done"
    finetune(samples, tmp_path / "r", progress=False, resume=True)
    assert [line for line in events(tmp_path / "r") if "train_loss" in line] == before


def test_the_folder_says_how_and_on_what_it_was_made(straight):
    environment = json.loads((straight / "environment.json").read_text())
    assert {"versions", "device", "memory_mb", "processors", "command", "precision"} <= environment.keys()
    assert json.loads((straight / "start.json").read_text())["command"]
    line = next(line for line in events(straight) if line.get("event") == "checkpoint")
    assert line["spots_per_second"] > 0
    assert line["memory_mb"] > 0
    assert line["device"] == "cpu"
    started = next(line for line in events(straight) if line.get("event") == "started")
    assert sum("train_loss" in line for line in events(straight)) == started["total_steps"]
