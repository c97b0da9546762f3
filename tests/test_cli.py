"""The command line as a contract: what scripts call and read."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from napari_nh2st import cli
from support.models import small_model
from support.sections import sheet
from support.slides import picture, tiff


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"), gene_stds=[1.0] * 6)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """Dark blotches on white, 1 um per pixel."""
    pixels = np.full((1600, 1900, 3), 250, np.uint8)
    pixels[200:1300, 300:1500] = picture(1100, 1200) // 2 + 60
    folder = tmp_path_factory.mktemp("a folder with spaces # and %")
    return tiff(folder / "ä slide.tif", pixels, resolution=(1e4, 1e4), resolutionunit=3)


def call(monkeypatch, capsys, *words):
    """Run the command line in this process as `nh2st` would: exit status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["nh2st", *map(str, words)])
    capsys.readouterr()
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        cli.main()
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
    out = capsys.readouterr()
    return status, out.out, out.err


@pytest.fixture
def nh2st(monkeypatch, capsys):
    return lambda *words: call(monkeypatch, capsys, *words)


def test_info_as_json(nh2st, slide):
    status, out, _ = nh2st("info", slide, "--json")
    found = json.loads(out)
    assert status == 0
    assert found["levels"][0] == [1600, 1900]
    assert found["mpp"] == pytest.approx(1)
    assert found["mpp_source"] == "tiff resolution"
    assert 0.2 < found["tissue_fraction"] < 0.6
    assert {"path", "format", "fingerprint", "warnings"} <= found.keys()


def test_predict_writes_what_it_says_and_a_second_run_encodes_nothing(nh2st, slide, model, tmp_path):
    words = ["predict", slide, "--model", model.path, "--out", tmp_path, "--format", "h5ad,csv", "--json"]
    status, out, err = nh2st(*words)
    first = json.loads(out)
    assert status == 0, err
    row = first["slides"][0]
    assert row["tiles_encoded"] == row["tiles_total"] > 50
    assert all(Path(p).exists() for p in row["outputs"])
    assert first["provenance"]["model_hash"] == model.hash
    again = json.loads(nh2st(*words)[1])["slides"][0]
    assert (again["tiles_encoded"], again["tiles_skipped"]) == (0, row["tiles_total"])
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_region_and_some_genes(nh2st, slide, model, tmp_path):
    words = ["predict", slide, "--model", model.path, "--out", tmp_path, "--region", "400,300,600,500"]
    status, _, err = nh2st(*words, "--genes", "G1,G4", "--format", "csv")
    assert status == 0, err
    table = pd.read_csv(tmp_path / "ä slide.csv")
    assert table.columns[-2:].tolist() == ["G1", "G4"]
    assert table["x_px"].between(400, 1000).all()
    assert table["y_px"].between(300, 800).all()


def test_export_needs_no_model(nh2st, slide, model, tmp_path):
    nh2st("predict", slide, "--model", model.path, "--out", tmp_path, "--format", "none")
    status, _, err = nh2st("export", tmp_path, "--format", "csv", "--out", tmp_path / "x.csv")
    assert status == 0, err
    assert len(pd.read_csv(tmp_path / "x.csv")) > 50
    status, _, err = nh2st("export", tmp_path, "--format", "csv", "--out", tmp_path / "y.csv", "--genes", "NOPE")
    assert (status, err) == (1, "error: the model small-context does not predict NOPE\n")
    assert not (tmp_path / "y.csv").exists()


