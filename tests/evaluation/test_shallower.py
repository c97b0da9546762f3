"""Intervals that are widened for a section which was measured less deeply than those they were calibrated on."""

import numpy as np
import pytest

from napari_nh2st.evaluation.coverage import coverage, coverage_words
from napari_nh2st.evaluation.shallower import thinned_limits
from napari_nh2st.targets import LN1P_CP10K, TARGETS, SpotCounts

SPOTS, GENES, DEEP, SIGMA = 300, 40, 10_000.0, 0.4


@pytest.fixture(scope="module")
def section():
    """What a model predicts of some spots, half-widths that hold 90% of deep counts, and these counts."""
    rng = np.random.default_rng(0)
    predicted = rng.uniform(0.2, 3.5, (SPOTS, GENES)).astype(np.float32)
    depth = DEEP * rng.lognormal(0, 0.3, SPOTS)
    values = predicted + rng.normal(0, SIGMA, predicted.shape).astype(np.float32)
    counts = np.rint(LN1P_CP10K.counts(values, depth)).astype(np.int64)
    half_widths = np.full(predicted.shape, 1.645 * SIGMA, dtype=np.float32)
    return predicted, half_widths, counts, depth


def thinned(counts, depth, ratio):
    few = np.random.default_rng(1).binomial(counts, ratio)
    return LN1P_CP10K.make(SpotCounts(few.astype(np.float32), depth * ratio), {}), depth * ratio


def held_by(section, ratio, level=0.9):
    predicted, half_widths, counts, depth = section
    truth, depth = thinned(counts, depth, ratio)
    spread = np.full(GENES, 9.0)
    return coverage(truth, predicted, half_widths, spread, level, depth=depth, calibrated_at=DEEP, target=LN1P_CP10K)


@pytest.mark.parametrize("ratio", [0.05, 0.3])
def test_they_hold_what_is_claimed_where_the_others_do_not(section, ratio):
    found = held_by(section, ratio)
    assert found["held"] < 0.75
    assert 0.88 < found["held_at_depth"] < 0.97  # rather more than claimed: counts are whole numbers
    assert found["depth"] == pytest.approx(ratio, rel=0.1)
    assert f"measured {100 * found['depth']:.0f}% as deeply as the training, they hold " in coverage_words(found)


def test_a_section_as_deep_has_the_same(section):
    found = held_by(section, 1.0)
    assert found["held_at_depth"] == found["held"]
    assert found["held"] == pytest.approx(0.9, abs=0.02)
    assert "depth" not in coverage_words(found)


def test_nothing_is_said_of_depth_where_it_is_not_known(section):
    predicted, half_widths, counts, depth = section
    truth, _ = thinned(counts, depth, 0.1)
    for missing in ({}, {"depth": depth, "target": LN1P_CP10K}, {"depth": depth, "calibrated_at": DEEP}):
        found = coverage(truth, predicted, half_widths, np.full(GENES, 9.0), **missing)
        assert "depth" not in found
        assert "held_at_depth" not in found


def test_they_are_the_same_at_each_call_and_hold_zero_where_few_counts_are_left(section):
    predicted, half_widths, _, depth = section
    first, again = (
        thinned_limits(predicted[:9], half_widths[:9], np.r_[0.0, 0.01 * depth[1:9]], 0.01, 0.9, LN1P_CP10K)
        for _ in range(2)
    )
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    low, high = first
    assert (low <= high).all()
    assert (low[:, predicted[:9].min(axis=0) < 1] == 0).any()


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.counts is not None])
def test_counts_are_those_of_the_labels(name):
    rng = np.random.default_rng(2)
    spots = SpotCounts(rng.poisson(3, (20, 5)).astype(np.float32), rng.uniform(50, 5000, 20))
    back = TARGETS[name].counts(TARGETS[name].make(spots, {}), spots.depth)
    np.testing.assert_allclose(back, spots.counts, rtol=1e-4, atol=1e-3)
