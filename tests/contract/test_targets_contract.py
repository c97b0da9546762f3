"""The contract of a target, over every row of the table, and what is special about some rows."""

import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from pydantic import ValidationError

from napari_nh2st.errors import Nh2stError
from napari_nh2st.model.card import UNITS, Card
from napari_nh2st.targets import TARGETS, SpotCounts
from napari_nh2st.training.config import TrainingConfig, with_settings
from support.predictions import card

GENES = ["A", "B", "C", "D"]


def counted(spots=60, seed=0):
    """Counts (spots, 4) of genes with very different shares, in spots of very different depth."""
    rng = np.random.default_rng(seed)
    depth = rng.lognormal(7, 1, spots)
    counts = rng.poisson(depth[:, None] * [0.02, 0.01, 0.002, 0.0005]).astype(np.float32)
    return SpotCounts(counts, counts.sum(axis=1) + np.round(depth))


@pytest.fixture(params=TARGETS)
def target(request):
    return TARGETS[request.param]


def card_of(target, training, **changes):
    return Card(
        name="m", mpp=1, pitch=16, genes=GENES, label_recipe=target.name, label_facts=target.learn(training), **changes
    )


def test_labels_are_numbers_one_a_spot_and_gene(target):
    training = counted()
    labels = card_of(target, training).labels(training)
    assert labels.shape == training.counts.shape
    assert labels.dtype == np.float32
    assert np.isfinite(labels).all()
    assert (labels.std(axis=0) > 0).all()


def test_more_counts_of_a_gene_never_lower_its_label(target):
    training = counted()
    more = SpotCounts(training.counts.copy(), training.depth)
    more.counts[:, 1] += 1
    change = card_of(target, training).labels(more) - card_of(target, training).labels(training)
    assert (change[:, 1] >= 0).all()
    assert change[:, 1].max() > 0
    assert not change[:, [0, 2, 3]].any()


def test_a_new_section_is_labelled_with_the_facts_of_the_training(target):
    """So a spot has the same label whatever lies round it."""
    training, new = counted(), counted(seed=1)
    made = card_of(target, training)
    alone = SpotCounts(new.counts[:5], new.depth[:5])
    assert np.array_equal(made.labels(new)[:5], made.labels(alone))


def test_a_part_of_the_panel_has_the_same_labels(target):
    training = counted()
    whole, part = card_of(target, training), card_of(target, training).only(["D", "B"])
    narrow = SpotCounts(training.counts[:, [3, 1]], training.depth)
    assert np.array_equal(part.labels(narrow), whole.labels(training)[:, [3, 1]])


def test_a_card_keeps_the_facts_to_the_digit(target):
    training = counted()
    made = card_of(target, training)
    again = Card.model_validate_json(made.model_dump_json(exclude_defaults=True))
    assert again == made
    assert np.array_equal(again.labels(training), made.labels(training))


def test_a_card_has_the_unit_and_a_target_is_explained(target):
    made = card_of(target, counted())
    assert made.unit == target.unit == UNITS[target.name]
    assert target.title
    assert target.about.endswith(".")


def test_units_tell_targets_apart():
    assert len({target.unit for target in TARGETS.values()}) == len(TARGETS)


def test_an_empty_spot_has_labels_too(target):
    training = counted()
    empty = SpotCounts(np.zeros((1, 4), np.float32), np.zeros(1))
    assert np.isfinite(card_of(target, training).labels(empty)).all()


def test_a_card_without_the_facts_of_its_labels_is_refused():
    with pytest.raises(ValidationError, match="share"):
        card(label_recipe="pearson-residuals")
    facts = {"share": [0.1], "theta": 100.0, "clip": 7.0}
    with pytest.raises(ValidationError, match="another length"):
        card(label_recipe="pearson-residuals", label_facts=facts)
    with pytest.raises(ValidationError, match="is not known"):
        card(label_recipe="sqrt")


def test_settings_refuse_a_target_that_is_not_there():
    with pytest.raises(Nh2stError, match="pearson-residuals"):
        with_settings(TrainingConfig(), {"labels": "sqrt"})


def test_residuals_are_those_of_scanpy():
    """On the training matrix: every gene that was measured is in it, so that both know the same depth."""
    whole = counted()
    training = SpotCounts(whole.counts, whole.counts.sum(axis=1, dtype=np.float64))
    data = AnnData(training.counts.copy())
    sc.experimental.pp.normalize_pearson_residuals(data)
    found = card_of(TARGETS["pearson-residuals"], training).labels(training)
    assert np.abs(found).max() > 2
    assert np.allclose(found, data.X, atol=1e-4)


def test_residuals_do_not_follow_depth():
    training = counted(spots=2000)
    labels = {
        name: card_of(TARGETS[name], training).labels(training)[:, 2] for name in ("ln1p-cp10k", "pearson-residuals")
    }
    follows = {name: np.corrcoef(of, np.log(training.depth))[0, 1] for name, of in labels.items()}
    assert abs(follows["pearson-residuals"]) < 0.1


def test_shares_of_counts_follow_neither_depth_nor_noise():
    """Where a gene has the training's share everywhere, its value does not follow depth, and hardly varies."""
    training = counted(spots=2000)
    target = TARGETS["counts"]
    labels, share = card_of(target, training).labels(training), np.array(target.learn(training)["share"])
    assert np.allclose(labels.mean(axis=0), np.log(1e4 * share), atol=0.05)
    assert abs(np.corrcoef(labels[:, 2], np.log(training.depth))[0, 1]) < 0.1
    assert labels.std(axis=0).max() < 0.3


def test_theta_is_found_by_moments():
    rng, depth, share, theta = np.random.default_rng(0), np.full(20_000, 2000.0), 0.01, 3.0
    counts = rng.poisson(depth * share * rng.gamma(theta, 1 / theta, len(depth)))[:, None].astype(np.float32)
    assert TARGETS["counts"].learn(SpotCounts(counts, depth))["theta"][0] == pytest.approx(theta, rel=0.1)
