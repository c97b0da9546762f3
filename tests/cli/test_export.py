"""`nh2st export` as a contract."""

import pandas as pd


def test_export_needs_no_model(nh2st, slide, model, tmp_path):
    nh2st("predict", slide, "--model", model.path, "--out", tmp_path, "--format", "none")
    status, _, err = nh2st("export", tmp_path, "--format", "csv", "--out", tmp_path / "x.csv")
    assert status == 0, err
    assert len(pd.read_csv(tmp_path / "x.csv")) > 50
    status, _, err = nh2st("export", tmp_path, "--format", "csv", "--out", tmp_path / "y.csv", "--genes", "NOPE")
    assert (status, err) == (1, "error: the model small-context does not predict NOPE\n")
    assert not (tmp_path / "y.csv").exists()
