import time

import numpy as np
import pytest
from scipy.stats import pearsonr

from napari_nh2st import metrics


def _data(n=120, genes=8, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, genes)) + 3
    return truth, 0.5 * truth + rng.normal(size=(n, genes)), rng.uniform(0, 1000, size=(n, 2))


def test_pcc_equals_scipy():
    truth, prediction, _ = _data()
    expected = [pearsonr(truth[:, g], prediction[:, g]).statistic for g in range(truth.shape[1])]
    found = metrics.pcc(truth, prediction)
    np.testing.assert_allclose(found.per_gene, expected, atol=1e-12)
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.median == pytest.approx(np.median(expected))
    assert found.n_constant == 0


def test_pcc_equals_scipy_far_from_zero_and_in_float32():
    truth, prediction, _ = _data(seed=1)
    truth, prediction = truth + 1e5, (prediction + 1e3).astype(np.float32)
    expected = [pearsonr(t, p.astype(float)).statistic for t, p in zip(truth.T, prediction.T, strict=True)]
    np.testing.assert_allclose(metrics.pcc(truth, prediction).per_gene, expected, atol=1e-9)


def test_constant_genes_count_as_zero_and_are_counted():
    truth, prediction, _ = _data()
    truth[:, 1] = 0.1 + 0.2
    prediction[:, 2] = 7
    prediction[:, 3] = np.float32(0.1) + np.linspace(0, 1e-8, len(prediction))  # rounding, not signal
    found = metrics.pcc(truth, prediction)
    assert list(np.flatnonzero(found.constant)) == [1, 2, 3]
    assert found.n_constant == 3
    assert not found.per_gene[[1, 2, 3]].any()
    assert metrics.pcc([[1.0, 2.0]], [[3.0, 4.0]]).n_constant == 2  # one spot


def test_a_mean_profile_scores_zero_across_spots():
    truth, _, _ = _data()
    assert metrics.pcc(truth, np.broadcast_to(truth.mean(axis=0), truth.shape)).mean == 0


def test_errors_per_gene():
    truth, prediction = np.array([[0.0, 1.0], [2.0, 1.0]]), np.array([[1.0, 1.0], [-1.0, 1.0]])
    assert metrics.mse(truth, prediction).tolist() == [5.0, 0.0]
    assert metrics.mae(truth, prediction).tolist() == [2.0, 0.0]
    assert metrics.mse_ratio(truth, prediction, [1.0, 1.0]) == pytest.approx(5.0)
    assert metrics.mse_ratio(truth, truth, [1.0, 1.0]) == 0
    assert metrics.mse_ratio(truth * 0, prediction, [0.0, 0.0]) == float("inf")


@pytest.mark.parametrize(
    ("truth", "prediction"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.full((2, 2), np.nan), np.ones((2, 2))),
    ],
)
def test_what_cannot_be_scored_is_refused(truth, prediction):
    with pytest.raises(ValueError, match=r"spots|finite"):
        metrics.pcc(truth, prediction)


def test_blocks_hold_neighbours_and_cover_the_box():
    y, x = np.mgrid[0:20, 0:30]
    centres = np.stack([x.ravel(), y.ravel()], axis=1) * 50.0
    block = metrics.spatial_blocks(centres)
    assert block.min() == 0
    assert 20 <= block.max() + 1 <= 42
    for b in range(block.max() + 1):
        assert np.ptp(centres[block == b], axis=0).max() < 300
    assert metrics.spatial_blocks(centres, side=1e6).max() == 0
    assert metrics.spatial_blocks(np.zeros((4, 2))).tolist() == [0, 0, 0, 0]
    assert metrics.spatial_blocks([[0, 0], [0, 300], [0, 600]]).tolist() == [0, 1, 2]


def test_a_draw_is_the_score_of_the_drawn_spots():
    truth, prediction, centres = _data(n=60, genes=4)
    block = metrics.spatial_blocks(centres, count=9)
    draws = metrics.bootstrap(truth, prediction, block, resamples=5, seed=3)
    count = block.max() + 1
    drawn = np.random.default_rng(3).multinomial(count, np.full(count, 1 / count), size=5)
    for i, times in enumerate(drawn):
        rows = np.repeat(np.arange(60), times[block])
        np.testing.assert_allclose(draws.pcc[i], metrics.pcc(truth[rows], prediction[rows]).per_gene, atol=1e-10)
        np.testing.assert_allclose(draws.mse[i], metrics.mse(truth[rows], prediction[rows]))
        np.testing.assert_allclose(draws.mae[i], metrics.mae(truth[rows], prediction[rows]))


