"""The figures of a finished run: read in the background, with or without a summary, and dropped with the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_nh2st.training.run.summary import FILE, Summary, SummaryLine, write_summary
from napari_nh2st.viewer.finetune.run_result_presenter import NO_RESULT, RunResultPresenter
from viewer.fakes import FakeServices, card
from viewer.finetune.fakes import FakeThreads

FIGURES = {"mean profile": 0.0, "coordinates alone": -0.02, "colour ridge": 0.229, "this model": 0.291}


def summarise(run: Path) -> None:
    lines = [
        SummaryLine(name=name, about=f"About {name}.", pcc=pcc, low=pcc - 0.04, high=pcc + 0.04)
        for name, pcc in FIGURES.items()
    ]
    caveats = ["Patient C is among those trained on.", "Few spots."]
    summary = Summary(kind="same-patient", held_out=["C5"], spots=181, genes=250, lines=lines, caveats=caveats)
    write_summary(summary, run)


@pytest.fixture
def threads() -> FakeThreads:
    return FakeThreads()


@pytest.fixture
def presenter(threads: FakeThreads, tmp_path: Path) -> RunResultPresenter:
    services = FakeServices()
    services.cards[str(tmp_path / "model")] = card()
    return RunResultPresenter(services, threads)


def test_figures_stand_beside_those_of_simpler_models(presenter, threads, tmp_path: Path) -> None:
    summarise(tmp_path)
    presenter.show_model(tmp_path / "model")
    assert presenter.state.result is NO_RESULT
    threads.run_all()
    result = presenter.state.result
    assert result.summary.startswith("Held-out section C5 (same patient): colour ridge 0.229, this model 0.291.")
    assert result.caveats == "Patient C is among those trained on.\nFew spots."
    assert result.sentence.startswith("Mean held-out PCC 0.30")
    assert [line.name for line in result.lines] == list(FIGURES)
    assert result.genes.loc["ERBB2"].tolist() == [0.41, 0.33, 0.48]
    presenter.show_model(tmp_path / "model")  # asked again each second: nothing is read anew
    assert threads.calls == []


def test_a_run_without_a_summary_shows_its_genes(presenter, threads, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"kind": "nonsense"}')
    presenter.show_model(tmp_path / "model")
    threads.run_all()
    result = presenter.state.result
    assert (result.summary, result.lines, result.caveats) == ("", (), "")
    assert len(result.genes) == 1


def test_nothing_stays_of_another_run(presenter, threads, tmp_path: Path) -> None:
    presenter.show_model(tmp_path / "model")
    threads.run_all()
    presenter.show_model(None)
    assert presenter.state.result is NO_RESULT
    presenter.show_model(tmp_path / "model")
    presenter.show_model(None)
    threads.run_all()
    assert presenter.state.result is NO_RESULT


def test_a_card_that_cannot_be_read_is_a_sentence(presenter, threads, tmp_path: Path) -> None:
    presenter.show_model(tmp_path / "other")
    threads.run_all()
    assert presenter.state.result.sentence.startswith("The model's figures cannot be read: ")
