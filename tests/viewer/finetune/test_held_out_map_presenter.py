"""The map of held-out spots: read in the background, a gene kept while the run writes on."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from napari_nh2st.training.run.held_out_prediction import (
    FILE,
    HeldOutPrediction,
    SectionPrediction,
    write_held_out,
)
from napari_nh2st.viewer.finetune.held_out_map_presenter import NOTHING_YET, HeldOutMapPresenter
from viewer.finetune.fakes import FakeThreads

GENES = ["KRT8", "ERBB2", "FLAT"]


def section(name: str, noise: float, *, around: int = 20) -> SectionPrediction:
    """Return 6 x 5 spots 100 apart; KRT8 is predicted with noise, ERBB2 with ten times as much."""
    rng = np.random.default_rng(0)
    xy = np.stack(np.meshgrid(np.arange(6), np.arange(5)), axis=-1).reshape(-1, 2).astype(np.float32) * 100
    measured = np.concatenate([xy / 100, np.ones((30, 1))], axis=1).astype(np.float32)
    off = rng.normal(size=measured.shape) * [noise, 10 * noise, 0]
    others = rng.uniform(-500, 1000, (around, 2)).astype(np.float32)
    return SectionPrediction(name, 100.0, others, xy, measured, (measured + off).astype(np.float32))


def write(run: Path, epoch: int | None, *sections: SectionPrediction) -> None:
    run.mkdir(exist_ok=True)
    write_held_out(HeldOutPrediction(epoch, "sections", GENES, "ln(1 + counts per 10,000)", list(sections)), run)
    second = 1000 if epoch is None else epoch
    os.utime(run / FILE, ns=(second * 10**9, second * 10**9))  # later than the last, however coarse the clock


@pytest.fixture
def threads() -> FakeThreads:
    return FakeThreads()


@pytest.fixture
def presenter(threads: FakeThreads) -> HeldOutMapPresenter:
    return HeldOutMapPresenter(threads, lambda: np.ones((256, 4)))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def follow(presenter: HeldOutMapPresenter, threads: FakeThreads, run: Path) -> None:
    presenter.show_run(run)
    threads.run_all()


def rewrite(presenter: HeldOutMapPresenter, threads: FakeThreads, run: Path, *written: object) -> None:
    write(run, *written)
    presenter.refresh()
    threads.run_all()


def test_nothing_is_shown_before_there_is_a_map(presenter, threads, run) -> None:
    assert not presenter.state.visible
    follow(presenter, threads, run)
    assert presenter.state.visible
    assert presenter.state.sentence == NOTHING_YET
    assert presenter.state.spots is None
    presenter.show_run(run, active=False)
    assert not presenter.state.visible


def test_a_gene_stays_while_the_run_writes_on(presenter, threads, run) -> None:
    write(run, 0, section("C5", 0.1))
    follow(presenter, threads, run)
    state = presenter.state
    assert presenter.gene == "KRT8"  # the best predicted one
    assert state.choice.genes == ("KRT8", "ERBB2", "FLAT")
    assert [words.split()[:1] for words in state.choice.words] == [["PCC"], ["PCC"], []]
    presenter.choose_gene("ERBB2")
    assert state.sentence.startswith("ERBB2, C5, epoch 1: PCC 0.")
    assert state.sentence.endswith(" across 30 spots")
    before = state.spots
    rewrite(presenter, threads, run, 11, section("C5", 0.01))
    assert "epoch 12" in state.sentence
    assert presenter.gene == "ERBB2"
    assert state.spots.limits == before.limits  # colours mean the same in every epoch
    assert not np.array_equal(state.spots.values[1], before.values[1])
    np.testing.assert_array_equal(state.spots.values[0], before.values[0])


def test_a_flat_gene_has_no_correlation(presenter, threads, run) -> None:
    write(run, 0, section("C5", 0.1))
    follow(presenter, threads, run)
    presenter.choose_gene("FLAT")
    assert "no PCC" in presenter.state.sentence


def test_the_section_stays_too(presenter, threads, run) -> None:
    write(run, 0, section("C5", 0.1), section("C6", 0.5, around=0))
    follow(presenter, threads, run)
    assert presenter.state.sections == ("C5", "C6")
    presenter.choose_section(1)
    assert presenter.state.sentence.startswith("KRT8, C6, epoch 1")
    rewrite(presenter, threads, run, 1, section("C4", 0.1), section("C5", 0.1), section("C6", 0.5))
    assert presenter.state.section == 2
    assert presenter.state.sentence.startswith("KRT8, C6, epoch 2")
    rewrite(presenter, threads, run, 2, section("C5", 0.1))
    assert presenter.state.section == 0


def test_the_finished_model_is_named(presenter, threads, run) -> None:
    write(run, 3, section("C5", 0.1))
    follow(presenter, threads, run)
    assert "epoch 4" in presenter.state.sentence
    rewrite(presenter, threads, run, None, section("C5", 0.1))
    assert "finished model" in presenter.state.sentence


def test_what_is_read_of_another_run_is_dropped(presenter, threads, run, tmp_path) -> None:
    write(run, 0, section("C5", 0.1))
    presenter.show_run(run)
    presenter.show_run(tmp_path / "none")
    threads.run_all()
    assert presenter.prediction is None
    presenter.close()
    presenter.refresh()
    assert threads.calls == []


def test_a_file_that_cannot_be_read_leaves_the_last_one(presenter, threads, run) -> None:
    write(run, 0, section("C5", 0.1))
    follow(presenter, threads, run)
    (run / FILE).write_bytes(b"broken")
    presenter.refresh()
    threads.run_all()
    assert presenter.prediction is not None


def test_a_map_that_was_written_while_one_was_read_is_read_too(presenter, threads, run) -> None:
    write(run, 0, section("C5", 0.1))
    presenter.show_run(run)
    for _ in range(3):
        presenter.refresh()
    assert len(threads.calls) == 1
    threads.run()
    assert len(threads.calls) == 1
    threads.run()  # the same file again: nothing to do
    assert threads.calls == []


def test_an_error_is_a_sentence(presenter, run) -> None:
    class Broken:
        def call(self, function, *args, then, failed) -> None:
            failed(OSError("the disk is gone"))

    broken = HeldOutMapPresenter(Broken(), lambda: np.ones((256, 4)))
    broken.show_run(run)
    assert broken.state.sentence.startswith("The map cannot be read: ")
    assert "the disk is gone" in broken.state.sentence
