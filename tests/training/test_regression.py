"""The loss of the learnt part: every row of the table is one that a target asks for, and is right."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import nbinom

from napari_nh2st.model.card import Card
from napari_nh2st.targets import TARGETS, SpotCounts
from napari_nh2st.training.data.label_scale import LabelScale
from napari_nh2st.training.network.regression import LOSSES

GENES = ["A", "B", "C"]
DEPTH = np.exp(np.random.default_rng(0).normal(7.5, 1, 50))
COUNTS = np.random.default_rng(1).poisson(DEPTH[:, None] * [0.02, 0.005, 0.0005]).astype(np.float32)
SPOTS = SpotCounts(COUNTS, DEPTH)


def made(target):
    card = Card(name="m", mpp=1, pitch=16, genes=GENES, label_recipe=target.name, label_facts=target.learn(SPOTS))
    section = SimpleNamespace(labels=card.labels(SPOTS), depth=DEPTH, held_out=np.zeros(len(DEPTH), dtype=bool))
    scale = LabelScale.of([section])
    labels = torch.from_numpy(scale.standardise(section.labels))
    return LOSSES[target.loss](card, scale, [section]), labels, scale, card


def at(spots):
    return torch.zeros(len(spots), dtype=torch.long), torch.from_numpy(spots)


def test_every_loss_is_one_of_a_target():
    assert {target.loss for target in TARGETS.values()} == set(LOSSES)


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_labels_cost_least_the_mean_about_one_and_gradients_are_finite(target):
    loss, labels, _, _ = made(target)
    where, mean = at(np.arange(50)), torch.zeros_like(labels).requires_grad_()
    assert loss(labels, labels, *where) < loss(mean, labels, *where)
    assert float(loss(mean, labels, *where).detach()) == pytest.approx(1, abs=0.1)
    far = (100 * torch.ones_like(labels)).requires_grad_()
    (loss(mean, labels, *where) + loss(far, labels, *where)).backward()
    assert torch.isfinite(mean.grad).all()
    assert torch.isfinite(far.grad).all()


def test_the_deviance_is_that_of_scipy_s_negative_binomial():
    loss, labels, scale, card = made(TARGETS["counts"])
    theta = np.array(card.label_facts["theta"])
    f = np.random.default_rng(2).normal(labels.numpy(), 1).astype(np.float32)
    spots = np.array([3, 7, 20])

    def likelihood(mean):
        return nbinom.logpmf(COUNTS[spots], theta, theta / (theta + mean))

    mean = DEPTH[spots, None] * np.exp(scale.restore(f)[spots]) / 1e4
    deviance = 2 * (likelihood(np.maximum(COUNTS[spots], 1e-12)) - likelihood(mean))
    expected = (deviance / loss.of_share.numpy()).mean()
    found = loss(torch.from_numpy(f)[spots], labels[spots], *at(spots))
    assert float(found) == pytest.approx(expected, rel=1e-3)


def test_a_spot_keeps_its_own_depth():
    """So a step costs what its spots cost, whatever their order."""
    loss, labels, _, _ = made(TARGETS["counts"])
    halves = (np.arange(25), np.arange(25, 50)[::-1].copy())
    each = [float(loss(labels[half] * 0, labels[half], *at(half))) for half in halves]
    assert float(loss(labels * 0, labels, *at(np.arange(50)))) == pytest.approx(np.mean(each), rel=1e-5)
