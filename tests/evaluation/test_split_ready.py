"""What a model's intervals hold on the test sections of a split."""

import numpy as np
import pytest

from napari_nh2st.evaluation.baselines import BASELINES
from napari_nh2st.evaluation.scores import Truth
from napari_nh2st.evaluation.split_ready import BlindRun, ReadySplit
from napari_nh2st.model.intervals import fit_intervals
from support.models import small_card

GENES = 4
RNG = np.random.default_rng(0)


def section(n, error, lacks=()):
    """A test section, and predictions that are off by `error` standard deviations."""
    predicted = RNG.normal(1, 1, (n, GENES)).astype(np.float32)
    labels = (predicted + RNG.normal(0, error, (n, GENES))).astype(np.float32)
    labels[:, list(lacks)] = np.nan
    return Truth.of("S", labels, RNG.uniform(0, 1000, (n, 2)), np.ones(GENES)), predicted


def test_the_share_held_is_over_measured_genes_and_by_spots_over_sections():
    card = small_card(n_genes=GENES, gene_means=[1.0] * GENES, gene_stds=[1.0] * GENES)
    predicted = RNG.normal(1, 1, (2000, GENES)).astype(np.float32)
    measured = (predicted + RNG.normal(size=(2000, GENES))).astype(np.float32)
    intervals = fit_intervals(card, [measured], [predicted], "patients", share=0.0)
    (one, first), (two, second) = section(300, 1.0), section(900, 2.0, lacks=[2])
    ready = ReadySplit(card, [], [], np.ones(GENES, np.float32), [one, two])
    run = BlindRun([first, second], intervals)
    figures, _ = ready.figures(BASELINES["nh2st-context"], [run, run], [0, 1])
    held = [
        np.mean(np.abs(truth.labels - p)[:, truth.measured] <= np.asarray(intervals.widths[1])[truth.measured])
        for truth, p in ((one, first), (two, second))
    ]
    assert abs(held[0] - 0.9) < 0.03
    assert held[1] < 0.7
    assert figures["intervals"]["held"] == pytest.approx(np.average(held, weights=[300, 900]), abs=1e-3)
    assert figures["intervals"]["claimed"] == 0.9
    assert figures["intervals"]["held_out"] == "patients"


def test_a_model_without_intervals_claims_nothing():
    card = small_card(n_genes=GENES, gene_means=[1.0] * GENES, gene_stds=[1.0] * GENES)
    truth, predicted = section(60, 1.0)
    ready = ReadySplit(card, [], [], np.ones(GENES, np.float32), [truth])
    assert "intervals" not in ready.figures(BASELINES["nh2st-kernel"], [BlindRun([predicted])], [0])[0]
