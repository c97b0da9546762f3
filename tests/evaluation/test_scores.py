import numpy as np
import pytest
from scipy.stats import pearsonr

from napari_nh2st.evaluation.scores import Truth, score

RNG = np.random.default_rng(0)
GENES = ["A", "B", "C", "D"]


def truth(n=60, constant=False):
    labels = RNG.normal(size=(n, 4)).astype(np.float32)
    if constant:
        labels[:, 3] = 1
    return Truth.of("S", labels, RNG.uniform(0, 1000, (n, 2)), np.zeros(4))


def test_figures_over_seeds_and_sections_are_means_of_scipy_s():
    truths = [truth(60), truth(40)]
    runs = [[t.labels + RNG.normal(size=t.labels.shape) for t in truths] for _ in range(3)]
    found = score(truths, runs, GENES, np.arange(4), seeds=[5, 6, 7])
    each = np.array(
        [
            [[pearsonr(t.labels[:, g], p[:, g])[0] for g in range(4)] for t, p in zip(truths, r, strict=True)]
            for r in runs
        ]
    )
    assert found["pcc_mean"] == pytest.approx(each.mean(), abs=1e-4)
    assert found["pcc_median"] == pytest.approx(np.median(each.mean(axis=1), axis=1).mean(), abs=1e-4)
    assert [s["seed"] for s in found["seeds"]] == [5, 6, 7]
    assert [s["pcc_mean"] for s in found["seeds"]] == pytest.approx(each.mean(axis=(1, 2)).tolist(), abs=1e-4)
    assert found["genes"]["C"]["pcc"] == pytest.approx(each[..., 2].mean(), abs=1e-4)
    assert found["averaged"]["pcc_mean"] > found["pcc_mean"]  # the runs' noise is independent
    error = np.mean([[((t.labels - p) ** 2).mean() for t, p in zip(truths, r, strict=True)] for r in runs])
    flat = np.mean([(t.labels**2).mean() for t in truths])
    assert found["mse_ratio"] == pytest.approx(error / flat, rel=1e-3)
    for key in ("pcc_mean", "pcc_median", "pcc_hvg50", "mse", "mae", "mse_ratio"):
        low, high = found["ci"][key]
        assert low <= found[key] <= high


def test_constant_genes_count_as_0_and_are_counted():
    t = truth(constant=True)
    found = score([t], [[t.labels]], GENES, None)
    assert found["n_constant"] == 1
    assert found["genes"]["D"]["pcc"] == 0
    assert found["pcc_mean"] == pytest.approx(0.75, abs=1e-4)
    assert (found["pcc_hvg50"], found["averaged"], found["seeds"]) == (None, None, [])


def test_without_a_mean_profile_there_is_no_ratio():
    t = truth()
    bare = Truth.of("S", t.labels, RNG.uniform(0, 9, (60, 2)), None)
    found = score([bare], [[t.labels + 1]], GENES, None)
    assert found["mse_ratio"] is None
    assert found["ci"]["mse_ratio"] is None
    assert found["mae"] == pytest.approx(1)
