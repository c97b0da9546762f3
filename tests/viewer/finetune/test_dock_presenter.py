"""The decisions of the fine-tune dock, without a window: what can be started, what a run shows, what comes next."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_nh2st.training.config import TrainingConfig, read_config
from napari_nh2st.training.run import runs
from napari_nh2st.training.run.detached_process import identity
from napari_nh2st.training.run.run_process import RunProcess
from napari_nh2st.training.run.runs import RunLine
from napari_nh2st.viewer.finetune.dock_presenter import READING, FinetunePresenter
from napari_nh2st.viewer.state.preferences import Preferences
from viewer.fakes import FakeServices, card
from viewer.finetune.fakes import FakeThreads
from viewer.finetune.sections_folder import write_sections, write_sheet_of
from viewer.finetune.test_estimate_presenter import FakeTrial

# A stand-in for the command: it says what a run says, holds when it is asked to, and stops when it is asked to.
FAKE = """
import json, pathlib, sys, time
words = sys.argv[1:]
run = pathlib.Path(words[words.index("--out") + 1])
(run / "start.json").write_text("{}")
def say(**row):
    with (run / "metrics.jsonl").open("a") as f:
        f.write(json.dumps(row) + "\\n")
say(event="started", epoch=0, step=0, total_epochs=500, seconds=0.0)
if "13" in words:
    print("error: no section has spots", file=sys.stderr)
    sys.exit(1)
for epoch in range(500):
    time.sleep(0.05)
    loss = 1 / (epoch + 1)
    say(epoch=epoch, step=epoch, train_loss=loss, val_loss=1.2 * loss, val_pcc=0.1, seconds=epoch / 20)
    if (run / "pause").exists():
        say(event="paused", epoch=epoch)
        while (run / "pause").exists() and not (run / "stop").exists():
            time.sleep(0.02)
        say(event="resumed", epoch=epoch)
    if (run / "stop").exists():
        break
(run / "model").mkdir(exist_ok=True)
(run / "model" / "card.json").write_text("{}")
say(event="cancelled", epoch=epoch)
"""


class FakeView:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.settings, self.files, self.models = [], [], []
        self.has_editor = True

    def edit_settings(self, settings) -> None:
        self.settings.append(settings)

    def open_file(self, path) -> bool:
        self.files.append(path)
        return self.has_editor

    def use_model(self, model) -> None:
        self.models.append(model)


class Dock:
    """The presenter with all that it talks to."""

    def __init__(self, program: list[str]) -> None:
        self.view, self.threads, self.trial, self.services = FakeView(), FakeThreads(), FakeTrial(), FakeServices()
        self.preferences = Preferences()
        self.presenter = FinetunePresenter(
            self.view,
            cards=self.services,
            threads=self.threads,
            trial=self.trial,
            colours=lambda: np.ones((256, 4)),
            preferences=self.preferences,
            program=program,
        )
        self.state = self.presenter.state

    def settle(self) -> None:
        self.presenter.sections.read_sheet()
        self.threads.run_all()
        self.presenter.choices.look_up_now()
        self.threads.run_all()

    def fill(self, sheet: Path) -> None:
        """Name a sheet and a folder for the run beside it."""
        self.presenter.sections.type_sheet(str(sheet))
        self.presenter.choose_folder(str(sheet.parent / "run"))
        self.settle()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Follow the run until something is so."""
        until = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < until, self.state
            time.sleep(0.02)
            self.presenter.follow()
            self.threads.run_all()

    @property
    def argv(self) -> list[str]:
        return self.presenter.run.record()["argv"]


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "registry_file", lambda: tmp_path / "data" / "runs.json")


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sections(tmp_path_factory.mktemp("sections"))


@pytest.fixture
def sheet(tmp_path: Path, sections: Path) -> Path:
    folder = Path(shutil.copytree(sections, tmp_path / "data"))
    return write_sheet_of(folder, tmp_path / "samples.csv")


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    return [sys.executable, str(script)]


@pytest.fixture
def dock(program: list[str]) -> Iterator[Dock]:
    made = Dock(program)
    yield made
    for line in made.presenter.queue.state.lines:
        RunProcess(line.folder).stop()
    made.presenter.close()


