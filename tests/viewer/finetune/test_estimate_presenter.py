"""What a run will take: asked once, kept, and tried anew where what it depends on has changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_nh2st.training.config import TrainingConfig, read_config
from napari_nh2st.viewer.finetune.estimate_presenter import ESTIMATING, EstimatePresenter

PARTS = {"reading": 10.2, "pretraining the encoder": 300.0, "training": 0.0}
PRINTED = json.dumps({"seconds": 352.0, "memory_mb": 1936.0, "device": "cpu", "parts": PARTS, "spots": 9, "steps": 240})
ABOUT = "about 6 min, 1.9 GB on this machine"


class FakeTrial:
    """Ends when it is told to."""

    def __init__(self) -> None:
        self.started: list[list[str]] = []
        self.running = False
        self.ended = None

    def start(self, words, ended) -> None:
        self.started.append(list(words))
        self.running, self.ended = True, ended

    def end(self) -> None:
        self.running = False

    def print(self, printed: str = PRINTED, errors: str = "") -> None:
        self.ended(printed, errors)


@pytest.fixture
def trial() -> FakeTrial:
    return FakeTrial()


@pytest.fixture
def presenter(trial: FakeTrial) -> Iterator[EstimatePresenter]:
    made = EstimatePresenter(trial)
    yield made
    made.close()


def answered(presenter: EstimatePresenter, trial: FakeTrial, *words: str, **how) -> str:
    """Ask a question, let it settle, and let the process print its answer."""
    presenter.ask(["finetune", *words], **how)
    assert presenter.state.answer.text == ESTIMATING
    presenter.try_now()
    trial.print()
    return presenter.state.answer.text


def test_the_answer_says_time_and_memory_and_the_stages(presenter, trial) -> None:
    assert answered(presenter, trial, "a.csv") == ABOUT
    assert trial.started == [["finetune", "a.csv", "--estimate", "--json"]]
    details = " ".join(presenter.state.answer.details)
    assert "reading 10 s" in details
    assert "pretraining the encoder 5 min" in details
    assert "training 0" not in details
    assert "A run that no longer improves ends earlier" in details


def test_an_answer_is_kept(presenter, trial) -> None:
    answered(presenter, trial, "a.csv")
    answered(presenter, trial, "b.csv")
    presenter.ask(["finetune", "a.csv"])
    presenter.try_now()
    assert presenter.state.answer.text == ABOUT
    assert len(trial.started) == 2


def test_the_same_question_again_changes_nothing(presenter, trial) -> None:
    questions: list[object] = []
    presenter.state.events.question.connect(questions.append)
    for _ in range(3):
        presenter.ask(["finetune", "a.csv"])
        presenter.try_now()
    assert (len(trial.started), len(questions)) == (1, 1)


def test_a_sheet_that_was_mended_is_tried_again(presenter, trial, tmp_path: Path) -> None:
    sheet = tmp_path / "a.csv"
    sheet.write_text("one")
    answered(presenter, trial, str(sheet))
    os.utime(sheet, ns=(1, 1))
    answered(presenter, trial, str(sheet))
    assert len(trial.started) == 2


def test_settings_that_are_in_no_file_yet_go_along(presenter, trial) -> None:
    presenter.ask(["finetune", "a.csv"], config=TrainingConfig(panel=17, genes=["ERBB2"]))
    presenter.try_now()
    words = trial.started[0]
    file = Path(words[words.index("--config") + 1])
    passed = read_config(file)
    assert (passed.panel, passed.genes) == (17, ["ERBB2"])
    trial.print()
    assert not file.parent.exists()
    presenter.ask(["finetune", "a.csv"], config=TrainingConfig(panel=17, genes=["ERBB2"], name="another"))
    assert presenter.state.answer.text == ABOUT  # a name takes no time
    presenter.ask(["finetune", "a.csv"], config=TrainingConfig(panel=18))
    assert presenter.state.answer.text == ESTIMATING


def test_what_went_wrong_is_one_sentence_and_is_not_tried_again(presenter, trial) -> None:
    presenter.ask(["finetune", "bad.csv"])
    presenter.try_now()
    trial.print("", "trying: reading\nerror: bad.csv has no sample\n")
    assert presenter.state.answer.text == "No estimate: bad.csv has no sample"
    presenter.ask(["finetune", "bad.csv"])
    presenter.try_now()
    assert len(trial.started) == 1
    presenter.ask(["finetune", "worse.csv"])
    presenter.try_now()
    trial.print("", "")
    assert presenter.state.answer.text == "No estimate: the process ended without a word"


def test_nothing_to_estimate_says_why_or_nothing(presenter) -> None:
    presenter.ask(None, why_not="Add sections first")
    assert presenter.state.answer.text == "Add sections first"
    presenter.ask(None)
    assert presenter.state.answer.text == ""


@pytest.mark.parametrize("ending", ["another", "stop", "close"])
def test_no_process_goes_on_that_nobody_waits_for(presenter, trial, ending: str) -> None:
    presenter.ask(["finetune", "slow.csv"])
    presenter.try_now()
    late = trial.ended
    if ending == "another":
        presenter.ask(["finetune", "a.csv"])
    else:
        getattr(presenter, ending)()
        assert presenter.state.answer.text == ""
    assert not trial.running
    before = presenter.state.answer
    late(PRINTED, "")  # it had printed already
    assert presenter.state.answer == before


def test_after_the_dock_is_closed_nothing_is_asked(presenter, trial) -> None:
    presenter.close()
    presenter.ask(["finetune", "a.csv"])
    presenter.try_now()
    assert trial.started == []
