"""`nh2st export` as a contract."""

import json
import signal

import pandas as pd

from napari_nh2st.cli import output
from support.slides import picture, tiff


def test_export_needs_no_model(nh2st, slide, model, tmp_path):
    nh2st("predict", slide, "--model", model.path, "--out", tmp_path, "--format", "none")
    status, _, err = nh2st("export", tmp_path, "--format", "csv", "--out", tmp_path / "x.csv")
    assert status == 0, err
    assert len(pd.read_csv(tmp_path / "x.csv")) > 50
    status, _, err = nh2st("export", tmp_path, "--format", "csv", "--out", tmp_path / "y.csv", "--genes", "NOPE")
    assert (status, err) == (1, "error: the model small-context does not predict NOPE\n")
    assert not (tmp_path / "y.csv").exists()


def test_the_ending_says_the_format_and_must_not_contradict_it(nh2st, slide, model, tmp_path):
    nh2st("predict", slide, "--model", model.path, "--out", tmp_path, "--format", "none", "--region", "0,0,900,900")
    assert nh2st("export", tmp_path, "--out", tmp_path / "x.csv", "--genes", "G1")[0] == 0
    assert list(pd.read_csv(tmp_path / "x.csv").columns)[-1] == "G1"
    status, _, err = nh2st("export", tmp_path, "--format", "csv", "--out", tmp_path / "z.h5ad")
    assert (status, "ends as h5ad, but --format says csv" in err) == (2, True)
    assert not list(tmp_path.glob("z*"))
    for name in ("x.ome.tif", "x.ome.zarr", "x.ome.zarr"):
        assert nh2st("export", tmp_path, "--out", tmp_path / name, "--genes", "G1")[0] == 0
        assert (tmp_path / name).exists()
    status, _, err = nh2st("export", tmp_path, "--out", tmp_path / "z.txt")
    assert (status, "give a --format" in err) == (2, True)


def test_a_file_holds_the_region_and_says_so(nh2st, slide, model, tmp_path):
    nh2st("predict", slide, "--model", model.path, "--out", tmp_path, "--format", "none")
    part = tmp_path / "part.csv"
    assert nh2st("export", tmp_path, "--out", part, "--region", "400,300,600,500")[0] == 0
    assert pd.read_csv(part)["x_px"].between(400, 1000).all()
    record = json.loads((tmp_path / "part.csv.provenance.json").read_text())
    assert (record["region"], record["genes"]) == ("400,300,600,500", "all")
    assert record["places"]["count"] == len(pd.read_csv(part))
    assert record["command"].startswith("nh2st predict")
    assert record["export_command"].startswith("nh2st export")
    status, _, err = nh2st("export", tmp_path, "--out", part, "--region", "0,0,20,20")
    assert (status, "nothing is predicted in the region" in err) == (1, True)


def test_a_demo_model_on_a_real_slide_is_named(nh2st, slide, tmp_path):
    words = ["--model", "demo", "--out", tmp_path, "--format", "none", "--region", "400,300,400,400"]
    assert nh2st("predict", slide, *words)[0] == 0
    drawn = tmp_path / "a.svg"
    for command in (
        ["export", "--out", tmp_path / "a.csv"],
        ["figure", "--genes", "DEMO-TUMORIN", "--out", drawn],
    ):
        status, _, err = nh2st(command[0], tmp_path / "ä slide.nh2st", *command[1:])
        assert status == 0, err
        assert "warning: The model 'demo" in err
        assert "means nothing" in err
    assert "means" in drawn.read_text()


def test_ctrl_c_ends_an_export_and_leaves_nothing(nh2st, slide, model, tmp_path, monkeypatch):
    from napari_nh2st.formats import csv

    nh2st("predict", slide, "--model", model.path, "--out", tmp_path, "--format", "none", "--region", "0,0,1200,900")
    blocks = csv.value_blocks

    def slow(*given, **named):
        for block in blocks(*given, **named):
            signal.raise_signal(signal.SIGINT)
            yield block

    monkeypatch.setattr(csv, "value_blocks", slow)
    monkeypatch.setattr(csv, "_CHUNK", 8)
    monkeypatch.setattr(output, "_MOMENT", 0.0)
    status, out, err = nh2st("export", tmp_path, "--out", tmp_path / "part.csv")
    assert (status, out) == (130, "")
    assert "part.csv: 0 of 100 %" in err
    assert err.endswith("error: stopped; nothing was written\n")
    words = ["predict", slide, "--model", model.path, "--out", tmp_path, "--format", "csv", "--region", "0,0,1200,900"]
    status, _, err = nh2st(*words)
    assert (status, "error: stopped; what was predicted is kept in" in err) == (130, True)
    assert [p.name for p in tmp_path.iterdir() if "csv" in p.name] == []


def test_a_report_is_one_page_of_what_is_known(nh2st, slide, model, tmp_path):
    nh2st("predict", slide, "--model", model.path, "--out", tmp_path, "--format", "none", "--region", "0,0,1200,900")
    page = tmp_path / "report.html"
    status, out, err = nh2st("report", tmp_path, "--out", page, "--genes", "g1,G4", "--model", model.path)
    assert (status, out) == (0, f"{page}\n"), err
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png") == 3
    assert "nh2st report" in text
    assert "This model keeps no record of its training tissue" in text
    assert nh2st("report", tmp_path, "--out", tmp_path / "report.docx")[0] == 2
    other = tiff(tmp_path / "other.tif", picture(400, 400))
    status, _, err = nh2st("report", tmp_path, "--out", tmp_path / "b.pdf", "--slide", other)
    assert (status, "is another slide than the one that was predicted" in err) == (1, True)
    assert not (tmp_path / "b.pdf").exists()
