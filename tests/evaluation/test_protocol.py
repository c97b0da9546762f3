import shutil

import numpy as np
import pytest
from scipy.stats import pearsonr

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.errors import SampleError
from napari_nh2st.evaluation.coverage import coverage, coverage_words
from napari_nh2st.evaluation.protocol import evaluate, predict_spots, split_kind
from napari_nh2st.expression import labels, read_expression, read_sheet
from napari_nh2st.model.card import TrainingSample
from napari_nh2st.model.folder import load_model, save_card
from napari_nh2st.model.intervals import fit_intervals
from support.models import small_card, small_model
from support.sections import GENES, sheet

OPTIONS = PredictionOptions(device="cpu", precision="fp32", cache=False)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return sheet(tmp_path_factory.mktemp("sheet"), ("S1", "P1", 1))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"), genes=GENES, gene_means=[5.0] * 4, gene_stds=[1, 2, 3, 4])


def test_figures_equal_scipy_s_on_the_same_spots(samples, model):
    scores = evaluate(samples, model, options=OPTIONS)["splits"][0]["models"]["nh2st-context"]
    sample = read_sheet(samples)[0]
    scored = predict_spots(sample, model, OPTIONS)
    truth = labels(read_expression(sample), GENES)
    assert np.allclose(scored.truth, truth, rtol=1e-6)
    for i, gene in enumerate(GENES):
        expected = pearsonr(truth[:, i], scored.predicted[:, i])[0]
        assert scores["genes"][gene]["pcc"] == pytest.approx(expected, abs=1e-4)
    assert scores["mse"] == pytest.approx(((truth - scored.predicted) ** 2).mean(), rel=1e-3)
    profile = ((truth - 5.0) ** 2).mean()
    assert scores["mse_ratio"] == pytest.approx(((truth - scored.predicted) ** 2).mean() / profile, rel=1e-3)
    low, high = scores["ci"]["pcc_mean"]
    assert low <= scores["pcc_mean"] <= high


def test_a_model_with_intervals_is_told_what_they_hold(samples, model, tmp_path):
    truth, predicted = (
        getattr(predict_spots(read_sheet(samples)[0], model, OPTIONS), k) for k in ("truth", "predicted")
    )
    intervals = fit_intervals(model.card, [truth], [predicted], "blocks")
    shutil.copytree(model.path, copy := tmp_path / "m")
    save_card(model.card.model_copy(update={"intervals": intervals}), copy)
    scores = evaluate(samples, load_model(copy), options=OPTIONS)["splits"][0]["models"]
    found = scores["nh2st-context"]["intervals"]
    assert found["claimed"] == 0.9
    assert found["held"] == pytest.approx(0.9, abs=0.02)  # calibrated on these very spots
    assert found["genes_low"] <= found["held"] <= found["genes_high"]
    assert found["held_out"] == "blocks"
    assert "intervals" not in scores["mean-profile"]
    assert "hold 90%" in coverage_words(found) or "hold 91%" in coverage_words(found)


def test_coverage_counts_what_lies_within():
    truth = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    widths = np.full((4, 2), 1.0)
    found = coverage(truth, np.ones((4, 2)), widths, np.array([2.0, 0.5]))
    assert (found["held"], found["not_informative"]) == (0.875, 0.5)
    assert found["width"] == pytest.approx(1 / truth[:, 0].std(), abs=1e-3)  # the gene that does not vary has no unit


def test_the_kind_follows_from_patients_not_from_sections(samples):
    sample = read_sheet(samples)[0]
    seen = small_card(training=[TrainingSample(sample="OTHER", patient="P1", spots=5)])
    new = small_card(training=[TrainingSample(sample="S1", patient="P2", spots=5)])
    assert split_kind(seen, sample) == "same-patient"
    assert split_kind(new, sample) == "cross-patient"


def test_scoring_a_training_section_is_said(samples, tmp_path):
    trained = [TrainingSample(sample="S1", patient="P1", spots=5)]
    model = small_model(tmp_path, genes=GENES, gene_means=[5.0] * 4, training=trained)
    report = evaluate(samples, model, options=OPTIONS)
    assert any("was among the training sections" in w for w in report["warnings"])
    assert report["splits"][0]["kind"] == "same-patient"
    assert report["splits"][0]["models"]["nh2st-context"]["pcc_hvg50"] is None


def test_a_spot_dropped_from_the_counts_misaligns_nothing(samples, model, tmp_path):
    import anndata as ad

    sample = read_sheet(samples)[0]
    whole = predict_spots(sample, model, OPTIONS)
    data = ad.read_h5ad(sample.expression)
    keep = np.arange(data.n_obs) != 7
    data[keep].copy().write_h5ad(tmp_path / "less.h5ad")
    from dataclasses import replace

    less = predict_spots(replace(sample, expression=tmp_path / "less.h5ad"), model, OPTIONS)
    assert np.allclose(less.truth, whole.truth[keep], rtol=1e-6)
    assert np.allclose(less.predicted, whole.predicted[keep], atol=1e-3)  # hidden vectors are float16


def test_genes_that_do_not_match_are_one_line(samples, tmp_path):
    model = small_model(tmp_path, genes=["A", "B"], gene_means=[0.0, 0.0])
    with pytest.raises(SampleError, match="do the gene names match"):
        evaluate(samples, model, options=OPTIONS)
