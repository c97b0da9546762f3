"""The whole protocol on procedural tissue: everything is fitted, scored and written."""

import json
from dataclasses import replace

import anndata as ad
import numpy as np
import pytest

from napari_nh2st import metrics
from napari_nh2st.errors import Cancelled, Nh2stError, SampleError
from napari_nh2st.evaluation import split_ready
from napari_nh2st.evaluation.baselines import BASELINES, small_cnn
from napari_nh2st.evaluation.compare import compare
from napari_nh2st.evaluation.scores import score, score_with_draws
from napari_nh2st.expression import read_sheet
from napari_nh2st.model.card import Architecture
from napari_nh2st.training.config import TrainingConfig
from napari_nh2st.training.pretraining import on_sections
from support.predictors import DARK, name_files, predictor_file
from support.runs import short_epochs
from support.sections import GENES, sheet

CONFIG = TrainingConfig(
    architecture=Architecture(width=4, dim=16, hidden=12, heads=4, dropout=0.1),
    epochs=1, pretrain_steps=3, ema=0.5, panel=4, mpp=1.0, device="cpu",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def small_nets():
    with pytest.MonkeyPatch.context() as patch, short_epochs():
        for module, name, value in (
            (on_sections, "BATCH", 8),
            (small_cnn, "WIDTH", 4), (small_cnn, "BATCH", 12), (small_cnn, "EPOCHS", 2),
        ):  # fmt: skip
            patch.setattr(module, name, value)
        yield


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """S1 and S2 to train on, S3 to score."""
    return sheet(tmp_path_factory.mktemp("sheet"), *((f"S{i}", f"P{min(i, 2)}", i, 1200) for i in (1, 2, 3)))


@pytest.fixture(scope="module")
def seen():
    """The input that `compare` hands over to be scored: truths and predictions, model by model."""
    return []


@pytest.fixture(scope="module")
def report(samples, seen):
    def watched(truths, predicted, genes, spread, **more):
        seen.append((truths, predicted))
        return score_with_draws(truths, predicted, genes, spread, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split_ready, "score_with_draws", watched)
        return compare(samples, "S1,S2:S3", budget="quick", config=CONFIG, seeds=[0])


def test_everything_is_in_the_report(report):
    first = report["splits"][0]
    assert first["kind"] == "same-patient"
    assert list(first["models"]) == list(BASELINES)
    for split in report["splits"]:
        for name, figures in split["models"].items():
            low, high = figures["ci"]["pcc_mean"]
            assert low <= figures["pcc_mean"] <= high
            assert set(figures["genes"]) == set(GENES)
            assert [s["seed"] for s in figures["seeds"]] == ([0] if BASELINES[name].seeded else [])
        assert split["models"]["mean-profile"]["mse_ratio"] == pytest.approx(1)
        maps = split["maps"]
        assert [g["rank"] for g in maps["genes"]] == ["best", "median", "worst"]
        assert len(maps["spots"]) == len(maps["genes"][0]["measured"]) == split["n_spots"]
    assert report["budget"] == "quick"
    assert report["provenance"]["settings"]["precision"] == "fp32"  # nothing was said: the same models everywhere
    json.dumps(report)


def test_the_image_is_read_where_it_says_something(report):
    models = report["splits"][0]["models"]
    for name in ("colour-ridge", "nh2st-kernel", "nh2st-target", "nh2st-context"):
        assert models[name]["genes"]["DARK"]["pcc"] > 0.6, name


def test_the_stack_adds_up_its_parts(report, seen):
    """The kernel head answers in full; the learnt head adds its share of what it says beyond the mean."""
    runs = dict(zip(report["splits"][0]["models"], [runs[0][0] for _, runs in seen], strict=True))
    added = runs["nh2st-context"] - runs["nh2st-kernel"]
    alone = runs["nh2st-learnt"] - runs["mean-profile"]
    share = float((added * alone).sum() / (alone**2).sum())
    assert 0 < share <= 1 + 1e-3
    assert added == pytest.approx(share * alone, abs=2e-3)
    assert np.abs(runs["nh2st-kernel"] - runs["nh2st-learnt"]).max() > 0.05


def test_shuffling_the_spots_of_the_test_section_brings_every_model_to_0(report, seen):
    """Over all orders of the spots PCC is 0 on average; how far the mean of a hundred orders is off is known."""
    for name, (truths, runs) in zip(report["splits"][0]["models"], seen, strict=True):
        found = []
        for k in range(100):
            order = np.random.default_rng(k).permutation(len(truths[0].labels))
            found.append(metrics.pcc(truths[0].labels[order], runs[0][0]).per_gene.mean())
        assert abs(np.mean(found)) <= 4 * np.std(found) / 10, name


def test_the_intervals_of_shuffled_spots_hold_0(seen):
    """Of 36 spots there are few blocks to draw: 95% intervals hold 0 in 92% of 540 shuffles. Here are 180."""
    rng, holds = np.random.default_rng(0), []
    for truths, runs in seen[1:]:  # the mean profile is 0 however spots lie
        for _ in range(20):
            shuffled = [replace(truths[0], labels=rng.permutation(truths[0].labels))]
            low, high = score(shuffled, runs, GENES, None)["ci"]["pcc_mean"]
            holds.append(low <= 0 <= high)
    assert np.mean(holds) > 0.84  # four standard deviations below


def test_the_leak_alarm_is_raised_where_coordinates_are_enough(tmp_path):
    path = sheet(tmp_path, ("T1", "P1", 1, 1400), ("T2", "P1", 2, 1400))
    for name in ("T1", "T2"):
        data = ad.read_h5ad(tmp_path / f"{name}.h5ad")
        # From left to right, and from top to bottom, in both.
        data.X[:, GENES.index("DARK")] = np.round(np.exp(data.obsm["spatial"][:, 0] / 200))
        data.X[:, GENES.index("LIGHT")] = np.round(np.exp(data.obsm["spatial"][:, 1] / 200))
        data.write_h5ad(tmp_path / f"{name}.h5ad")
    alarm = compare(path, "T1:T2", config=CONFIG, models=["mean-profile"])["splits"][0]["leak_alarm"]
    assert alarm["raised"]
    assert "coordinates alone" in alarm["says"]


def test_the_panel_is_chosen_on_training_sections_alone(tmp_path):
    """A gene that only the test section expresses strongly stays out; one that it lacks is said."""
    path = sheet(tmp_path, ("T1", "P1", 1, 1000), ("T2", "P2", 2, 1000))
    data = ad.read_h5ad(tmp_path / "T2.h5ad")
    data.X[:, GENES.index("LIGHT")] = 5000
    data[:, [g for g in GENES if g != "DARK"]].copy().write_h5ad(tmp_path / "T2.h5ad")
    config = CONFIG.model_copy(update={"panel": 2})
    found = compare(path, "T1:T2", config=config, models=["mean-profile"])
    assert set(found["splits"][0]["models"]["mean-profile"]["genes"]) == {"REST"}  # and DARK, not measured there
    assert any("1 of 2 genes of the panel were not measured in T2: they count as 0" in w for w in found["warnings"])
    assert found["splits"][0]["models"]["mean-profile"]["n_lacking"] == 1


def test_a_spot_dropped_from_the_counts_misaligns_nothing(samples, tmp_path, monkeypatch):
    predicted = []

    def watched(truths, runs, *figures, **more):
        predicted.append(runs[0][0])
        return score_with_draws(truths, runs, *figures, **more)

    monkeypatch.setattr(split_ready, "score_with_draws", watched)
    whole = compare(samples, "S1:S3", config=CONFIG, models=["colour-ridge"])
    one, _, three = read_sheet(samples)
    data = ad.read_h5ad(three.expression)
    keep = np.arange(data.n_obs) != 7
    data[keep].copy().write_h5ad(tmp_path / "less.h5ad")
    fewer = [one, replace(three, expression=tmp_path / "less.h5ad")]
    less = compare(fewer, "S1:S3", config=CONFIG, models=["colour-ridge"])
    _, _, before, _, _, after = predicted  # mean profile, coordinates, colour ridge
    assert np.allclose(before[keep], after, atol=1e-4)
    assert np.abs(before[1:] - before[:-1]).max() > 0.1  # else a spot could not be told from the next
    a, b = (r["splits"][0]["maps"]["genes"] for r in (whole, less))
    for before, after in zip(a, b, strict=True):
        assert after["gene"] == before["gene"]
        for what in ("measured", "predicted"):
            assert np.allclose(np.asarray(before[what])[keep], after[what], atol=2e-3)


def test_someone_elses_model_is_scored_as_it_is_beside_what_is_trained(samples, tmp_path, monkeypatch):
    name_files(monkeypatch, tmp_path, predictor_file(tmp_path, more=DARK))
    report = compare(samples, "S1:S3", config=CONFIG, models=["colour-ridge", "dark"])
    models = report["splits"][0]["models"]
    assert list(models) == ["mean-profile", "coordinates-knn", "colour-ridge", "dark"]
    assert models["dark"]["genes"]["DARK"]["pcc"] > 0.8
    assert [models["dark"]["genes"][g]["pcc"] for g in ("NOISE", "REST")] == [0, 0]  # it does not predict them
    assert models["dark"]["about"].startswith("Not of NH2ST, version 1")


def test_stopping_and_wrong_names_are_said(samples):
    with pytest.raises(Cancelled):
        compare(samples, "S1:S3", config=CONFIG, cancelled=lambda: True)
    with pytest.raises(Nh2stError, match="no model best-ever"):
        compare(samples, "S1:S3", config=CONFIG, models=["best-ever"])
    with pytest.raises(SampleError, match="no sample S9"):
        compare(samples, "S1:S9", config=CONFIG)