def test_constant_within_a_draw_is_zero():
    truth = np.zeros((40, 1))
    truth[0] = 1.0  # one spot alone varies: most draws miss it or hold nothing else
    draws = metrics.bootstrap(truth, np.arange(40.0)[:, None], np.arange(40) // 4, resamples=200)
    assert np.isfinite(draws.pcc).all()
    assert (draws.pcc == 0).any()


def test_the_interval_covers_and_is_repeatable():
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=(200, 1))
        prediction = 0.5 * truth + np.sqrt(0.75) * rng.normal(size=(200, 1))  # true correlation 0.5
        block = metrics.spatial_blocks(rng.uniform(size=(200, 2)))
        low, high = metrics.interval(metrics.bootstrap(truth, prediction, block, resamples=300).pcc)
        covered += bool(low[0] < 0.5 < high[0])
    assert covered >= 33
    again = [metrics.bootstrap(truth, prediction, block, resamples=20, seed=5).pcc for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_blocks_widen_the_interval_of_neighbours_that_agree():
    rng = np.random.default_rng(0)
    truth, prediction = (np.repeat(a, 10, axis=0) for a in rng.normal(size=(2, 20, 1)))
    widths = []
    for block in (np.repeat(np.arange(20), 10), np.arange(200)):
        low, high = metrics.interval(metrics.bootstrap(truth, prediction, block).pcc[:, 0])
        widths.append(float(high - low))
    assert widths[0] > 2 * widths[1]


def test_a_thousand_resamples_are_quick():
    truth, prediction, centres = _data(n=200, genes=250)
    start = time.process_time()
    draws = metrics.bootstrap(truth, prediction, metrics.spatial_blocks(centres))
    low, high = metrics.interval(draws.pcc)
    assert time.process_time() - start < 3
    assert draws.pcc.shape == (1000, 250)
    assert ((low <= high) & (low > -1) & (high < 1)).all()
    with pytest.raises(ValueError, match="level"):
        metrics.interval(draws.pcc, 95)


def _with_depth(seed=0, n=80, genes=5):
    """Make counts that depth explains in part, and a prediction that sees both depth and more."""
    rng = np.random.default_rng(seed)
    depth = np.exp(rng.normal(8, 0.6, n))
    more = rng.normal(size=(n, genes))
    counts = rng.poisson(depth[:, None] * np.exp(0.5 * more) * np.geomspace(1e-4, 1e-2, genes)).astype(np.float64)
    return counts, depth, more + 2 * np.log(depth)[:, None] + rng.normal(size=(n, genes))


def _residuals(values, given):
    """Take a plain regression with an intercept out of every column."""
    design = np.column_stack([np.ones(len(given)), given])
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def test_partial_pcc_is_the_correlation_of_regression_residuals():
    counts, depth, predicted = _with_depth()
    z = np.log(depth)
    found = metrics.partial_pcc(np.log1p(counts), predicted, z)
    t, p = _residuals(np.log1p(counts), z), _residuals(predicted, z)
    assert found.per_gene == pytest.approx([pearsonr(t[:, g], p[:, g])[0] for g in range(5)], abs=1e-9)
    assert not found.constant.any()
    assert (metrics.pcc(np.log1p(counts), predicted).per_gene > found.per_gene + 0.05).all()


def test_what_follows_from_depth_alone_counts_as_0_and_a_depth_that_does_not_vary_takes_nothing():
    counts, depth, predicted = _with_depth()
    z = np.log(depth)
    alone = np.outer(z, [1, -2, 3, 0.1, 5]).astype(np.float32) + 7
    found = metrics.partial_pcc(np.log1p(counts), alone, z)
    assert found.per_gene.tolist() == [0] * 5
    assert found.n_constant == 5
    level = metrics.partial_pcc(np.log1p(counts), predicted, np.full(len(z), 3.0))
    assert level.per_gene == pytest.approx(metrics.pcc(np.log1p(counts), predicted).per_gene)
    still = np.ones_like(counts)
    assert metrics.partial_pcc(still, predicted, z).n_constant == 5
    for wrong in (z[1:], np.where(z > 8, np.nan, z)):
        with pytest.raises(ValueError, match="covariate"):
            metrics.partial_pcc(counts, predicted, wrong)


def test_a_draw_of_partial_pcc_is_that_of_the_drawn_spots():
    counts, depth, predicted = _with_depth()
    truth, z, blocks = np.log1p(counts), np.log(depth), np.repeat(np.arange(8), 10)
    found = metrics.bootstrap(truth, predicted, blocks, given=z, resamples=20, seed=3)
    plain = metrics.bootstrap(truth, predicted, blocks, resamples=20, seed=3)
    assert plain.partial is None
    assert np.allclose(found.pcc, plain.pcc)
    times = np.random.default_rng(3).multinomial(8, np.full(8, 1 / 8), size=20)
    for drawn, row in zip(times, found.partial, strict=True):
        at = np.concatenate([np.tile(np.flatnonzero(blocks == b), k) for b, k in enumerate(drawn)]).astype(int)
        assert row == pytest.approx(metrics.partial_pcc(truth[at], predicted[at], z[at]).per_gene, abs=1e-9)
    alone = np.outer(z, np.ones(5)).astype(np.float32)
    assert (metrics.bootstrap(truth, alone, blocks, given=z, resamples=20).partial == 0).all()


def test_pearson_residuals_are_scanpy_s():
    import anndata as ad
    import scanpy as sc

    rng = np.random.default_rng(1)
    counts = rng.poisson(rng.gamma(1, 2, (30, 12)) * rng.gamma(2, 1, (30, 1))).astype(np.float32)
    counts[:, 3], counts[:, 4] = 0, 1
    counts[0, 5] = 900  # clipped
    data = ad.AnnData(counts.copy())
    with np.errstate(invalid="ignore"):
        sc.experimental.pp.normalize_pearson_residuals(data)
    found = metrics.pearson_residuals(counts[:, :8], counts.sum(axis=1))
    expected = np.nan_to_num(data.X[:, :8])  # scanpy divides 0 by 0 for a gene without counts
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert found[0, 5] == pytest.approx(np.sqrt(30))
    assert (found[:, 3] == 0).all()
    share = counts.sum(axis=0, dtype=float) / counts.sum(dtype=float)
    again = metrics.pearson_residuals(counts, counts.sum(axis=1), share=share, clip=2)
    assert np.abs(again).max() == 2
    assert again[:, :8] == pytest.approx(np.clip(found, -2, 2))
    for depth in (counts.sum(axis=1)[1:], np.zeros(30)):
        with pytest.raises(ValueError, match=r"depth|no shares"):
            metrics.pearson_residuals(counts, depth)
