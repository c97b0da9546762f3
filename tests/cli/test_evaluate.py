"""`nh2st evaluate` as a contract: the report."""

import json
import re

import anndata as ad
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


def test_a_protocol_prints_depth_lacking_genes_and_what_is_ahead(nh2st, tmp_path):
    samples = sheet(tmp_path, ("S1", "P1", 1), ("S2", "P2", 2))
    data = ad.read_h5ad(tmp_path / "S2.h5ad")
    data[:, [g for g in GENES if g != "NOISE"]].copy().write_h5ad(tmp_path / "S2.h5ad")
    status, out, err = nh2st("evaluate", samples, "--protocol", "S1:S2", "--models", "colour-ridge")
    assert status == 0, err
    assert "1 of 4 genes of the panel were not measured in S2: they count as 0" in err
    head, *rows = out.splitlines()
    assert head.split()[-4:] == ["median", "MSE/mean", "constant", "lacking"]
    assert [row.split()[2] for row in rows[:3]] == ["mean-profile", "coordinates-knn", "colour-ridge"]
    assert all(row.split()[-1] == "1" for row in rows[:3])
    assert "S1 → S2: colour-ridge less" in out
    assert re.search(r"mean-profile +\+\.\d{3} \(\.\d{3} to \.\d{3}\)", out)
    assert "Mean PCC: colour-ridge is ahead of mean-profile" in out


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