def test_evaluate_reports_as_the_contract_says(nh2st, model, tmp_path):
    samples = sheet(tmp_path, ("S1", "P9", 1))
    named = small_model(tmp_path, genes=["DARK", "LIGHT", "NOISE", "ABSENT"], gene_means=[5.0] * 4, gene_stds=[1.0] * 4)
    words = ["evaluate", samples, "--model", named.path, "--out", tmp_path / "r.json"]
    status, out, err = nh2st(*words)
    assert status == 0, err
    assert "1 genes of the panel were not measured" in err
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "nowhere.svs", "--model", "{model}", "--out", "{out}"], "nowhere.svs does not exist"),
        (["predict", "{slide}", "--model", "nothing", "--out", "{out}"], "no model 'nothing'"),
        (["predict", "{slide}", "--model", "{model}", "--out", "{out}", "--genes", "X"], "does not predict X"),
        (["predict", "{slide}", "--model", "{model}", "--out", "{out}", "--pitch", "100"], "multiple of 16"),
        (
            ["predict", "{slide}", "--model", "{model}", "--out", "{out}", "--region", "0,0,50,50"],
            "no tissue in this region",
        ),
        (["predict", "{slide}", "{slide}", "--model", "{model}", "--out", "{out}"], "several slides are named"),
        (["info", "nowhere.svs"], "does not exist"),
        (["export", "{out}", "--format", "csv", "--out", "x.csv"], "not a prediction"),
        (["finetune", "nowhere.csv", "--out", "{out}"], "cannot read the sample sheet"),
        (["evaluate", "nowhere.csv", "--model", "{model}"], "cannot read the sample sheet"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(nh2st, slide, model, tmp_path, words, said):
    words = [w.format(slide=slide, model=model.path, out=tmp_path / "out") for w in words]
    status, out, err = nh2st(*words)
    assert status == 1
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "x.svs", "--model", "demo", "--out", "o", "--region", "1,2,3"],
        ["predict", "x.svs", "--model", "demo", "--out", "o", "--format", "pdf"],
        ["predict", "x.svs", "--model", "demo", "--out", "o", "--precision", "int8"],
        ["predict", "x.svs"],
        ["nonsense"],
    ],
)
def test_wrong_usage_exits_with_2(words):
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 2


def test_an_impossible_pixel_size_names_the_option(nh2st, model, data_dir, tmp_path):
    path = data_dir / "slides" / "CMU-1-Small-Region.jpeg.tiff"
    status, _, err = nh2st("predict", path, "--model", model.path, "--out", tmp_path)
    assert status == 1
    assert "--mpp" in err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_recompression_changes_little(nh2st, model, data_dir, tmp_path):
    """The same region as SVS and as a recompressed TIFF whose mpp is given: the same tiles, nearly the same numbers."""
    from napari_nh2st.engine.store import open_prediction

    found = []
    for name, more in (("CMU-1-Small-Region.svs", []), ("CMU-1-Small-Region.jpeg.tiff", ["--mpp", "0.499"])):
        words = ["predict", data_dir / "slides" / name, "--model", model.path, "--out", tmp_path, "--format", "none"]
        assert nh2st(*words, *more)[0] == 0
        found.append(open_prediction(tmp_path / f"{Path(name).stem}.nh2st"))
    a, b = found
    shared = {tuple(g) for g in a.places.grid} & {tuple(g) for g in b.places.grid}
    assert len(shared) >= 0.9 * max(len(a), len(b))
    rows = [[i for i, g in enumerate(p.places.grid) if tuple(g) in shared] for p in found]
    first, second = (p.matrix()[r] for p, r in zip(found, rows, strict=True))
    for gene in range(first.shape[1]):
        assert np.corrcoef(first[:, gene], second[:, gene])[0, 1] > 0.95


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child process")
def test_ctrl_c_keeps_what_was_computed(slide, model, tmp_path):
    """Interrupted in mid-run: one line, exit status 1, and the same command goes on."""
    big = slide.parent / "big.tif"
    tiff(big, np.tile(picture(1100, 1200) // 2 + 60, (4, 4, 1)), resolution=(1e4, 1e4), resolutionunit=3)
    words = [
        sys.executable,
        "-m",
        "napari_nh2st",
        "predict",
        str(big),
        "--model",
        str(model.path),
        "--out",
        str(tmp_path),
    ]
    run = subprocess.Popen([*words, "--format", "none"], stderr=subprocess.PIPE, text=True, env={**os.environ})
    store = tmp_path / "big.nh2st" / "state" / "c"
    until = time.monotonic() + 120
    while time.monotonic() < until and run.poll() is None and not store.exists():
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    sent = time.monotonic()
    err = run.communicate(timeout=60)[1]
    assert time.monotonic() - sent < 10  # leaving Python included; the engine itself stops within a second
    assert run.returncode == 1, err
    assert err.splitlines()[-1].startswith("error: stopped; what was predicted is kept")
    done = subprocess.run([*words, "--format", "none", "--json"], capture_output=True, text=True, check=True)
    row = json.loads(done.stdout)["slides"][0]
    assert row["tiles_skipped"] > 0
    assert row["tiles_encoded"] < row["tiles_total"]
