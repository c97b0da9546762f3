"""What the learnt head learns, and how much of its answer is in the prediction."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_nh2st.model.card import Card
from napari_nh2st.training.config import TrainingConfig, read_config
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.data.mixup import mix
from napari_nh2st.training.data.targets import Targets
from napari_nh2st.training.network.lessons import low_rank
from napari_nh2st.training.run import learnt_share
from napari_nh2st.training.run.learnt_share import Answers, best_share, choose_share, chooses_share


def answers(own, n=200, genes=6, kernel=1.0, noise=0.5):
    """Labels of two parts: the kernel head finds one, scaled; the learnt head finds `own` of the other, and noise."""
    rng = np.random.default_rng(0)
    first, second, error = (rng.normal(size=(n, genes)) for _ in range(3))
    return Answers(
        first + second + 3, kernel * first, own * second + noise * error, np.arange(n), LabelScale.none(genes)
    )


def test_the_share_is_that_of_the_highest_correlation():
    one = answers(own=1.0, kernel=2.0)
    scores = []
    grid = np.linspace(0, 1, 101)
    for share in grid:
        both = one.kernel + share * one.learnt
        scores.append(np.mean([np.corrcoef(one.labels[:, g], both[:, g])[0, 1] for g in range(6)]))
    wide = answers(own=4.0, kernel=2.0, noise=2.0)  # the same, four times as large
    assert best_share([one]) == 1.0  # more would be better still
    assert grid[int(np.argmax(scores))] == 1.0
    scores = []
    for share in grid:
        both = wide.kernel + share * wide.learnt
        scores.append(np.mean([np.corrcoef(wide.labels[:, g], both[:, g])[0, 1] for g in range(6)]))
    assert best_share([wide]) == pytest.approx(grid[int(np.argmax(scores))], abs=0.05)


def test_a_head_that_learnt_nothing_has_no_share_and_a_level_is_no_skill():
    one = answers(own=0.0)
    against = replace(one, learnt=-one.labels)
    assert best_share([against]) == 0
    assert best_share([one]) < 0.2
    level = replace(one, learnt=one.learnt + 50)  # of another section
    assert best_share([level]) == pytest.approx(best_share([one]))


def test_the_spots_are_predicted_with_the_share_in_label_units():
    one = answers(own=1.0)
    scale = LabelScale(np.full(6, 2.0, np.float32), np.full(6, 3.0, np.float32))
    block = replace(one, scale=scale).together(0.25)
    assert np.allclose(block.measured, 3 * one.labels + 2, atol=1e-5)
    assert np.allclose(block.predicted, 3 * (one.kernel + 0.25 * one.learnt) + 2, atol=1e-5)


def test_where_nothing_can_be_left_out_the_learnt_head_answers_in_full():
    assert best_share([]) == 1.0


def test_sections_are_left_out_in_turn_and_blocks_that_are_held_out_already_stay_out(monkeypatch):
    class Marked(SimpleNamespace):
        scored = property(lambda self: self.held_out & ~self.inner)

    first = np.arange(8) < 2
    sections = [
        Marked(
            name=name,
            patient="P",
            labels=np.zeros((8, 3)),
            depth=np.full(8, 500.0),
            held_out=first.copy(),
            inner=first.copy(),
        )
        for name in "ABC"
    ]
    seen = []

    def set_up():
        seen.append([(s.held_out.copy(), s.scored.copy()) for s in sections])
        return SimpleNamespace()

    monkeypatch.setattr(learnt_share, "train_aside", lambda setup, cancelled: None)
    monkeypatch.setattr(learnt_share, "_answers", lambda setup, module: [answers(own=1.0)])
    told = []
    chosen = choose_share(sections, set_up, told=lambda *counts: told.append(counts))
    assert chosen.share == pytest.approx(best_share([answers(own=1.0)]))
    assert chosen.spots.what == "sections"
    assert len(chosen.spots.blocks) == 3
    assert chosen.spots.depth == 500
    assert told[0] == (0, 3)
    assert told[-1] == (3, 3)
    for part, marks in enumerate(seen):
        left_out = [i for i, (_, scored) in enumerate(marks) if scored.any()]
        assert len(left_out) == 1, part
        held_out, scored = marks[left_out[0]]
        assert held_out.all()
        assert np.flatnonzero(scored).tolist() == [2, 3, 4, 5, 6, 7]
        assert all(h[:2].all() and not h[2:].any() for i, (h, _) in enumerate(marks) if i != left_out[0])
    assert len({tuple(s.any() for _, s in marks) for marks in seen}) == 3
    assert all(s.held_out.sum() == 2 and s.inner.sum() == 2 for s in sections)  # as before


def test_it_is_chosen_where_further_trainings_are_cheap():
    card = Card(name="m", licence="none", mpp=1.0, pitch=144, genes=["A"], gene_means=[0.0])
    assert chooses_share(card, TrainingConfig())
    for settings in ({"kernel_share": 0.5}, {"kernel_share": 0}, {"train": "everything"}, {"devices": 2}):
        assert not chooses_share(card, TrainingConfig(**settings)), settings


def test_the_word_auto_is_understood(tmp_path):
    (tmp_path / "s.yaml").write_text("kernel_share: auto\n")
    assert read_config(tmp_path / "s.yaml") == TrainingConfig()


def test_what_is_left_is_learnt_in_its_main_directions():
    rng = np.random.default_rng(0)
    whole = (rng.normal(size=(50, 2)) @ rng.normal(size=(2, 9))).astype(np.float32)
    assert np.allclose(low_rank(whole, 2), whole, atol=1e-5)
    assert np.linalg.matrix_rank(low_rank(rng.normal(size=(50, 9)), 3), tol=1e-4) == 3


def test_mixed_spots_lie_between_two_of_the_batch():
    torch.manual_seed(0)
    m = 16
    values = torch.arange(m, dtype=torch.float32)
    targets = Targets(
        values.view(m, 1, 1).expand(m, 9, 4), torch.ones(m, 9, dtype=torch.bool), torch.rand(m, 9) > 0.2,
        (10 * values).view(m, 1, 1).expand(m, 9, 3), torch.arange(m), torch.zeros(m, dtype=torch.long),
    )  # fmt: skip
    mixed = mix(targets, 1.0)
    at = mixed.embeddings[:, 0, 0]
    assert torch.allclose(mixed.labels[:, 0, 0], 10 * at)  # of the same two, by the same share
    assert not torch.equal(at, values)
    assert (at - values).abs().max() <= (m - 1) / 2 + 1e-4  # its own share is never the smaller
    assert (mixed.known <= targets.known).all()
    assert torch.equal(mixed.present, targets.present)