def ended_run(folder: Path, event: str = "done", **row: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text(json.dumps({"event": event, "epoch": 3, "val_pcc": 0.25, **row}) + "\n")
    return folder


def active_run(folder: Path, *events: str, **row: object) -> Path:
    """Return a run at which this very process is at work."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"event": event, "epoch": 2, "total_epochs": 8, **row} for event in events or ("started",)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = {"pid": os.getpid(), "identity": identity(os.getpid()), "argv": ["nh2st", "finetune", "s.csv"]}
    (folder / "job.json").write_text(json.dumps(record))
    return folder


def test_what_is_missing_is_said_until_the_run_can_be_started(dock, sheet: Path) -> None:
    state = dock.state
    assert state.start.reason_off == "Add sections first"
    assert state.sentence == "Add sections first."
    assert state.settings_off.startswith("Choose a folder for the run first")
    dock.presenter.sections.type_sheet(str(sheet))
    assert state.start.reason_off == "The sections are still being checked"
    dock.settle()
    assert state.start.reason_off == "Choose a folder for the run first"
    dock.presenter.choose_folder(str(sheet.parent / "run"))
    assert (state.start.text, state.start.reason_off, state.sentence) == ("Start", "", "Ready: press Start.")
    assert (state.settings_off, state.stop_off, state.pause_off) == (
        "",
        "No run is at work here, so there is nothing to stop",
        "No run is at work here, so there is nothing to pause",
    )
    dock.presenter.choices.choices.number = 3
    assert state.start.reason_off == "The genes are still being looked up"


def test_a_section_that_stops_the_run_is_pointed_at(dock, sheet: Path) -> None:
    dock.fill(sheet)
    dock.presenter.sections.edit(0, "patient", "")
    assert dock.state.sentence == "A section stops the run: see above."
    assert "which patient" in dock.state.start.reason_off


def test_an_estimate_is_asked_for_when_nothing_is_missing(dock, sheet: Path) -> None:
    dock.fill(sheet)
    estimate = dock.presenter.estimate
    assert estimate.state.question is not None
    estimate.try_now()
    words = dock.trial.started[-1]
    assert words[:2] == ["finetune", str(sheet)]
    assert "--out" not in words
    question = estimate.state.question
    dock.presenter.choices.choices.seed = 5  # takes no time
    assert estimate.state.question == question
    dock.presenter.choices.choices.train = "everything"
    assert estimate.state.question != question
    (sheet.parent / "run").mkdir()
    (sheet.parent / "run" / "settings.yaml").write_text("patience: many\n")
    dock.presenter.update()
    assert "patience" in estimate.state.answer.text
    dock.presenter.sections.type_sheet("")
    assert estimate.state.question is None


def test_the_choices_reach_the_run_through_its_settings(dock, sheet: Path) -> None:
    dock.fill(sheet)
    dock.presenter.edit_settings()
    (settings,) = dock.view.settings
    settings.draft.change("patience", 7)
    settings.save()
    choices = dock.presenter.choices.choices
    choices.panel, choices.train, choices.number, choices.seed, choices.epochs = "most-variable", "last-blocks", 3, 5, 9
    dock.settle()
    dock.presenter.start()
    file = sheet.parent / "run" / "settings.yaml"
    assert read_config(file) == TrainingConfig(
        name="run", patience=7, panel=3, panel_kind="most-variable", train="last-blocks"
    )
    words = dock.argv
    assert [words[words.index(name) + 1] for name in ("--config", "--seed", "--epochs")] == [str(file), "5", "9"]
    assert dock.state.settings_off.startswith("The settings are fixed when a run begins")
    assert dock.preferences.last_run == str(sheet.parent / "run")
    assert dock.preferences.last_sheet == str(sheet)
    dock.presenter.stop()


def test_a_wrong_setting_is_named_and_nothing_is_started(dock, sheet: Path) -> None:
    dock.fill(sheet)
    file = sheet.parent / "run" / "settings.yaml"
    file.parent.mkdir()
    file.write_text("patience: many\n")
    dock.presenter.start()
    assert "patience" in dock.state.sentence
    assert dock.state.status.state == "empty"
    dock.view.has_editor = False
    dock.presenter.edit_settings()
    assert dock.view.settings == []
    assert dock.view.files == [file]
    assert dock.state.sentence == f"This system has no program for the settings: edit {file}"


def test_a_folder_that_cannot_be_used_says_so(dock, sheet: Path) -> None:
    dock.fill(sheet)
    dock.presenter.choose_folder(str(sheet / "run"))  # below a file
    dock.presenter.start()
    assert dock.state.sentence.startswith("The run's folder cannot be used (")
    assert dock.presenter.queue.state.lines == ()


def test_start_follow_reopen_stop(dock, program, sheet: Path) -> None:
    dock.fill(sheet)
    dock.presenter.start()
    assert dock.state.choosing is False
    assert dock.presenter.choices.state.folded != ""
    dock.wait(lambda: dock.state.status.metrics.curve("val_pcc") != [])
    assert dock.state.sentence.startswith("Running")
    assert dock.state.progress.words.startswith("epoch ")
    again = Dock(program)  # as after closing the window and opening another
    again.preferences.last_run, again.preferences.last_sheet = dock.preferences.last_run, dock.preferences.last_sheet
    again.presenter.open_last()
    assert again.state.folder == str(sheet.parent / "run")
    assert again.presenter.sections.state.sheet.path == str(sheet)
    assert again.state.sentence.startswith("Running")
    assert again.state.start.reason_off.startswith("This run is already at work")
    again.presenter.stop()
    assert again.state.stop_off or again.state.status.state == "stopping"
    again.wait(lambda: again.state.status.state == "cancelled")
    assert again.state.sentence.startswith("Stopped. The best model is kept.")
    assert again.state.model == sheet.parent / "run" / "model"
    assert (again.state.progress, again.state.start.text) == (None, "Resume")
    again.presenter.close()


def test_a_long_record_is_read_in_the_background(dock, tmp_path: Path) -> None:
    run = ended_run(tmp_path / "run", "cancelled")
    rows = [{"step": n, "epoch": n // 100, "seconds": n / 10, "train_loss": 0.5} for n in range(20_000)]
    text = "".join(json.dumps(row) + "\n" for row in rows) + (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(text)
    begin = time.thread_time()
    dock.presenter.choose_folder(str(run))
    assert time.thread_time() - begin < 0.1
    assert dock.state.sentence == READING
    dock.wait(lambda: dock.state.status.state == "cancelled")
    assert len(dock.state.status.metrics.rows) == 20_001


def test_a_run_is_held_and_let_go(dock, sheet: Path) -> None:
    dock.fill(sheet)
    dock.presenter.start()
    dock.wait(lambda: dock.state.status.metrics.curve("val_pcc") != [])
    dock.presenter.pause()
    assert dock.state.held
    dock.wait(lambda: dock.state.status.state == "paused")
    assert dock.state.sentence.startswith("Paused")
    told = len(dock.presenter.run.metrics().rows)
    time.sleep(0.15)
    assert len(dock.presenter.run.metrics().rows) == told
    dock.presenter.pause()
    assert not dock.state.held
    dock.wait(lambda: len(dock.state.status.metrics.rows) > told + 1)
    dock.presenter.stop()
    dock.wait(lambda: dock.state.status.state == "cancelled")


def test_a_second_run_waits_for_the_first(dock, sheet: Path, tmp_path: Path) -> None:
    dock.fill(sheet)
    runs.remember(active_run(tmp_path / "first"))
    dock.presenter.queue.refresh()
    dock.threads.run_all()
    assert dock.state.start.text == "Queue"
    assert dock.state.start.tip.startswith("Another run is at work. This one begins by itself")
    dock.presenter.start()
    words = dock.argv
    assert words[words.index("--after") + 1] == str(tmp_path / "first")
    dock.presenter.stop()


def test_a_run_of_the_list_is_opened_and_resumed(dock, sheet: Path, tmp_path: Path) -> None:
    folder = ended_run(tmp_path / "old", "cancelled")
    (folder / "start.json").write_text("{}")
    (folder / "job.json").write_text(json.dumps({"argv": ["nh2st", "finetune", str(sheet)]}))
    line = RunLine(folder, "cancelled", sheet=sheet, resumable=True)
    dock.presenter.open_run(line)
    assert dock.state.folder == str(folder)
    assert dock.presenter.sections.state.sheet.path == str(sheet)
    assert dock.state.start.reason_off == ""  # it goes on as it was begun, whatever is chosen
    dock.presenter.resume_run(line)
    words = dock.argv
    assert words[words.index("finetune") + 1] == str(sheet)
    assert "--resume" in words
    assert "--config" not in words
    dock.presenter.stop()


def test_a_failure_is_one_line(dock, sheet: Path) -> None:
    dock.fill(sheet)
    dock.presenter.choices.choices.seed = 13
    dock.presenter.start()
    dock.wait(lambda: dock.state.status.state == "failed")
    assert dock.state.sentence == "The run ended early: no section has spots"
    assert "no section has spots" in dock.state.log
    assert dock.state.choosing


def test_a_finished_run_hands_its_model_over(dock, tmp_path: Path) -> None:
    run = ended_run(tmp_path / "run7")
    (run / "model").mkdir()
    (run / "model" / "card.json").write_text("{}")
    dock.services.cards[str(run / "model")] = card()
    dock.presenter.choose_folder(str(run))
    dock.threads.run_all()
    assert dock.state.sentence == "Done. Best PCC on inner blocks: 0.250. To train again, choose another folder."
    assert dock.state.start.reason_off == "This folder holds a finished run: choose another one"
    assert dock.presenter.result.state.result.genes.loc["ERBB2"].tolist() == [0.41, 0.33, 0.48]
    dock.presenter.use_model(dock.state.model)
    assert dock.view.models == [run / "model"]
    assert dock.state.sentence == f"The NH2ST dock uses {run / 'model'}."


def test_another_run_in_the_same_state_is_shown_folded_too(dock, tmp_path: Path) -> None:
    for name in ("one", "two"):
        dock.presenter.choose_folder(str(ended_run(tmp_path / name)))
        assert not dock.state.choosing
        assert dock.presenter.choices.state.folded != ""
    dock.presenter.choices.unfold()
    dock.presenter.follow()  # each second: what was opened stays open
    assert dock.presenter.choices.state.folded == ""


def test_a_model_of_a_run_at_work_waits_for_its_end(dock, tmp_path: Path) -> None:
    run = active_run(tmp_path / "run", "started", "checkpoint")
    (run / "model").mkdir()
    (run / "model" / "card.json").write_text("{}")
    dock.presenter.choose_folder(str(run))
    assert dock.state.status.active
    assert dock.state.model is None
    assert dock.state.progress.total == 8
    assert (dock.state.stop_off, dock.state.pause_off) == ("", "")
    assert dock.presenter.map.state.visible
