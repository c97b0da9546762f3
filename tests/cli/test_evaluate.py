"""`nh2st evaluate` as a contract: the report."""

import json

import pytest

from support.models import small_model
from support.predictors import DARK, name_files, predictor_file
from support.sections import GENES, sheet


def test_evaluate_reports_as_the_contract_says(nh2st, model, tmp_path):
    samples = sheet(tmp_path, ("S1", "P9", 1))
    named = small_model(tmp_path, genes=["DARK", "LIGHT", "NOISE", "ABSENT"], gene_means=[5.0] * 4, gene_stds=[1.0] * 4)
    words = ["evaluate", samples, "--model", named.path, "--out", tmp_path / "r.json"]
    status, out, err = nh2st(*words)
    assert status == 0, err
    assert "1 genes of the panel were not measured: they count as 0" in err
    split = json.loads((tmp_path / "r.json").read_text())["splits"][0]
    assert (split["test"], split["kind"]) == (["S1"], "cross-patient")
    for name in ("nh2st-context", "mean-profile"):
        scores = split["models"][name]
        wanted = {
            "pcc_mean",
            "pcc_median",
            "pcc_hvg50",
            "mse",
            "mae",
            "mse_ratio",
            "n_constant",
            "seeds",
            "ci",
            "genes",
        }
        assert wanted <= scores.keys()
    assert split["models"]["mean-profile"]["mse_ratio"] == pytest.approx(1)
    assert "cross-patient" in out


def test_scores_are_in_fp32_whatever_is_given(nh2st, tmp_path):
    samples = sheet(tmp_path, ("S1", "P9", 1))
    model = small_model(tmp_path, genes=GENES, gene_means=[5.0] * 4)
    found = []
    for precision in ("fp32", "bf16"):
        status, out, err = nh2st("evaluate", samples, "--model", model.path, "--precision", precision, "--json")
        assert status == 0, err
        assert ("--precision bf16 is ignored" in err) == (precision == "bf16")
        found.append(json.loads(out))
    assert [report["provenance"]["precision"] for report in found] == ["fp32", "fp32"]
    assert found[0]["splits"] == found[1]["splits"]


def test_someone_elses_model_is_scored_under_its_name_and_has_no_card_to_update(nh2st, tmp_path, monkeypatch):
    name_files(monkeypatch, tmp_path, predictor_file(tmp_path, more=DARK))
    samples = sheet(tmp_path, ("S1", "P9", 1))
    status, out, err = nh2st("evaluate", samples, "--model", "dark", "--out", tmp_path / "r.json")
    assert status == 0, err
    scores = json.loads((tmp_path / "r.json").read_text())["splits"][0]["models"]["dark"]
    assert scores["genes"]["DARK"]["pcc"] > 0.8
    assert scores["genes"]["LIGHT"]["pcc"] > 0.8
    assert "1 genes of the panel were not measured: they count as 0" in err
    assert "does not say what it was trained on" in err
    assert "dark" in out
    status, _, err = nh2st("evaluate", samples, "--model", "dark", "--update-card")
    assert status == 1
    assert "has no card that could be updated" in err
