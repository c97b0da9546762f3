"""The list of runs: looked at in the background, one run added or forgotten, and what can be done with each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_nh2st.training.run import runs
from napari_nh2st.training.run.runs import RunLine
from napari_nh2st.viewer.finetune.run_queue_presenter import ReasonsOff, RunQueuePresenter, reasons_off
from viewer.finetune.fakes import FakeThreads


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "data" / "runs.json"
    monkeypatch.setattr(runs, "registry_file", lambda: file)
    return file


@pytest.fixture
def threads() -> FakeThreads:
    return FakeThreads()


@pytest.fixture
def presenter(threads: FakeThreads) -> RunQueuePresenter:
    return RunQueuePresenter(threads)


def ended_run(folder: Path) -> Path:
    folder.mkdir()
    (folder / "metrics.jsonl").write_text(json.dumps({"event": "done", "epoch": 3, "val_pcc": 0.25}) + "\n")
    return folder


def states(presenter: RunQueuePresenter) -> list[tuple[str, str]]:
    return [(line.folder.name, line.state) for line in presenter.state.lines]


def test_runs_are_found_again(presenter, threads, tmp_path: Path) -> None:
    for name in ("one", "two"):
        runs.remember(ended_run(tmp_path / name))
    presenter.refresh()
    threads.run_all()
    assert states(presenter) == [("two", "done"), ("one", "done")]
    assert not presenter.state.active
    presenter.forget(presenter.state.lines[0])
    threads.run_all()
    assert states(presenter) == [("one", "done")]
    assert (tmp_path / "two").is_dir()


def test_a_run_that_was_just_started_is_on_the_list_at_once(presenter, threads, tmp_path: Path) -> None:
    presenter.refresh()
    presenter.add(ended_run(tmp_path / "one"))
    assert states(presenter) == [("one", "starting")]
    assert presenter.state.active
    assert presenter.active_beside(tmp_path / "other") == [tmp_path / "one"]
    assert presenter.active_beside(tmp_path / "one") == []
    threads.run()  # what was asked for before knows nothing of it: it is asked for again
    assert states(presenter) == [("one", "starting")]
    threads.run_all()
    assert states(presenter) == [("one", "done")]


def test_the_same_list_again_is_no_change(presenter, threads, tmp_path: Path) -> None:
    runs.remember(ended_run(tmp_path / "one"))
    changes: list[object] = []
    presenter.state.events.lines.connect(changes.append)
    for _ in range(3):
        presenter.refresh()
        threads.run_all()
    assert len(changes) == 1


def test_a_list_that_cannot_be_written_or_read_is_said(
    presenter, threads, registry: Path, tmp_path, monkeypatch
) -> None:
    registry.parent.write_text("a file where the folder should be")
    presenter.add(tmp_path / "one")
    assert presenter.state.note.startswith("The run continues, but the list of runs cannot be written")
    monkeypatch.setattr(runs, "known_runs", lambda: [][0])
    threads.run_all()
    assert presenter.state.note.startswith("The list of runs cannot be read")


RUN = Path("/runs/one")


@pytest.mark.parametrize(
    ("line", "reasons"),
    [
        (None, ReasonsOff(*["Select a run in the list first"] * 4)),
        (
            RunLine(RUN, "running", resumable=True),
            ReasonsOff(
                resume="This run is already at work",
                use="This run has no model yet",
                forget="This run is at work. Stop it first",
            ),
        ),
        (RunLine(RUN, "done", model=RUN / "model", resumable=True), ReasonsOff(resume="This run has ended")),
        (RunLine(RUN, "cancelled", model=RUN / "model", resumable=True), ReasonsOff()),
        (
            RunLine(RUN, "failed"),
            ReasonsOff(resume="Nothing of this run was kept to continue from", use="This run has no model yet"),
        ),
    ],
)
def test_what_can_be_done_with_a_run(line: RunLine | None, reasons: ReasonsOff) -> None:
    assert reasons_off(line) == reasons
