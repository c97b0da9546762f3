import numpy as np
import pytest
from scipy.stats import pearsonr

from napari_nh2st.engine.options import PredictionOptions
from napari_nh2st.errors import SampleError
from napari_nh2st.evaluation.protocol import evaluate, predict_spots, split_kind
from napari_nh2st.expression import labels, read_expression, read_sheet
from napari_nh2st.model.card import TrainingSample
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
