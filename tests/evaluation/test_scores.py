from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr

from napari_nh2st import metrics
from napari_nh2st.evaluation.pairs import differences
from napari_nh2st.evaluation.scores import Truth, score, score_with_draws
from napari_nh2st.targets import SpotCounts

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


def counted_truth(n=60, seed=3):
    """Make a truth whose four genes vary with depth and on their own, and what they vary by on their own."""
    rng = np.random.default_rng(seed)
    depth, own = np.exp(rng.normal(7, 0.8, n)), rng.normal(size=(n, 4))
    counts = rng.poisson(depth[:, None] * np.exp(0.6 * own) * [0.001, 0.01, 0.02, 0.1]).astype(np.float32)
    labels = np.log1p(counts / depth[:, None] * 1e4).astype(np.float32)
    return Truth.of("S", labels, rng.uniform(0, 1000, (n, 2)), np.zeros(4), SpotCounts(counts, depth)), own


def test_figures_free_of_depth_are_those_of_metrics_and_lie_in_their_intervals():
    truths, owns = zip(*(counted_truth(seed=s) for s in (3, 4)), strict=True)
    guesses = [own + np.log(t.counted.depth)[:, None] for t, own in zip(truths, owns, strict=True)]
    found = score(truths, [guesses], GENES, None)
    each = [
        metrics.partial_pcc(t.labels, g, np.log(t.counted.depth)).per_gene for t, g in zip(truths, guesses, strict=True)
    ]
    assert found["pcc_given_depth"] == pytest.approx(np.mean(each), abs=1e-4)
    each = [
        metrics.pcc(metrics.pearson_residuals(t.counted.counts, t.counted.depth), g).per_gene
        for t, g in zip(truths, guesses, strict=True)
    ]
    assert found["pcc_residuals"] == pytest.approx(np.mean(each), abs=1e-4)
    for key in ("pcc_given_depth", "pcc_residuals"):
        low, high = found["ci"][key]
        assert low < found[key] < high
    alone = [np.repeat(np.log(t.counted.depth)[:, None], 4, axis=1) for t in truths]
    assert score(truths, [alone], GENES, None)["pcc_given_depth"] == 0
    bare = [Truth.of("S", t.labels, RNG.uniform(0, 9, (60, 2)), None) for t in truths]
    found, draws = score_with_draws(bare, [guesses], GENES, None)
    assert (found["pcc_given_depth"], found["ci"]["pcc_residuals"], [*draws]) == (None, None, ["pcc_mean"])


def test_a_gene_that_a_table_lacks_counts_as_0_in_that_section_and_not_in_errors():
    (whole, own), (part, _) = counted_truth(), counted_truth(seed=4)
    labels = part.labels.copy()
    labels[:, 1] = np.nan
    part = replace(part, labels=labels)
    found = score([part], [[own]], GENES, np.arange(4))
    known = score([replace(part, labels=labels[:, [0, 2, 3]], profile=np.zeros(3),
                           counted=replace(part.counted, counts=part.counted.counts[:, [0, 2, 3]]))],
                  [[own[:, [0, 2, 3]]]], ["A", "C", "D"], np.arange(3))  # fmt: skip
    for key in ("pcc_mean", "pcc_given_depth", "pcc_residuals", "pcc_hvg50"):
        assert found[key] == pytest.approx(0.75 * known[key], abs=1e-4)
        assert found["ci"][key] == pytest.approx([0.75 * end for end in known["ci"][key]], abs=1e-4)
    for key in ("mse", "mae", "mse_ratio"):
        assert found[key] == pytest.approx(known[key], abs=1e-4)
        assert found["ci"][key] == pytest.approx(known["ci"][key], abs=1e-4)
    assert found["genes"] == known["genes"]
    assert (found["n_lacking"], found["n_constant"], known["n_lacking"]) == (1, 0, 0)
    both = score([whole, part], [[own, own]], GENES, None)
    first = score([whole], [[own]], GENES, None)
    assert both["genes"]["B"]["pcc"] == pytest.approx(first["genes"]["B"]["pcc"] / 2, abs=1e-4)
    assert both["genes"]["B"]["mse"] == first["genes"]["B"]["mse"]
    assert both["n_lacking"] == 1


def test_differences_are_taken_draw_by_draw():
    t, own = counted_truth(n=120)
    rng = np.random.default_rng(5)
    guesses = {"nh2st-context": own, "small-cnn": own + 0.05 * rng.normal(size=own.shape), "retrieval": -own}
    models, draws = {}, {}
    for name, guess in guesses.items():
        models[name], draws[name] = score_with_draws([t], [[guess]], GENES, None)
    found = differences(models, draws)
    assert (found["model"], [*found["others"]]) == ("nh2st-context", ["retrieval", "small-cnn"])
    for name, of in found["others"].items():
        for figure, value in of.items():
            apart = draws["nh2st-context"][figure] - draws[name][figure]
            assert [value["low"], value["high"]] == pytest.approx(np.percentile(apart, [2.5, 97.5]), abs=1e-4)
            expected = models["nh2st-context"][figure] - models[name][figure]
            assert value["difference"] == pytest.approx(expected, abs=2e-5)
    close = found["others"]["small-cnn"]["pcc_mean"]
    low, high = models["small-cnn"]["ci"]["pcc_mean"]
    assert close["high"] - close["low"] < 0.2 * (high - low)  # both models meet the same spots
    assert found["says"][0].startswith("Mean PCC: nh2st-context is ahead of retrieval")
    models = dict(reversed(models.items()))
    assert differences({"retrieval": models["retrieval"]}, draws) is None


def test_words_say_what_is_ahead_behind_and_level():
    steady = np.linspace(-0.01, 0.01, 101)
    values = {"nh2st-context": 0.3, "retrieval": 0.2, "small-cnn": 0.4, "colour-ridge": 0.3, "mean-profile": 0.0}
    models = {name: {"pcc_mean": value} for name, value in values.items()}
    draws = {name: {"pcc_mean": value + i * steady} for i, (name, value) in enumerate(values.items())}
    says = differences(models, draws)["says"]
    assert says == [
        "Mean PCC: nh2st-context is ahead of mean-profile and retrieval; behind small-cnn; not "
        "told apart from colour-ridge."
    ]
